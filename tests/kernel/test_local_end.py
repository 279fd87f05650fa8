"""kernel.local_end: the sockets and the watchdog of one kernel, on this host."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from remote_kernels.config import parse
from remote_kernels.errors import RecordError
from remote_kernels.front.front import Front
from remote_kernels.front.standin import StandIn
from remote_kernels.kernel import local_end, socket_directory
from remote_kernels.kernel.connection import Connection
from remote_kernels.kernel.job import Job
from remote_kernels.kernel.local_end import LocalEnd
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.wire.kernel_sockets import NUMBERS

KEY = b"key"
SECONDS = 10.0


async def until(is_so: Callable[[], bool]) -> None:
    async def look() -> None:
        while not is_so():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(look(), SECONDS)


@asynccontextmanager
async def a_place(base: Path) -> AsyncIterator[tuple[LocalEnd, list[Path]]]:
    """One, and where it has moved to."""
    moves: list[Path] = []
    settings = parse({"scheduler": "local", "runtime_dir": str(base)})
    local = LocalEnd(settings, StandIn(KEY), moves.append)
    try:
        yield local, moves
    finally:
        await local.close()


def job(directory: Path) -> Job:
    """One whose cancelling leaves a mark, with files that go with it."""
    mark = directory / "cancelled"
    of = SimpleNamespace(
        runtime=Runtime(),
        cancel_argv=["/bin/sh", "-c", f"echo >> '{mark}'"],
        env={"PATH": "/usr/bin:/bin"},
        traces=[directory / "trace"],
    )
    return cast("Job", of)


def sockets(local: LocalEnd) -> set[str]:
    return {path.name for path in local.directory.iterdir() if path.is_socket()}


EVERY = {f"k-{number}" for number in NUMBERS.values()}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Short enough for sockets."""
    made = Path("/tmp") / f"rk-test-{os.getpid()}-{tmp_path.name[-6:]}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(0o700)
    return made


@pytest.fixture(autouse=True)
def _swept(base: Path) -> Any:
    yield
    shutil.rmtree(base, ignore_errors=True)


@pytest.mark.asyncio
async def test_sockets_are_there_until_it_is_closed(base: Path) -> None:
    """And Jupyter is told where, in a directory that is the user's alone."""
    async with a_place(base) as (local, _):
        info = local.open(KEY)

        assert not local.handed_over
        assert EVERY == sockets(local)
        assert str(local.directory / "k") == info["ip"]
        assert (KEY, 1) == (info["key"], info["shell_port"])
        assert 0o700 == local.directory.stat().st_mode & 0o777
    assert not local.directory.exists()


@pytest.mark.asyncio
async def test_each_launch_makes_them_anew(base: Path) -> None:
    """jupyter_client has unlinked them; the paths stay."""
    async with a_place(base) as (local, moves):
        first = local.open(KEY)
        (local.directory / "k-1").unlink()

        assert first == local.open(KEY)
        assert EVERY == sockets(local)
        assert [] == moves


@pytest.mark.asyncio
async def test_what_is_removed_comes_back(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the same place, without a launch: logind removes whole directories."""
    monkeypatch.setattr(local_end, "LOOK", 0.01)
    async with a_place(base) as (local, moves):
        local.open(KEY)
        place = local.directory
        shutil.rmtree(place)

        await until(lambda: place.exists() and EVERY == sockets(local))
        assert place == local.directory
        assert [place] == moves


@pytest.mark.asyncio
async def test_what_cannot_come_back_is_elsewhere(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose base is gone, too, and cannot be made: in a directory that any host has."""
    monkeypatch.setattr(socket_directory, "TMP", base / "tmp")
    (base / "tmp").mkdir(0o700)
    run = base / "run"
    async with a_place(run) as (local, moves):
        local.open(KEY)
        first = local.directory
        shutil.rmtree(run)
        run.write_text("in the way")

        info = local.open(KEY)

        assert base / "tmp" == local.directory.parent
        assert first != local.directory
        assert [local.directory] == moves
        assert str(local.directory / "k") == info["ip"]
        assert EVERY == sockets(local)


class Moving:
    """A connection that is told where to."""

    curve = None

    def __init__(self, fails: OSError | None = None) -> None:
        self.fails = fails
        self.moved: list[Path] = []
        self.joined: list[StandIn | None] = []

    async def join(self, front: Front, standin: StandIn | None) -> None:
        self.joined.append(standin)

    async def move(self, directory: Path) -> None:
        await asyncio.sleep(0)
        self.moved.append(directory)
        if self.fails is not None:
            raise self.fails


@pytest.mark.asyncio
@pytest.mark.parametrize("fails", [None, OSError("no")])
async def test_the_connection_moves_too(
    base: Path, caplog: pytest.LogCaptureFixture, fails: OSError | None
) -> None:
    """`settled` waits for that; what cannot be made anew is said, and ends nothing."""
    connection = Moving(fails)
    async with a_place(base) as (local, _):
        local.open(KEY)
        await local.settled()
        await local.hand_over(cast("Connection", connection))
        shutil.rmtree(local.directory)
        local.open(KEY)
        assert [] == connection.moved

        await local.settled()

        assert [local.directory] == connection.moved
        assert (fails is not None) == ("sockets were not made anew" in caplog.text)


@pytest.mark.asyncio
async def test_the_kernel_answers(base: Path) -> None:
    """The stand-in hands over once; a new process of the kernel changes nothing."""
    first, second = Moving(), Moving()
    async with a_place(base) as (local, _):
        local.open(KEY)
        await local.hand_over(cast("Connection", first))
        await local.hand_over(cast("Connection", first))
        await local.hand_over(cast("Connection", second))

        assert local.handed_over
        assert [local.standin] == first.joined
        assert [None] == second.joined


@pytest.mark.asyncio
async def test_no_place_for_sockets(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said what to set, and that the job goes on."""
    async with a_place(base) as (local, _):

        def refuse(self: Front, respondent: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Front, "bind", refuse)
        with pytest.raises(RecordError) as caught:
            local.open(KEY)

    assert "No space left" in str(caught.value)
    assert "Set runtime_dir" in str(caught.value)


@pytest.mark.asyncio
async def test_trouble_is_told_once(
    base: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at each look; when it is over the sockets are there."""
    monkeypatch.setattr(local_end, "LOOK", 0.001)
    looks = 0

    def refuse(self: Front, ip: str | None = None) -> None:
        nonlocal looks
        looks += 1
        raise OSError(28, "No space left on device")

    async with a_place(base) as (local, _):
        local.open(KEY)
        with monkeypatch.context() as patch:
            patch.setattr(Front, "rebind", refuse)
            (local.directory / "k-2").unlink()
            await until(lambda: looks > 2)
        await until(lambda: EVERY == sockets(local))

    assert 1 == caplog.text.count("new clients do not find the kernel")


@pytest.mark.asyncio
async def test_the_job_is_cancelled_by_another_process(
    base: Path, tmp_path: Path
) -> None:
    """Where this one can start no command any more."""
    async with a_place(base) as (local, _):
        assert not await local.cancel_job()
        await local.start_watchdog(job(tmp_path))

        assert await local.cancel_job()
        assert is_cancelled(tmp_path)


def as_if_killed(local: LocalEnd) -> subprocess.Popen[str]:
    """The watchdog's shell, for which this process has just died."""
    assert local._watchdog is not None
    shell = local._watchdog._shell
    assert shell is not None
    assert shell.stdin is not None
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, shell.stdin.fileno())
    os.close(null)
    return shell


@pytest.mark.asyncio
@pytest.mark.parametrize("keeps", ["nobody", "another process", "the next server"])
async def test_what_the_death_of_this_process_ends(
    base: Path, tmp_path: Path, keeps: str
) -> None:
    """All of a kernel that nobody keeps; else what is on this host."""
    extra, trace = base / "extra", tmp_path / "trace"
    async with a_place(base) as (local, _):
        local.remove_at_death(extra)  # nothing to be done yet
        trace.touch()
        await local.start_watchdog(job(tmp_path), keep=keeps == "another process")
        if keeps == "the next server":
            local.outlive_server()
        extra.touch()
        local.remove_at_death(extra)

        shell = as_if_killed(local)

        await until(lambda: not extra.exists() and not local.directory.exists())
        if keeps == "nobody":
            await until(lambda: not trace.exists() and is_cancelled(tmp_path))
        shell.kill()
        assert (keeps != "nobody") == trace.exists() != is_cancelled(tmp_path)


def is_cancelled(directory: Path) -> bool:
    return (directory / "cancelled").exists()


@pytest.mark.asyncio
async def test_a_watchdog_that_is_started_anew(base: Path, tmp_path: Path) -> None:
    """For another job: the old one is not carried out, and its shell is gone."""
    async with a_place(base) as (local, _):
        await local.start_watchdog(job(tmp_path))
        assert local._watchdog is not None
        shell = local._watchdog._shell
        assert shell is not None

        await local.start_watchdog(job(tmp_path))

        assert 0 == shell.returncode
        assert not is_cancelled(tmp_path)
