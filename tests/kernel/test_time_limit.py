"""kernel.time_limit: when people are warned, on a clock that waits for nobody."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from front.world import timeless
from scheduler.asking import job

from remote_kernels.errors import CommandError, ControllerError
from remote_kernels.kernel import time_limit
from remote_kernels.kernel.job import Job
from remote_kernels.kernel.time_limit import AT_MOST, mind_time_limit
from remote_kernels.scheduler.job import JobStatus, Phase

HOUR = 3600.0
SILENT = ControllerError("squeue did not answer", ["squeue"], 1)
SLOW = CommandError("squeue did not answer within 60 s", ["squeue"], None)


def now() -> float:
    """On the loop's clock."""
    return asyncio.get_running_loop().time()


class Limited(Job):
    """A job with a time limit, and a scheduler that tells of it."""

    def __init__(self, left: float | None, age: float = 0.0) -> None:
        self._begun = now()
        end = None if left is None else self._begun + left
        self.id = job("7;big")
        start = self._begun - age
        self.status = JobStatus(
            job("7"), Phase.RUNNING, "RUNNING", start_time=start, end_time=end
        )
        self.asked: list[float] = []
        self.errors: list[CommandError] = []

    async def ask(self) -> JobStatus:
        self.asked.append(now() - self._begun)
        if self.errors:
            raise self.errors.pop()
        assert self.status is not None
        self.status = replace(self.status, phase=Phase.RUNNING)
        return self.status

    def move(self, seconds: float) -> None:
        assert self.status is not None
        assert self.status.end_time is not None
        self.status = replace(self.status, end_time=self.status.end_time + seconds)


class Told:
    """What was told, and when."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.moments: list[float] = []
        self.hold: list[Callable[[], bool]] = []
        self._begun = now()

    def __call__(self, text: str, holds: Callable[[], bool]) -> None:
        self.texts.append(text)
        self.hold.append(holds)
        self.moments.append(now() - self._begun)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(time=now, localtime=time.localtime, strftime=time.strftime)
    monkeypatch.setattr(time_limit, "time", clock)


async def minded(job: Limited, *spans: float) -> Told:
    told = Told()
    await mind_time_limit(job, spans, told)
    return told


def about(*moments: float) -> object:
    return pytest.approx(list(moments), abs=1.0)


@timeless
async def test_each_warning_comes_in_time() -> None:
    """It says how much time is left, and when the end is."""
    told = await minded(Limited(HOUR), 600, 60)

    assert about(HOUR - 600, HOUR - 60) == told.moments
    assert told.texts[0].startswith("10 minutes left: job 7 reaches its time limit at")
    assert re.match(r"(59|60) seconds left: job 7 ", told.texts[1])


@timeless
async def test_a_warning_of_an_end_that_has_been_moved() -> None:
    """It does not hold any more: who runs the next cell is not told of it."""
    job = Limited(HOUR)
    told = await minded(job, 600, 60)
    assert [True, True] == [holds() for holds in told.hold]

    job.move(HOUR)

    assert [False, False] == [holds() for holds in told.hold]


@timeless
async def test_the_order_of_warnings_does_not_matter() -> None:
    """They come as the end comes nearer."""
    told = await minded(Limited(HOUR), 60, 600)

    assert about(HOUR - 600, HOUR - 60) == told.moments


@timeless
async def test_a_status_that_is_known_is_not_asked_for() -> None:
    """Only before a warning: thirty students start at once."""
    job = Limited(1000)

    await minded(job, 300)

    assert about(700, 1000) == job.asked


@timeless
async def test_the_time_of_a_suspended_job_stands_still() -> None:
    """Its end is asked for until it runs again."""
    job = Limited(HOUR)
    assert job.status is not None
    running = job.status
    held = replace(running, phase=Phase.SUSPENDED, end_time=None)
    answers = [held, held, replace(running, end_time=now() + 2 * HOUR)]

    async def ask() -> JobStatus:
        job.asked.append(now())
        return answers[min(len(job.asked), len(answers)) - 1]

    job.status, job.ask = held, ask  # type: ignore[method-assign]
    told = await minded(job, 600)

    assert about(2 * HOUR - 600) == told.moments


@timeless
async def test_a_job_that_was_pending_when_last_heard_of() -> None:
    """It is asked for, soon but not by all at once."""
    job = Limited(HOUR)
    assert job.status is not None
    job.status = replace(job.status, phase=Phase.PENDING)

    told = await minded(job, 600)

    first, second = time_limit.FIRST
    assert first <= job.asked[0] <= second
    assert about(HOUR - 600) == told.moments


@timeless
async def test_a_job_without_a_limit() -> None:
    """There is nothing to warn of, which the scheduler was asked once."""
    job = Limited(None)

    assert [] == (await minded(job, 600)).texts
    assert 1 == len(job.asked)


@pytest.mark.parametrize(
    ("minutes", "spans", "moments"),
    [
        (10, (600, 540, 300), (300,)),  # most of its time, and more
        (10, (539,), (61,)),
        (0.5, (600, 60), (15,)),
    ],
)
def test_no_warning_of_what_everybody_knows(
    minutes: float, spans: tuple[float, ...], moments: tuple[float, ...]
) -> None:
    """Who asks for ten minutes is not told at once that ten minutes are left."""

    @timeless
    async def test() -> None:
        told = await minded(Limited(minutes * 60), *spans)
        assert about(*moments) == told.moments

    test()


@timeless
async def test_a_kernel_that_is_found_near_its_end() -> None:
    """Of warnings that are overdue there is one; those ahead come in time."""
    told = await minded(Limited(500, age=10 * HOUR), 3600, 600, 60)

    assert about(0, 440) == told.moments
    assert told.texts[0].startswith("8 minutes left")


@timeless
async def test_a_job_whose_end_has_passed() -> None:
    """Nothing is told."""
    assert [] == (await minded(Limited(-1, age=HOUR), 600)).texts


@timeless
async def test_an_end_that_was_moved() -> None:
    """It is looked for before each warning, which then waits."""
    job = Limited(HOUR)
    asyncio.get_running_loop().call_later(100, job.move, HOUR)

    told = await minded(job, 600)

    assert about(2 * HOUR - 600) == told.moments


@timeless
@pytest.mark.parametrize("late", [30, 590])
async def test_an_end_that_is_moved_after_the_last_warning(late: int) -> None:
    """It is warned of anew."""
    job = Limited(HOUR)
    asyncio.get_running_loop().call_later(HOUR - 600 + late, job.move, HOUR)

    told = await minded(job, 600)

    assert about(HOUR - 600, 2 * HOUR - 600) == told.moments


@timeless
async def test_an_end_that_is_moved_by_a_little() -> None:
    """It comes before its warning would: that comes at once."""
    job = Limited(HOUR)
    asyncio.get_running_loop().call_later(HOUR - 1, job.move, 300)

    told = await minded(job, 600, 60)

    assert about(HOUR - 600, HOUR - 60, HOUR, HOUR + 240) == told.moments
    assert told.texts[2].startswith("5 minutes left")


@timeless
async def test_an_end_that_is_far() -> None:
    """It is asked for each half hour: an administrator may bring it nearer."""
    job = Limited(10 * HOUR)
    asyncio.get_running_loop().call_later(100, job.move, -8 * HOUR)

    told = await minded(job, 600)

    assert about(AT_MOST) == job.asked[:1]
    assert about(2 * HOUR - 600) == told.moments


@timeless
async def test_a_scheduler_that_does_not_answer() -> None:
    """It is asked again, and the warning is late rather than lost."""
    job = Limited(1000)
    job.errors = [SILENT, SLOW]

    told = await minded(job, 300)

    assert 4 == len(job.asked)
    assert [True] == [700 + 2 * 30 <= moment < 1000 for moment in told.moments]


@timeless
@pytest.mark.parametrize("minutes", [1, 2, 3])
async def test_a_job_of_a_few_minutes(minutes: int) -> None:
    """It is warned of in time, though it has no room for what is usual."""
    told = await minded(Limited(60.0 * minutes), 600.0, 120.0)

    assert 1 == len(told.texts)
    left = 60.0 * minutes - told.moments[0]
    assert 25 < left < 0.9 * 60 * minutes


@timeless
async def test_a_job_of_which_only_its_agent_has_told() -> None:
    """That it runs is known, its end is not yet."""
    job, told = Limited(HOUR), Told()
    whole = job.status
    assert whole is not None
    job.status = replace(whole, start_time=None, end_time=None)

    async def ask() -> JobStatus:
        return whole

    job.ask = ask  # type: ignore[method-assign]
    await mind_time_limit(job, [600], told)

    assert 1 == len(told.texts)
