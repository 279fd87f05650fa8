"""scheduler.jobs and scheduler.poller: one question for many, places in the queue, and time limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise

import pytest
from front.world import timeless

from remote_kernels.errors import CommandError, ConfigError, ControllerError
from remote_kernels.scheduler import poller
from remote_kernels.scheduler.gridengine.driver import GridEngine
from remote_kernels.scheduler.job import Completed, JobStatus
from remote_kernels.scheduler.jobs import GATHER, Jobs
from remote_kernels.scheduler.local.driver import Local
from remote_kernels.scheduler.poller import PLACES, PLACES_AFTER
from remote_kernels.scheduler.slurm.driver import Slurm
from scheduler.asking import job
from scheduler.captured import captured

PENDING = captured("squeue-pending")
DOWN = captured("squeue-down")
# Made up, not captured: it is passed on, whatever it says.
REFUSED = Completed((), 1, "", "Access/permission denied for job 16\n")


class Machine:
    """Stands in for the machine: what commands say, and when they were run."""

    def __init__(self, answer: Callable[[Sequence[str]], Completed]) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []
        self.times: list[float] = []

    async def run(self, argv: Sequence[str], **options: object) -> Completed:
        self.asked.append(list(argv))
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)
        return replace(self.answer(argv), argv=tuple(argv))

    def queue(self, **options: float) -> Jobs:
        return Jobs(Slurm(), run=self.run, environ={}, **options)

    def places(self) -> list[float]:
        """When the whole queue was looked at."""
        pairs = zip(self.asked, self.times, strict=True)
        return [time for argv, time in pairs if argv == Slurm().places([]).argv]


def waits(argv: Sequence[str]) -> Completed:
    """Jobs 9 to 16 wait; their own rows, or all that compete."""
    return captured("squeue-places") if "PD" in argv else PENDING


def says(done: Completed) -> Machine:
    return Machine(lambda argv: done)


class Never:
    """A capability that nobody has."""


# One question


@timeless
async def test_questions_that_come_together_are_one() -> None:
    """Each gets the answer about its own job, also two about the same."""
    machine = says(PENDING)
    jobs = machine.queue()

    found = await asyncio.gather(
        *(jobs.status(job(each)) for each in ["13", "16", "13", "12"])
    )

    assert ["13", "16", "13", "12"] == [str(status.job_id) for status in found]
    (argv,) = machine.asked
    assert "13,16,12" == argv[argv.index("-j") + 1]


@timeless
async def test_questions_that_come_later_are_asked_anew() -> None:
    """An answer is never older than its question."""
    machine = says(PENDING)
    jobs = machine.queue()
    first = asyncio.create_task(jobs.status(job("13")))
    await asyncio.sleep(GATHER + 0.005)  # it is being asked
    assert 1 == len(machine.asked)

    await jobs.status(job("13"))

    assert first.done()
    assert 2 == len(machine.asked)


@timeless
async def test_no_answer_reaches_all_who_asked() -> None:
    """And the next question is asked again."""
    machine = says(DOWN)
    jobs = machine.queue()

    found = await asyncio.gather(
        *(jobs.status(job(each)) for each in ["13", "16"]), return_exceptions=True
    )
    assert [ControllerError] * 2 == [type(error) for error in found]

    machine.answer = waits
    assert job("13") == (await jobs.status(job("13"))).job_id


@pytest.mark.parametrize("patience", [0.0, GATHER / 2, GATHER + 0.005])
@pytest.mark.parametrize("answer", [PENDING, DOWN], ids=["answer", "none"])
def test_whoever_gives_up_harms_nobody(patience: float, answer: Completed) -> None:
    """Also who asks about the same job."""

    @timeless
    async def test() -> None:
        jobs = says(answer).queue()
        asking = [asyncio.create_task(jobs.status(job(n))) for n in ("13", "13", "16")]
        await asyncio.sleep(patience)

        asking[0].cancel()
        found = await asyncio.gather(*asking, return_exceptions=True)

        kind = JobStatus if answer is PENDING else ControllerError
        assert [asyncio.CancelledError, kind, kind] == [type(each) for each in found]

    test()


# Places


async def watch(jobs: Jobs, job_id: str, seconds: float) -> list[JobStatus]:
    """What is told of a job in that time."""
    found: list[JobStatus] = []

    async def follow() -> None:
        async with aclosing(jobs.watch(job(job_id))) as watching:
            async for status in watching:
                found.append(status)

    following = asyncio.create_task(follow())
    await asyncio.sleep(seconds)
    following.cancel()
    await asyncio.wait([following])
    return found


@timeless
async def test_a_job_that_waits_learns_its_place() -> None:
    """That is news, although nothing else has changed."""
    found = await watch(Machine(waits).queue(), "16", PLACES_AFTER * 4)

    assert [None, 2] == [status.place for status in found]


@timeless
async def test_the_whole_queue_is_seldom_looked_at() -> None:
    """Not for a job that soon starts, then once in a while for all who wait."""
    machine = Machine(waits)
    jobs = machine.queue()

    await watch(jobs, "16", PLACES_AFTER * 0.9)
    assert [] == machine.places()

    begun = asyncio.get_running_loop().time()
    await asyncio.gather(
        *(watch(jobs, each, PLACES * 4) for each in ("14", "16", "13"))
    )

    times = [time - begun for time in machine.places()]
    assert PLACES_AFTER <= times[0] <= PLACES_AFTER * 4
    assert 4 == len(times)
    assert all(b - a >= PLACES for a, b in pairwise(times))


@timeless
async def test_a_job_that_has_started_has_no_place() -> None:
    """Although the last look at the queue knew one."""
    machine = Machine(waits)
    jobs = machine.queue()
    running = captured("squeue-running")
    running = replace(running, stdout=running.stdout.replace("18|", "16|", 1))
    loop = asyncio.get_running_loop()
    loop.call_later(PLACES_AFTER * 4, setattr, machine, "answer", lambda argv: running)

    found = await watch(jobs, "16", PLACES_AFTER * 10)

    assert [("PENDING", None), ("PENDING", 2), ("RUNNING", None)] == [
        (status.state, status.place) for status in found
    ]


@timeless
async def test_a_scheduler_without_a_queue_is_not_asked_for_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever its driver is."""
    monkeypatch.setattr(poller, "Places", Never)
    machine = Machine(waits)

    await watch(machine.queue(), "16", PLACES)

    assert machine.asked
    assert [] == machine.places()


@timeless
async def test_a_job_that_nobody_watches_any_more_harms_no_other() -> None:
    """Its watcher leaves while the answer is on its way."""
    leaving: asyncio.Task[object]

    class Slow(Machine):
        async def run(self, argv: Sequence[str], **options: object) -> Completed:
            if len(self.asked) > 2:
                leaving.cancel()
            return await super().run(argv, **options)

    jobs = Slow(waits).queue()
    leaving = asyncio.create_task(jobs.wait_ended(job("14"), PLACES))

    found = await watch(jobs, "16", PLACES_AFTER * 4)

    assert leaving.cancelled()
    assert [None, 2] == [status.place for status in found]


@timeless
async def test_places_that_are_not_told_cost_no_news() -> None:
    """The states are told all the same."""

    def answer(argv: Sequence[str]) -> Completed:
        return DOWN if "PD" in argv else PENDING

    machine = Machine(answer)

    found = await watch(machine.queue(), "16", PLACES_AFTER * 4)

    assert ["PENDING"] == [status.state for status in found]
    assert machine.places()


# Time limits


@timeless
async def test_a_time_limit_is_moved() -> None:
    """Of the job itself, on its own cluster."""
    machine = says(Completed((), 0, "", ""))

    await machine.queue().extend(job("16;big"), 90)

    expected = ["-M", "big", "update", "JobId=16", "TimeLimit=+90"]
    assert [["scontrol", *expected]] == machine.asked


@timeless
async def test_a_time_limit_that_is_not_moved() -> None:
    """The scheduler's own words are shown, and what can be done."""
    with pytest.raises(CommandError) as caught:
        await says(REFUSED).queue().extend(job("16"), 90)

    assert "The time limit of job 16 was not moved." in str(caught.value)
    assert "Access/permission denied for job 16" in str(caught.value)
    assert "only their staff" in str(caught.value)


@timeless
async def test_a_job_that_has_no_time_limit() -> None:
    """A local one; nothing is run."""
    machine = says(REFUSED)

    with pytest.raises(ConfigError, match="'local' has no time limit"):
        await Jobs(Local(), run=machine.run).extend(job("1"), 90)

    assert [] == machine.asked


@timeless
async def test_a_batch_system_that_moves_no_time_limit() -> None:
    """Which one that is, and what to do instead; nothing is run."""
    machine = says(REFUSED)

    with pytest.raises(ConfigError) as caught:
        await Jobs(GridEngine(), run=machine.run).extend(job("1"), 90)

    assert "Grid Engine cannot move a running job's time limit." in str(caught.value)
    assert "Ask for a longer 'time'" in str(caught.value)
    assert [] == machine.asked
