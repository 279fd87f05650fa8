"""kernel.descriptors: whether one more kernel fits into this process."""

from __future__ import annotations

import errno
import os
import resource

import pytest

from remote_kernels.errors import JobError, ResourceError
from remote_kernels.kernel.descriptors import NEEDED, check_room, is_exhaustion


def limit(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (most, most))


def used(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Descriptors; the look at them takes one more."""
    found = [str(number) for number in range(count + 1)]
    monkeypatch.setattr(os, "listdir", lambda path: found)


def fails(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Whoever looks what is open."""

    def refuse(path: str) -> list[str]:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "listdir", refuse)


def test_just_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last kernel that fits may come."""
    used(monkeypatch, 100)
    limit(monkeypatch, 100 + NEEDED)
    check_room()


def test_one_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """No job is submitted that could not be taken back; it is said how many there are."""
    used(monkeypatch, 100)
    limit(monkeypatch, 99 + NEEDED)

    with pytest.raises(ResourceError, match=f"{99 + NEEDED} files.* has 100 of"):
        check_room()


def test_none_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one to look with."""
    fails(monkeypatch, errno.EMFILE)
    limit(monkeypatch, 1024)

    with pytest.raises(ResourceError, match="has all of them"):
        check_room()


def test_nobody_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc is not there, nothing speaks against a kernel."""
    fails(monkeypatch, errno.ENOENT)
    limit(monkeypatch, 1024)
    check_room()


def test_what_an_error_came_of() -> None:
    """However deep."""
    cause = OSError(errno.EMFILE, "Too many open files")
    error = JobError("It was not submitted.")
    error.__cause__ = ValueError()
    error.__cause__.__cause__ = cause

    assert is_exhaustion(error)
    assert not is_exhaustion(JobError("It was not submitted."))
    assert not is_exhaustion(OSError(errno.ENOENT, "No such file"))
    assert not is_exhaustion(None)
