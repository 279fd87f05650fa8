"""kernel.previous_owner: whether the process that waited for a kernel is still there."""

from __future__ import annotations

import os
import socket

import pytest

from remote_kernels.agent.processes import started
from remote_kernels.errors import InUseError
from remote_kernels.kernel.previous_owner import PreviousOwner

OTHER = os.getppid()


def refused(pid: int, start: int, host: str = "") -> bool:
    """Whether we may not have its kernel."""
    facts = {"host": host or socket.gethostname(), "pid": pid, "pid_start": start}
    try:
        PreviousOwner("k1", facts, {}, None).refuse_if_it_waits()
    except InUseError:
        return True
    return False


def test_it_is_there() -> None:
    """It has no session with the kernel that would tell."""
    assert refused(OTHER, started(OTHER))


@pytest.mark.parametrize(
    ("pid", "start"),
    [
        (OTHER, started(OTHER) - 1),  # its number belongs to another process now
        (2**22 + 1, 5),  # more than Linux has
        (0, 0),  # not on record
        (os.getpid(), started(os.getpid())),
    ],
)
def test_it_is_gone(pid: int, start: int) -> None:
    """Nobody waits for the kernel."""
    assert not refused(pid, start)


def test_it_was_elsewhere() -> None:
    """Of another host nothing is known."""
    assert not refused(OTHER, started(OTHER), "elsewhere")
