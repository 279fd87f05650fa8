"""What any batch system's driver must do, each with its batch system for real.

A new driver is done when it passes these, with a row in `systems.py`.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.systems import SYSTEMS, System
from remote_kernels.errors import CommandError, SubmitError
from remote_kernels.kernel.job import as_facts, id_in
from remote_kernels.scheduler import command
from remote_kernels.scheduler.driver import Ends
from remote_kernels.scheduler.job import (
    OUR_NAME,
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
)
from remote_kernels.scheduler.jobs import Jobs

TIMEOUT = 60.0
LASTS = "#!/bin/bash\nexec sleep 600\n"
OTHER = "jupyter-07e47e47"

pytestmark = pytest.mark.asyncio


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.cluster) if name == "slurm" else name
        for name in SYSTEMS
    ]
)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> System:
    return SYSTEMS[request.param](tmp_path)


def jobs_of(system: System, **options: Any) -> Jobs:
    options = {"environ": system.environ, "poll_interval": 0.2, **options}
    return Jobs(system.driver, **options)


@pytest.fixture
def request_(system: System, tmp_path: Path) -> JobRequest:
    """A small job, with a name of ours."""
    home = Path.home() if os.getuid() else tmp_path  # which the nodes see
    name = f"jupyter-{uuid.uuid4().hex[:8]}"
    output = home / f"{name}.log"
    return JobRequest(name, str(output), system.options, str(os.getuid()))


@pytest.fixture
def log(request_: JobRequest) -> Iterator[Path]:
    path = Path(request_.output)
    yield path
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()


async def until(
    jobs: Jobs, job_id: JobId, wanted: Callable[[JobStatus], bool]
) -> JobStatus:
    async def look() -> JobStatus:
        while not wanted(status := await jobs.status(job_id)):
            await asyncio.sleep(0.1)
        return status

    return await asyncio.wait_for(look(), TIMEOUT)


async def ended(jobs: Jobs, job_id: JobId) -> JobStatus:
    status = await jobs.wait_ended(job_id, TIMEOUT)
    assert status is not None
    return status


async def test_a_job_runs_its_script(
    system: System, request_: JobRequest, log: Path
) -> None:
    """With the environment that it is given; both streams are in its log."""
    jobs = jobs_of(system)
    environ = {**system.environ, "GIVEN": "beads and rods"}
    script = '#!/bin/bash\necho "out $GIVEN"; echo err >&2; exit 7\n'

    job_id = await jobs.submit(script, request_, environ)
    status = await ended(jobs, job_id)

    assert (job_id, Phase.ENDED) == (status.job_id, status.phase)
    assert {"out beads and rods", "err"} <= set(log.read_text().splitlines())
    if isinstance(system.driver, Ends):
        assert (7, True) == (status.exit_code, status.by_itself)


async def test_the_script_is_told_its_job(
    system: System, request_: JobRequest, log: Path
) -> None:
    """As far as the batch system knows; the agent asks nobody else."""
    jobs = jobs_of(system)
    head = system.driver.script_head(request_)
    job_id = await jobs.submit(
        f'#!/bin/bash\n{head}\necho "job $RK_JOB_ID"\n', request_
    )
    await ended(jobs, job_id)

    told = f"job {job_id}" if "RK_JOB_ID" in head else "job"
    assert told in [line.strip() for line in log.read_text().splitlines()]


async def test_a_job_that_runs_is_cancelled(
    system: System, request_: JobRequest, log: Path
) -> None:
    """It has a node; its end is another one than its own; twice is no error."""
    jobs = jobs_of(system)
    job_id = await jobs.submit(LASTS, request_)
    another = replace(request_, name=OTHER, output=f"{request_.output}-other")
    other = await jobs.submit("#!/bin/bash\n", another)
    status = await until(jobs, job_id, lambda s: s.phase is Phase.RUNNING)

    await jobs.cancel(job_id)
    over = await ended(jobs, job_id)
    await jobs.cancel(job_id)
    by_itself = await ended(jobs, other)

    assert status.node
    assert not over.by_itself
    if by_itself.by_itself:  # else the batch system cannot tell
        assert system.driver.ended_text(over) != system.driver.ended_text(by_itself)


async def test_a_job_that_waits_is_cancelled(
    system: System, request_: JobRequest, log: Path
) -> None:
    """What it waits for is said; it never runs."""
    if system.waits is None:
        return  # its jobs never do
    jobs = jobs_of(system)
    waits = replace(request_, options={**request_.options, **system.waits})
    job_id = await jobs.submit("#!/bin/bash\necho it ran\n", waits)
    status = await until(jobs, job_id, lambda s: s.phase is Phase.PENDING)

    await jobs.cancel(job_id)
    over = await ended(jobs, job_id)

    assert system.driver.pending_text(status)
    assert Phase.ENDED is over.phase
    assert not log.exists() or "it ran" not in log.read_text()


async def test_no_answer_is_not_an_end(
    system: System, request_: JobRequest, log: Path
) -> None:
    """Nor is it a job that was refused for good."""
    if system.asleep is None:
        return  # there is always somebody
    jobs = jobs_of(system)
    job_id = await jobs.submit(LASTS, request_)
    deaf = jobs_of(system, environ=system.asleep)

    for question in (deaf.status(job_id), deaf.own()):
        with pytest.raises(CommandError) as caught:
            await question
        assert caught.value.transient
    with pytest.raises(SubmitError):
        await deaf.submit(LASTS, request_)

    assert Phase.ENDED is not (await jobs.status(job_id)).phase
    await jobs.cancel(job_id)
    await ended(jobs, job_id)


async def test_a_state_that_nobody_knows_is_alive(system: System) -> None:
    """A later version may have new words."""
    job_id = system.job_id
    (query,) = system.driver.status([job_id])

    found = query.parse(system.said(job_id, "DREAMING"))

    assert [(job_id, "DREAMING", Phase.UNKNOWN)] == [
        (s.job_id, s.state, s.phase) for s in found.values()
    ]


async def test_jobs_are_asked_for_together(
    system: System, request_: JobRequest, log: Path
) -> None:
    """In as few commands as one; who is not there any more has ended."""
    counted: list[list[str]] = []

    async def counting(argv: Any, **options: Any) -> Completed:
        counted.append(list(argv))
        return await command.run(argv, **options)

    jobs = jobs_of(system, run=counting)
    ids = [await jobs.submit(LASTS, request_) for _ in range(2)]
    counted.clear()

    found = await jobs.statuses(ids)

    assert {*ids} == {*found}
    assert 1 == len(counted)
    for job_id in ids:
        await jobs.cancel(job_id)
        await ended(jobs, job_id)


async def test_an_id_is_written_and_read(
    system: System, request_: JobRequest, log: Path
) -> None:
    """By whoever keeps it; people read a number of one word."""
    jobs = jobs_of(system)
    job_id = await jobs.submit("#!/bin/bash\n", request_)

    assert job_id == id_in(as_facts(job_id))
    assert system.driver.knows(job_id)
    assert 1 == len(str(job_id).split())
    assert not system.driver.knows(JobId("--all"))
    await ended(jobs, job_id)


async def test_a_job_is_found_and_cancelled_by_its_name(
    system: System, request_: JobRequest, log: Path
) -> None:
    """For a submission whose answer never came, and by who looks for what is left."""
    jobs = jobs_of(system)
    job_id = await jobs.submit(LASTS, request_)
    assert OUR_NAME.fullmatch(request_.name)

    async def named() -> list[JobId]:
        return [s.job_id for s in await jobs.own() if s.name == request_.name]

    assert [job_id] == await named()
    argv = system.driver.cancel_by_name(request_)
    await command.run(argv, env=system.environ)
    await ended(jobs, job_id)

    assert [] == await named()


async def test_a_submission_that_is_cancelled_leaves_no_job(
    system: System, request_: JobRequest, log: Path
) -> None:
    """Half way: when the batch system has it, and we have not heard so."""
    submitted = asyncio.Event()

    async def slow(argv: Any, **options: Any) -> Completed:
        done = await command.run(argv, **options)
        if not submitted.is_set():
            submitted.set()
            await asyncio.sleep(0.05)
        return done

    jobs = jobs_of(system, run=slow)
    task = asyncio.ensure_future(jobs.submit(LASTS, request_))
    await submitted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def gone() -> None:
        while request_.name in [s.name for s in await jobs.own()]:
            await asyncio.sleep(0.1)

    await asyncio.wait_for(gone(), TIMEOUT)


async def test_every_option_changes_the_submission(
    system: System, request_: JobRequest
) -> None:
    """None is taken and then forgotten."""

    def way(options: dict[str, Any]) -> tuple[object, ...]:
        told = system.driver.submission(replace(request_, options=options), "")
        return tuple(told.argv), told.stdin

    plain = way({})
    for option in system.driver.options:
        value = option.kind.read(option.example)
        if option.name != "jobid":  # which needs a job
            assert plain != way({option.name: value}), option.name


async def test_its_words_are_for_people(system: System) -> None:
    """A clause for what it waits for, sentences for how it ended."""
    job_id = system.job_id
    for phase in (Phase.PENDING, Phase.UNKNOWN):
        text = system.driver.pending_text(JobStatus(job_id, phase, "ANY", "Reason"))
        assert text
        assert not text.endswith(".")
    for status in (
        JobStatus(job_id, Phase.ENDED, "UNKNOWN"),
        JobStatus(job_id, Phase.ENDED, "FAILED", exit_code=3, by_itself=True),
    ):
        assert system.driver.ended_text(status).endswith((".", "?"))
