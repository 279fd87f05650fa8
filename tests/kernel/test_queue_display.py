"""kernel.queue_display: what is told when, on a clock that waits for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from front.reception import Client, Reception
from front.world import INFO, timeless
from scheduler.asking import job

from remote_kernels.config import parse
from remote_kernels.kernel import queue_display as module
from remote_kernels.kernel.job import Job
from remote_kernels.kernel.launch import Launch, ProcessSpec
from remote_kernels.kernel.queue_display import introduce, queue_display
from remote_kernels.kernel.status import KernelStatus
from remote_kernels.records import KernelInfoCache
from remote_kernels.scheduler.job import JobStatus, Phase
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.slurm.driver import Slurm

SPEC = Launch(("python", "-m", "kernel"), {"A": "1"}).process(parse({}))
SLACK = 0.5  # seconds that this machine may take for what takes none
PENDING = JobStatus(job("7"), Phase.PENDING, "PENDING", "Priority")


class Waiting(Job):
    """A job that waits."""

    def __init__(self) -> None:
        self.id = job("7")
        self.driver = Slurm()
        self.status = PENDING
        self.jobs = Jobs(self.driver)


class Status:
    """What is known of the kernel."""

    def __init__(self, here: Reception, job: Job, since: float) -> None:
        self.here, self.job, self.times = here, job, {"submitted": since}

    @property
    def job_status(self) -> JobStatus | None:
        return self.job.status


class Clock:
    """The loop's, for who asks what time it is."""

    def time(self) -> float:
        return asyncio.get_running_loop().time()


class Wait:
    """A kernel that is waited for, and all that is told meanwhile."""

    def __init__(self, directory: Path) -> None:
        self.reception = Reception()
        self.job = Waiting()
        self.known = KernelInfoCache(directory, SPEC.argv)
        self.told: list[tuple[float, list[str]]] = []
        self.probes: list[float] = []
        self._directory = directory
        self._begun = 0.0

    async def last(
        self, seconds: float, spec: ProcessSpec | None = SPEC, ago: float = 0.0
    ) -> None:
        """Wait for so long, with a job that was submitted so long `ago`."""
        since = self._begun = Clock().time()
        status = cast("KernelStatus", Status(self.reception, self.job, since - ago))
        standin = self.reception.standin
        meet = partial(introduce, self.known, spec, standin, self._directory)
        async with queue_display(status, meet, self._tell):
            await asyncio.sleep(seconds)

    def _now(self) -> float:
        return Clock().time() - self._begun

    def _tell(self, lines: list[str]) -> None:
        self.told.append((self._now(), lines))

    async def probe(
        self, argv: Sequence[str], env: Mapping[str, str], directory: Path
    ) -> dict[str, Any] | None:
        assert ([*SPEC.argv], SPEC.env) == (argv, env)
        assert self._directory == directory
        self.probes.append(self._now())
        await asyncio.sleep(0.5)
        return INFO

    def states(self) -> int:
        """How often its state was said to all."""
        return self.reception.kinds().count("starting")


async def _at_once(call: Callable[..., Any], *args: Any) -> Any:
    """A clock that waits for nobody leaps while a thread works."""
    return call(*args)


@pytest.fixture
def wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wait:
    made = Wait(tmp_path)
    monkeypatch.setattr(module, "time", Clock())
    monkeypatch.setattr(asyncio, "to_thread", _at_once)
    monkeypatch.setattr("remote_kernels.kernel.probe.probe", made.probe)
    return made


@timeless
async def test_a_kernel_that_starts_at_once(wait: Wait) -> None:
    """Nothing is shown, and nothing is tried."""
    await wait.last(0.5)

    assert ([], []) == (wait.told, wait.probes)
    assert [] == wait.reception.sent


@timeless
async def test_first_news_come_after_a_second(wait: Wait) -> None:
    """Below the cell with a hint, elsewhere without."""
    cell = Client(wait.reception).ask()

    await wait.last(1.4)

    ((moment, lines),) = wait.told
    assert moment == pytest.approx(1.0, abs=SLACK)
    assert lines[0].startswith("Job 7 waits: other jobs are ahead")
    (shown,) = wait.reception.texts(cell)
    assert " ".join(shown.split()) == " ".join([*lines, module.HINT])


@timeless
async def test_a_job_that_another_server_submitted(wait: Wait) -> None:
    """There is no need to wait before it is told of."""
    await wait.last(0.1, ago=600)

    ((moment, lines),) = wait.told
    assert moment == pytest.approx(0.0, abs=SLACK)
    assert "waited 10 min so far" in lines[0]


@timeless
async def test_news_come_more_and_more_seldom(wait: Wait) -> None:
    """Each second first, each fifteen in the end."""
    await wait.last(600)

    moments = [moment for moment, _ in wait.told]
    pauses = [late - early for early, late in pairwise(moments)]
    assert pytest.approx([1.0] * 10, abs=SLACK) == pauses[:10]
    assert pytest.approx([15.0] * 20, abs=SLACK) == pauses[-20:]
    assert all(late > early - SLACK for early, late in pairwise(pauses))


@timeless
async def test_what_the_scheduler_says_meanwhile(wait: Wait) -> None:
    """The last word is told."""
    waiting = asyncio.create_task(wait.last(3.5))
    await asyncio.sleep(1.5)
    wait.job.status = JobStatus(job("7"), Phase.RUNNING, "RUNNING", node="c1")
    await waiting

    assert ["waits", "runs", "runs"] == [
        lines[0].split()[2].strip(":") for _, lines in wait.told
    ]


@timeless
async def test_the_state_is_said_again(wait: Wait) -> None:
    """Each minute, as servers cull what is silent."""
    await wait.last(600, spec=None)

    assert 7 <= wait.states() <= 10


@timeless
async def test_a_kernel_that_is_known(wait: Wait) -> None:
    """It is introduced at once, and not tried."""
    wait.known.remember(INFO)

    await wait.last(600)

    assert wait.reception.standin.is_known
    assert [] == wait.probes


@timeless
async def test_a_kernel_that_nobody_knows(wait: Wait) -> None:
    """It is tried once, after a while, and known from then on."""
    await wait.last(600)

    (probed,) = wait.probes
    assert 2.0 <= probed < 2.0 + SLACK
    assert wait.reception.standin.is_known
    assert INFO == wait.known.recall()


@timeless
async def test_a_kernel_that_is_there_before_it_is_tried(wait: Wait) -> None:
    """A probe would cost the login node an interpreter's start."""
    await wait.last(1.5)

    assert [] == wait.probes


@timeless
async def test_a_kernel_that_cannot_be_tried(wait: Wait) -> None:
    """It is in a container, or behind a module: it stays unknown."""
    await wait.last(600, spec=None)

    assert [] == wait.probes
    assert not wait.reception.standin.is_known


@timeless
async def test_a_probe_without_an_answer(
    wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is remembered, and people are informed all the same."""

    async def silent(*args: object) -> None:
        pass

    monkeypatch.setattr("remote_kernels.kernel.probe.probe", silent)

    await wait.last(10)

    assert not wait.reception.standin.is_known
    assert wait.known.recall() is None
    assert wait.told[-1][0] >= 9


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.5, 2.2, 30.0])
def test_all_ends_with_the_block(wait: Wait, seconds: float) -> None:
    """Also if it is left by an error; nothing is told any more."""

    @timeless
    async def test() -> None:
        async def leave() -> None:
            await wait.last(seconds)
            raise LookupError

        with pytest.raises(LookupError):
            await leave()
        told = len(wait.told)
        assert {asyncio.current_task()} == asyncio.all_tasks()
        await asyncio.sleep(60)
        assert told == len(wait.told)

    test()
