"""agent.culling: who is forgotten, and who is only quiet."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remote_kernels.agent.culling import cpu_seconds, forgotten

SECONDS = 10.0
SILENCE = 0.4
LOOKS = 15  # more of them than are in SILENCE
SPIN = "while :; do :; done"
WORK = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"  # some 0.2 s


class Job:
    """What the culler watches: sessions of processes, a record, a login end."""

    def __init__(self, directory: Path) -> None:
        self.record = directory / "kernels" / "k1"
        self.record.mkdir(parents=True)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.attached = False
        self._looks: asyncio.Queue[None] = asyncio.Queue()

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """A process that leads a session."""
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.processes.append(process)
        return process

    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    def sessions(self) -> list[int]:
        self._looks.put_nowait(None)
        return self.pids()

    async def looks(self, count: int = LOOKS) -> None:
        """Until the culler has looked so often."""
        for _ in range(count):
            await asyncio.wait_for(self._looks.get(), SECONDS)

    @asynccontextmanager
    async def guarded(
        self, silence: float = SILENCE
    ) -> AsyncIterator[asyncio.Task[str]]:
        about = str(self.record), lambda: self.attached, self.sessions
        task = asyncio.create_task(forgotten(silence, *about))
        yield task
        task.cancel()
        await asyncio.wait([task])

    def end(self) -> None:
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    made = Job(tmp_path)
    yield made
    made.end()


def called(name: str, tmp_path: Path) -> str:
    """A command of that name that sleeps."""
    sleep = shutil.which("sleep")
    assert sleep is not None
    (tmp_path / name).symlink_to(sleep)
    return str(tmp_path / name)


async def reason(task: asyncio.Task[str]) -> str:
    return await asyncio.wait_for(asyncio.shield(task), SECONDS)


@pytest.mark.asyncio
async def test_an_idle_kernel_is_forgotten_after_the_silence(job: Job) -> None:
    """Not before it."""
    job.start("sleep", "100")
    begin = time.monotonic()

    async with job.guarded() as task:
        assert "nobody was attached and it was idle for 0.4 s" == await reason(task)

    assert SILENCE <= time.monotonic() - begin


@pytest.mark.asyncio
async def test_a_busy_kernel_is_not(job: Job) -> None:
    """Computing is never interrupted, however long nobody looks."""
    job.start("sh", "-c", SPIN)

    async with job.guarded() as task:
        await job.looks()

        assert not task.done()


@pytest.mark.asyncio
async def test_a_busy_child_of_the_kernel_counts(job: Job) -> None:
    """The kernel itself only waits."""
    job.start("sh", "-c", f"sh -c '{SPIN}'; :")

    async with job.guarded() as task:
        await job.looks()

        assert not task.done()


@pytest.mark.asyncio
async def test_somebody_is_attached(job: Job) -> None:
    """The silence begins when he has left."""
    job.attached = True

    async with job.guarded() as task:
        await job.looks()
        assert not task.done()

        job.attached = False
        left = time.monotonic()
        await reason(task)

    assert SILENCE * 0.9 <= time.monotonic() - left


@pytest.mark.asyncio
async def test_a_kernel_that_computes_on_other_nodes(job: Job, tmp_path: Path) -> None:
    """Its launcher sleeps all the time."""
    job.start(called("mpirun", tmp_path), "100")

    async with job.guarded() as task:
        await job.looks()

        assert not task.done()


@pytest.mark.asyncio
async def test_a_process_that_ended_has_worked(job: Job) -> None:
    """Its time is gone with it: the silence begins anew."""
    worked = job.start("sh", "-c", f"{WORK}; echo; read wait")
    assert worked.stdout is not None
    worked.stdout.readline()
    silence = 1.5  # so long that it does not pass before the end on a busy machine

    async with job.guarded(silence) as task:
        await job.looks(2)
        assert not task.done()
        ended = job.processes.pop()
        left = time.monotonic()
        ended.communicate(b"\n")
        await reason(task)

    assert silence <= time.monotonic() - left


@pytest.mark.asyncio
async def test_a_suspended_job_was_not_silent(job: Job) -> None:
    """Nobody could look while it stood still, and it computes on when it may."""
    busy = job.start("sh", "-c", SPIN)

    async with job.guarded() as task:
        await job.looks(2)
        os.killpg(busy.pid, signal.SIGSTOP)
        time.sleep(SILENCE * 3)  # noqa: ASYNC251, the agent stands still, too
        os.killpg(busy.pid, signal.SIGCONT)
        await job.looks(2)

        assert not task.done()


@pytest.mark.asyncio
async def test_a_kernel_whose_record_was_removed(job: Job) -> None:
    """Nobody can find it any more, whatever it does."""
    job.start("sh", "-c", SPIN)
    job.attached = True

    async with job.guarded() as task:
        await job.looks(1)
        job.record.rmdir()

        assert "its record was removed" == await reason(task)


@pytest.mark.asyncio
async def test_a_record_s_file_system_is_away(job: Job) -> None:
    """That is no reason to end anything."""
    job.attached = True
    state = job.record.parent.parent

    async with job.guarded() as task:
        away = state.rename(state.with_name("away"))
        await job.looks(2)
        away.rename(state)

        assert not task.done()


def test_time_of_sessions_that_were_not_asked_for(job: Job) -> None:
    """Other people's processes are on this node, too."""
    job.start("sh", "-c", SPIN)

    assert (0.0, False) == cpu_seconds([])


def test_the_time_of_children_that_ended(job: Job) -> None:
    """It is their parent's."""
    parent = job.start("sh", "-c", f"sh -c '{WORK}'; echo; read wait")
    assert parent.stdout is not None
    parent.stdout.readline()

    used, launcher = cpu_seconds(job.pids())

    assert used >= 0.05
    assert not launcher


@pytest.mark.parametrize("name", ["srun", "mpirun", "mpiexec", "prun"])
def test_a_launcher_is_known_by_its_name(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In any of the sessions; the batch system's own, too, which the script names."""
    monkeypatch.setenv("RK_LAUNCHERS", "blaunch srun")
    job.start("sleep", "100")
    job.start(called(name, tmp_path), "100")

    assert cpu_seconds(job.pids())[1]


def test_a_process_with_a_strange_name(job: Job, tmp_path: Path) -> None:
    """It cannot lead us astray about the others."""
    job.start(called("mpirun) R 1 (x", tmp_path), "100")
    job.start(called("mpirun", tmp_path), "100")

    assert not cpu_seconds(job.pids()[:1])[1]
    assert cpu_seconds(job.pids())[1]
