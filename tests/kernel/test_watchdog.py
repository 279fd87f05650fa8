"""What is done when a process dies without having cleaned up: commands and files."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_kernels.kernel import watchdog as module
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.watchdog import Watchdog

SECONDS = 10.0

# Starts a watchdog, says so, and waits to be killed, or stops it when asked to.
MAKER = """
import asyncio, sys
from pathlib import Path
from remote_kernels.kernel.watchdog import Watchdog
mark, *paths = sys.argv[1:]
watchdog = Watchdog(["sh", "-c", f"echo done >> '{mark}'"], {"PATH": "/usr/bin:/bin"})
watchdog.start()
for path in paths:
    watchdog.remove(Path(path))
print("made", flush=True)
sys.stdin.readline()
asyncio.run(watchdog.stop())
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


def test_a_watchdog_that_is_stopped(tmp_path: Path, left: tuple[Path, Path]) -> None:
    """Nothing is done, and the shell is gone when stop() returns."""
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
    watchdog = Watchdog(["true"], {})

    watchdog.start()
    watchdog.remove(Path("/nowhere"))
    asyncio.run(watchdog.stop())

    assert "a job may be left over" in caplog.text


def marking(mark: Path, word: str = "done") -> Watchdog:
    command = ["sh", "-c", f"echo {word} >> '{mark}'"]
    return Watchdog(command, {"PATH": "/usr/bin:/bin"})


def shell_of(watchdog: Watchdog) -> subprocess.Popen[str]:
    assert watchdog._shell is not None
    return watchdog._shell


@pytest.mark.asyncio
async def test_a_job_that_is_cancelled_now(tmp_path: Path) -> None:
    """Now, and once; whether it was done is known."""
    mark = tmp_path / "mark"
    watchdog = marking(mark)
    watchdog.start(keep=True)

    assert await watchdog.cancel_job()
    assert 1 == rounds(mark)
    await watchdog.stop()


@pytest.mark.asyncio
async def test_a_job_that_is_cancelled_later(tmp_path: Path) -> None:
    """Until that succeeds twice, though nobody waits for it; files are let be."""
    mark, kept = tmp_path / "mark", tmp_path / "kept"
    kept.touch()
    watchdog = marking(mark)
    watchdog.start()
    watchdog.remove(kept)
    watchdog.keep()

    assert watchdog.cancel_later()
    await watchdog.stop()

    assert until(lambda: rounds(mark) == 2)
    assert kept.exists()


@pytest.mark.asyncio
@pytest.mark.parametrize("command", [[], ["false"]])
async def test_a_job_that_cannot_be_cancelled(command: list[str]) -> None:
    """There is nothing to be done, or it fails."""
    watchdog = Watchdog(command, {"PATH": "/usr/bin:/bin"})
    assert not await watchdog.cancel_job()
    assert not watchdog.cancel_later()
    watchdog.start()

    assert not await watchdog.cancel_job()
    await watchdog.stop()


@pytest.mark.asyncio
async def test_a_cancellation_that_takes_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not waited for any longer, and the loop turns meanwhile."""
    monkeypatch.setattr(module, "NOW_TIMEOUT", 0.02)
    monkeypatch.setattr(module, "END_TIMEOUT", 0.02)
    watchdog = Watchdog(["sleep", "60"], {"PATH": "/usr/bin:/bin"})
    watchdog.start()
    shell = shell_of(watchdog)

    assert not await watchdog.cancel_job()
    await watchdog.stop()
    assert shell.poll() is None

    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()


@pytest.mark.asyncio
async def test_a_stopped_shell_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is given up, all else goes on."""
    monkeypatch.setattr(module, "END_TIMEOUT", 0.2)
    watchdog = Watchdog(["true"], {})
    watchdog.start()
    shell = shell_of(watchdog)
    shell.send_signal(signal.SIGSTOP)
    turns = 0

    stopping = asyncio.ensure_future(watchdog.stop())
    while not stopping.done():
        await asyncio.sleep(0.001)
        turns += 1

    assert turns > 10
    shell.kill()
    shell.wait()


@pytest.mark.asyncio
async def test_a_stop_that_is_cancelled(tmp_path: Path) -> None:
    """The next one waits for the shell, which cancels no job meanwhile."""
    mark = tmp_path / "mark"
    watchdog = marking(mark)
    watchdog.start()
    shell = shell_of(watchdog)
    shell.send_signal(signal.SIGSTOP)
    stopping = asyncio.ensure_future(watchdog.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping])

    assert not await watchdog.cancel_job()
    shell.send_signal(signal.SIGCONT)
    await watchdog.stop()

    assert (0, 0) == (shell.returncode, rounds(mark))


def test_a_forked_child(tmp_path: Path) -> None:
    """It has no watchdog: when its parent dies, its copy of the pipe is not in the way."""
    mark = tmp_path / "mark"
    watchdog = marking(mark)
    watchdog.start()
    shell = shell_of(watchdog)

    watchdog.forked()  # as in a child, which then has the only end of the pipe

    assert until(lambda: rounds(mark) == 1)
    assert watchdog._shell is None
    asyncio.run(watchdog.stop())
    os.killpg(shell.pid, signal.SIGKILL)
    os.waitpid(shell.pid, 0)
    assert shell.stdin is not None
    shell.stdin.close()


def test_every_watchdog_is_let_go_in_a_child(tmp_path: Path) -> None:
    """By the hook that a fork calls there."""
    runtime, watchdog = Runtime(), Watchdog(["true"], {})
    runtime.watchdogs.add(watchdog)
    watchdog.start()
    shell = shell_of(watchdog)

    runtime.forked()

    assert watchdog._shell is None
    assert 0 == shell.returncode
    os.killpg(shell.pid, signal.SIGKILL)
    os.waitpid(shell.pid, 0)
    assert shell.stdin is not None
    shell.stdin.close()
