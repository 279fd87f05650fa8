"""scheduler.poller: jobs that somebody wants listed, and how often they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise
from typing import Any

from front.world import timeless

from remote_kernels.scheduler.job import Completed, JobId, Phase
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.poller import SLOWEST
from remote_kernels.scheduler.slurm.driver import Slurm
from scheduler.asking import job
from scheduler.captured import captured

PENDING = captured("squeue-pending")  # jobs 9 to 16
DOWN = captured("squeue-down")
INTERVAL = 5.0


class Machine:
    """Answers what it is told to; notes when each question came, and of which jobs."""

    def __init__(self, said: Completed = PENDING) -> None:
        self.said = said
        self.times: list[float] = []
        self.asked: list[set[str]] = []
        self.delay = 0.0
        self.jobs = Jobs(Slurm(), run=self.run, environ={}, poll_interval=INTERVAL)

    async def run(self, argv: Sequence[str], **options: object) -> Completed:
        if "-j" in argv:
            self.times.append(now())
            self.asked.append(set(argv[argv.index("-j") + 1].split(",")))
        await asyncio.sleep(self.delay)
        return replace(self.said, argv=tuple(argv))

    async def look(self, *numbers: str, **options: Any) -> dict[str, str] | None:
        """The states by number."""
        found = await self.jobs.listed([job(n) for n in numbers], **options)
        return None if found is None else {str(i): s.state for i, s in found.items()}

    async def looks(self, until: float, records: object = "r") -> None:
        """Again and again, as `ls --watch` does."""
        end = now() + until
        while now() < end:
            await self.look("9", records=records)
            await asyncio.sleep(INTERVAL)


def now() -> float:
    return asyncio.get_running_loop().time()


def starts(number: str) -> Completed:
    """As PENDING, but this job runs."""
    rows = [
        row.replace("|PENDING|", "|RUNNING|") if row.startswith(f"{number}|") else row
        for row in PENDING.stdout.splitlines(keepends=True)
    ]
    return replace(PENDING, stdout="".join(rows))


@timeless
async def test_many_who_ask_at_once() -> None:
    """One question, and none before the interval is over."""
    machine = Machine()
    machine.delay = 0.5

    found = await asyncio.gather(*(machine.look("9", "13") for _ in range(20)))
    again = await machine.look("9", "13")

    assert [{"9": "PENDING", "13": "PENDING"}] * 20 == found
    assert again == found[0]
    assert [{"9", "13"}] == machine.asked
    await asyncio.sleep(INTERVAL)
    await machine.look("9")
    assert [{"9", "13"}, {"9"}] == machine.asked


@timeless
async def test_one_that_is_new_between_two_questions() -> None:
    """Nothing is known of it yet, and nobody waits for that."""
    machine = Machine()
    await machine.look("9")
    begun = now()

    assert {"9": "PENDING"} == await machine.look("9", "13")

    assert now() < begun + 1
    async with aclosing(machine.jobs.watch(job("16"))) as watching:
        await anext(watching)
        assert now() < begun + INTERVAL + 1
        assert "13" in (await machine.look("9", "13") or {}), "asked for with others"


@timeless
async def test_an_answer_that_takes_its_time() -> None:
    """Who has no more patience goes without; the answer is there for the next one."""
    machine = Machine()
    machine.delay = 60.0

    begun = now()
    early = await machine.look("9", patience=3.0)
    assert 3.0 <= now() - begun < 4.0
    await asyncio.sleep(60.0)
    machine.delay = 0.0
    machine.jobs.ask_no_more_than_every(3600.0)
    late = await machine.look("9", patience=3.0)

    assert (None, {"9": "PENDING"}) == (early, late)
    assert 1 == len(machine.times)


@timeless
async def test_one_who_is_cancelled_leaves_nothing_behind() -> None:
    """Neither a task nor a command."""
    machine = Machine()
    machine.delay = 60.0
    looking = asyncio.create_task(machine.look("9"))
    await asyncio.sleep(1.0)

    looking.cancel()
    await asyncio.wait((looking,))

    assert looking.cancelled()
    assert {asyncio.current_task()} == asyncio.all_tasks()


@timeless
async def test_no_answer_says_nothing() -> None:
    """Not even what was known before."""
    machine = Machine()
    await machine.look("9")
    await asyncio.sleep(INTERVAL)
    machine.said = DOWN

    assert {} == await machine.look("9")


@timeless
async def test_lists_and_who_watches_share_their_questions() -> None:
    """Each has the jobs of both, and they keep the interval together."""
    machine = Machine()

    async with aclosing(machine.jobs.watch(job("16"))) as watching:
        assert Phase.PENDING is (await anext(watching)).phase
        listing = asyncio.create_task(machine.looks(200.0, None))
        changed = asyncio.ensure_future(anext(watching))
        await asyncio.sleep(100.0)
        machine.said = starts("16")
        status = await asyncio.wait_for(changed, 2 * INTERVAL)
        await listing

    assert Phase.RUNNING is status.phase
    assert all({"9", "16"} == asked for asked in machine.asked[1:])
    pauses = [after - before for before, after in pairwise(machine.times[1:])]
    assert min(pauses) >= INTERVAL - 0.01


@timeless
async def test_a_list_that_nobody_looks_at_any_more() -> None:
    """Its jobs are not asked for any more."""
    machine = Machine()
    await machine.look("9")

    async with aclosing(machine.jobs.watch(job("16"))) as watching:
        await anext(watching)
        await asyncio.sleep(10 * SLOWEST)

    assert {"9", "16"} == machine.asked[1]
    assert {"16"} == machine.asked[-1]


@timeless
async def test_less_and_less_often() -> None:
    """From the interval to once in a minute, not in step with others."""
    machine = Machine()

    await machine.looks(600.0)

    pauses = [after - before for before, after in pairwise(machine.times)]
    assert INTERVAL <= pauses[0] < INTERVAL + 1
    assert max(pauses) <= SLOWEST * 1.1 + INTERVAL
    assert min(pauses[-3:]) >= SLOWEST * 0.8
    assert len(machine.times) < 25


@timeless
async def test_news_on_disk() -> None:
    """Asked about soon, but never within the interval."""
    machine = Machine()
    await machine.looks(600.0)
    await machine.look("9", records="other records")
    asked = len(machine.times)

    await asyncio.sleep(INTERVAL - 1)
    await machine.look("9", records="still others")
    assert asked == len(machine.times)
    await asyncio.sleep(1)
    await machine.look("9", records="still others")

    assert asked + 1 == len(machine.times)


@timeless
async def test_news_from_the_scheduler() -> None:
    """More may follow."""
    machine = Machine()
    await machine.looks(600.0)
    machine.said = starts("9")
    before = len(machine.times)
    while len(machine.times) == before:
        await asyncio.sleep(INTERVAL)
        await machine.look("9", records="r")
    heard = now()

    while len(machine.times) == before + 1:
        await asyncio.sleep(INTERVAL)
        await machine.look("9", records="r")

    assert now() - heard <= 2 * INTERVAL


def test_ids_are_values() -> None:
    """A list may be asked for with others that are equal."""
    assert {JobId("9")} == {job("9")}
