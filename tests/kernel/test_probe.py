"""kernel.probe: a kernel that tells what it is, kernels that do not, and what is left."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.kernel import probe as module
from remote_kernels.kernel.probe import probe

SECONDS = 10.0
Probed = Callable[[str], "asyncio.Task[dict[str, object] | None]"]
pytestmark = pytest.mark.asyncio


@pytest.fixture
def directory() -> Iterator[Path]:
    """Its path is short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Where processes of the probed kernel write who they are."""
    return tmp_path / "pids"


@pytest.fixture
def probed(directory: Path, mark: Path, tmp_path: Path) -> Probed:
    """`probed("script")`: a kernel whose command is a shell's."""
    env = {**os.environ, "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path)}

    def start(script: str) -> asyncio.Task[dict[str, object] | None]:
        argv = ["sh", "-c", f"echo $$ >> {mark}\n{script}", "{connection_file}"]
        return asyncio.create_task(probe(argv, env, directory))

    return start


def lives(pid: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"  # for init to take away


def nothing_left(directory: Path, mark: Path) -> bool:
    """Neither processes nor files."""
    end = time.monotonic() + SECONDS
    pids = mark.read_text().split()
    while any(map(lives, pids)) and time.monotonic() < end:
        time.sleep(0.01)
    return not [pid for pid in pids if lives(pid)] and not [*directory.iterdir()]


async def marked(mark: Path, count: int) -> None:
    """Until so many processes have written who they are."""
    end = time.monotonic() + SECONDS
    while not mark.exists() or len(mark.read_text().split()) < count:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_a_kernel_tells_what_it_is(
    probed: Probed, directory: Path, mark: Path
) -> None:
    """A real one; it has done nothing else."""
    info = await probed(f'exec {sys.executable} -m ipykernel_launcher -f "$0"')

    assert info is not None
    language = info["language_info"]
    assert isinstance(language, dict)
    assert ("ok", "ipython") == (info["status"], info["implementation"])
    assert ("python", ".py") == (language["name"], language["file_extension"])
    assert nothing_left(directory, mark)


@pytest.mark.parametrize("argv", [[], ["no-such-kernel", "{connection_file}"]])
async def test_a_command_that_is_not_here(
    directory: Path, argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is only on the compute nodes, perhaps; nothing is started."""
    monkeypatch.setattr(asyncio, "create_subprocess_exec", None)

    assert await probe(argv, {"PATH": "/usr/bin:/bin"}, directory) is None
    assert [] == [*directory.iterdir()]


async def test_a_command_that_ends(
    probed: Probed, directory: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells nothing."""
    monkeypatch.setattr(module, "TIMEOUT", 0.5)

    assert await probed("exit 1") is None
    assert nothing_left(directory, mark)


async def test_a_command_that_never_answers(
    probed: Probed, directory: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended with its children, also if it does not want to."""
    monkeypatch.setattr(module, "TIMEOUT", 0.5)
    script = f"trap '' TERM INT HUP\nsleep 600 & echo $! >> {mark}\nwait"

    assert await probed(script) is None
    assert 2 == len(mark.read_text().split())
    assert nothing_left(directory, mark)


async def test_a_probe_that_is_no_longer_needed(
    probed: Probed, directory: Path, mark: Path
) -> None:
    """The kernel itself came first."""
    task = probed(f"sleep 600 & echo $! >> {mark}\nwait")
    await marked(mark, 2)

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert nothing_left(directory, mark)


async def test_a_probe_that_is_not_needed_once_it_starts(
    probed: Probed, directory: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio, cancelled then, kills the process that it started, and nobody else."""
    start = asyncio.create_subprocess_exec

    async def slowly(*args: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*args, **options)
        try:
            await marked(mark, 2)
            going_on.set()
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            process.kill()
            raise
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    going_on = asyncio.Event()
    task = probed(f"sleep 600 & echo $! >> {mark}\nwait")
    await going_on.wait()

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert nothing_left(directory, mark)


async def test_a_probe_is_kind_and_private(
    probed: Probed, directory: Path, mark: Path
) -> None:
    """It gives way to all others, and nobody else can ask the kernel."""
    task = probed("sleep 600")
    await marked(mark, 1)

    pid = int(mark.read_text())
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert min(own + 10, 19) == os.getpriority(os.PRIO_PROCESS, pid)
    assert os.getsid(pid) != os.getsid(0)
    assert str(directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert "/" == os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115
    assert 0o600 == (directory / "probe.json").stat().st_mode & 0o777

    task.cancel()
    await asyncio.wait([task])
