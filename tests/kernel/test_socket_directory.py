"""kernel.socket_directory: where a kernel's sockets are, and who may look there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_kernels.errors import ConfigError, RecordError
from remote_kernels.kernel.socket_directory import (
    LONGEST_NAME,
    TMP,
    choose_base,
    make,
    remove,
)
from remote_kernels.wire.kernel_sockets import SUN_PATH


@pytest.fixture
def odd_umask() -> Iterator[None]:
    """One that leaves the user himself without rights."""
    before = os.umask(0o777)
    yield
    os.umask(before)


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A directory as logind makes it, with a short path."""
    path = Path(f"/tmp/rk-run-{os.getpid()}")
    path.mkdir(0o700)
    return path


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    yield
    remove(Path(f"/tmp/rk-run-{os.getpid()}"))


def test_the_user_s_own(runtime: Path) -> None:
    """What logind gives, if it is the user's alone."""
    assert runtime == choose_base(None, {"XDG_RUNTIME_DIR": str(runtime)})
    runtime.chmod(0o755)
    assert TMP == choose_base(None, {"XDG_RUNTIME_DIR": str(runtime)})


@pytest.mark.parametrize("path", ["", "/nowhere", "/" + "x" * 60])
def test_none_of_the_user_s_own(path: str) -> None:
    """Every host has /tmp."""
    assert TMP == choose_base(None, {"XDG_RUNTIME_DIR": path})
    assert TMP == choose_base(None, {})


def test_as_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else there is, if sockets' paths fit."""
    monkeypatch.setenv("HOME", "/home/alice")
    longest = "/" + "x" * (SUN_PATH - LONGEST_NAME - len("/rk-12345678") - 1)

    assert Path("/home/alice/run") == choose_base("~/run", {"XDG_RUNTIME_DIR": "/"})
    assert Path(longest) == choose_base(longest, {})
    with pytest.raises(ConfigError, match="is too long"):
        choose_base(longest + "x", {})


@pytest.mark.usefixtures("odd_umask")
def test_it_is_the_user_s_alone(runtime: Path) -> None:
    """Each kernel has its own, until it is removed with all that is in it."""
    os.umask(0o077)
    base = runtime / "below"
    first, second = make(base), make(base)
    os.umask(0o777)
    third = make(base)

    assert 3 == len({first, second, third})
    assert [0o700] * 3 == [path.stat().st_mode & 0o777 for path in base.iterdir()]
    (first / "k-1").touch()
    remove(first)
    remove(first)
    assert not first.exists()


def test_a_base_that_others_may_change(runtime: Path) -> None:
    """It is none, and the user is told what to set."""
    runtime.chmod(0o777)

    with pytest.raises(RecordError, match="Set runtime_dir in the kernelspec's config"):
        make(runtime)
