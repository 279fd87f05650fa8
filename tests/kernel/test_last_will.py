"""What is done when a process dies without having cleaned up: commands and files."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_kernels.kernel.last_will import LastWill

SECONDS = 10.0

# Makes a will, says so, and waits to be killed, or revokes it when asked to.
MAKER = """
import asyncio, sys
from pathlib import Path
from remote_kernels.kernel.last_will import LastWill
mark, *paths = sys.argv[1:]
will = LastWill(["sh", "-c", f"echo done >> '{mark}'"], {"PATH": "/usr/bin:/bin"})
will.start()
for path in paths:
    will.remove(Path(path))
print("made", flush=True)
sys.stdin.readline()
asyncio.run(will.revoke())
"""


def until(ready: Callable[[], bool]) -> bool:
    end = time.monotonic() + SECONDS
    while not ready() and time.monotonic() < end:
        time.sleep(0.02)
    return ready()


def rounds(mark: Path) -> int:
    return len(mark.read_text().splitlines()) if mark.exists() else 0


@pytest.fixture
def left(tmp_path: Path) -> tuple[Path, Path]:
    """A file and a directory, with names that a careless shell stumbles over."""
    file, directory = tmp_path / "a 'file' $HOME; *", tmp_path / "directory"
    directory.mkdir()
    (directory / "inside").touch()
    file.touch()
    return file, directory


def made_by(*paths: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKER, *map(str, paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "made\n" == process.stdout.readline()
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_killed(
    tmp_path: Path, left: tuple[Path, Path], number: signal.Signals
) -> None:
    """The command runs twice, and the files go."""
    mark = tmp_path / "mark"
    with made_by(mark, *left) as process:
        process.send_signal(number)

    assert until(lambda: rounds(mark) == 2)
    assert until(lambda: [mark] == [*tmp_path.iterdir()])


def test_a_will_that_is_revoked(tmp_path: Path, left: tuple[Path, Path]) -> None:
    """Nothing is done, and the shell is gone when revoke() returns."""
    mark = tmp_path / "mark"
    with made_by(mark, *left) as process:
        process.communicate("\n")

    assert 0 == process.returncode
    assert 0 == rounds(mark)
    assert {*left} == {*tmp_path.iterdir()}


def test_no_shell_to_be_had(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A user at the limit of his processes still gets a kernel, and a warning."""

    def refuse(*args: object, **options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    will = LastWill(["true"], {})

    will.start()
    will.remove(Path("/nowhere"))
    asyncio.run(will.revoke())

    assert "a job may be left over" in caplog.text
