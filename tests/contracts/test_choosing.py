"""What any batch system that can must say before a job is submitted: what is free, and when.

Each is real or played, as in `test_drivers.py`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.systems import System
from contracts.test_drivers import LASTS, TIMEOUT, ended, jobs_of, until
from remote_kernels.errors import CommandError
from remote_kernels.scheduler.driver import Estimates, Queues
from remote_kernels.scheduler.free import Estimate, Queue
from remote_kernels.scheduler.job import JobRequest, Phase

pytestmark = pytest.mark.asyncio


async def test_what_is_free(system: System, request_: JobRequest, log: Path) -> None:
    """Each queue is told once, and a job that runs takes some of what was free."""
    driver = system.driver
    if not isinstance(driver, Queues):
        return
    jobs = jobs_of(system)

    async def free() -> list[Queue]:
        return await jobs.ask(driver.queues())

    before = await free()
    job_id = await jobs.submit(LASTS, request_)
    await until(jobs, job_id, lambda status: status.phase is Phase.RUNNING)

    async def taken() -> None:
        while free_cores(await free()) >= free_cores(before) > 0:
            await asyncio.sleep(0.1)

    await asyncio.wait_for(taken(), TIMEOUT)
    await jobs.cancel(job_id)
    await ended(jobs, job_id)

    names = [queue.name for queue in before]
    assert len({*names}) == len(names) > 0
    assert 1 >= sum(queue.is_default for queue in before)
    assert "up" in [queue.state for queue in before]
    option = next((o for o in driver.options if o.portable == "queue"), None)
    assert names == ([option.kind.read(name) for name in names] if option else [""])
    amounts = [each for queue in before for each in (queue.nodes, queue.cores)]
    for amount in (*amounts, *(gpus for queue in before for gpus in queue.gpus)):
        if amount and amount.total is not None and amount.free is not None:
            assert 0 <= amount.free <= amount.total


def free_cores(queues: Sequence[Queue]) -> int:
    return sum((queue.cores and queue.cores.free) or 0 for queue in queues)


async def test_nobody_says_what_is_free(system: System) -> None:
    """That is no empty list."""
    driver = system.driver
    if not isinstance(driver, Queues) or system.asleep is None:
        return
    if driver.name == "htcondor":
        pytest.skip("its collector answers, though the schedd does not")
    deaf = jobs_of(system, environ=system.asleep)

    with pytest.raises(CommandError) as caught:
        await deaf.ask(driver.queues())
    assert caught.value.transient


async def estimate(system: System, request: JobRequest) -> Estimate | None:
    """What is said of a request before it is submitted."""
    assert isinstance(system.driver, Estimates)
    jobs = jobs_of(system)
    prepared = await jobs.prepare(request)
    for query in system.driver.estimates(prepared):
        found = await jobs.ask(query)
        if found is not None:
            return found
    return None


async def test_when_a_job_would_start(
    system: System, request_: JobRequest, log: Path
) -> None:
    """It is told or not, but nothing is submitted, and no file is left."""
    if not isinstance(system.driver, Estimates):
        return
    before = {*log.parent.iterdir()}
    found = await estimate(system, request_)

    assert found
    assert "" == found.problem
    assert found.start is not None
    assert 3600 > found.start - time.time() > -60
    assert found.text
    assert [] == [status.name for status in await jobs_of(system).own()]
    assert before == {*log.parent.iterdir()}


@pytest.mark.parametrize("wrong", ["queue", "size"])
async def test_what_cannot_be_had_is_told_before(
    system: System, request_: JobRequest, log: Path, wrong: str
) -> None:
    """Why it would be refused, without a submission."""
    case = system.wrong[wrong]
    if not isinstance(system.driver, Estimates) or isinstance(case, str):
        return
    if system.driver.is_fallback:
        return  # all options are refused before
    found = await estimate(system, replace(request_, options=case.options))

    assert found
    assert found.start is None
    assert re.search(r"would refuse it: \S.*\.", found.problem, re.DOTALL)
    assert [] == [status.name for status in await jobs_of(system).own()]
    assert not log.exists()
