"""What any batch system's driver must do, each with its batch system, real or played.

A new driver is done when it passes these, with a row in `systems.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.systems import WRONG, System
from remote_kernels.causes import EndCause
from remote_kernels.errors import CommandError, ConfigError, SubmitError
from remote_kernels.kernel.job import as_facts, id_in
from remote_kernels.scheduler import command
from remote_kernels.scheduler.driver import Ends, Limits, Preflight, Scripts
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
PATIENCE = 60.0  # seconds until the last driver believes that a job can never start
LASTS = "#!/bin/bash\nexec sleep 600\n"
OTHER = "jupyter-07e47e47"

pytestmark = pytest.mark.asyncio


def jobs_of(system: System, **options: Any) -> Jobs:
    options = {"environ": system.environ, "poll_interval": 0.2, **options}
    return Jobs(system.driver, **options)


async def until(
    jobs: Jobs, job_id: JobId, wanted: Callable[[JobStatus], bool]
) -> JobStatus:
    async def look() -> JobStatus:
        while not wanted(status := await jobs.status(job_id)):
            await asyncio.sleep(0.1)
        return status

    return await asyncio.wait_for(look(), TIMEOUT)


async def gone(jobs: Jobs, name: str) -> None:
    """Until none of the user's jobs is called that."""
    while name in [status.name for status in await jobs.own()]:
        await asyncio.sleep(0.1)


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
        wanted = (over, EndCause.CANCELLED), (by_itself, EndCause.FINISHED)
        for one, cause in wanted:  # a record may come later (Grid Engine)
            known = EndCause.UNKNOWN if one.state == "UNKNOWN" else cause
            assert known is system.driver.cause(one)


async def test_a_script_of_ones_own(
    system: System, request_: JobRequest, log: Path
) -> None:
    """It runs as it is, is listed with all other jobs, and can be cancelled."""
    if not isinstance(system.driver, Scripts):
        return
    jobs = jobs_of(system)
    path, mark = Path(f"{log}-run.sh"), Path(f"{log}-mark")
    path.write_text(f"#!/bin/bash\nuname -n >{mark}\nexec sleep 600\n")
    request = await jobs.prepare(replace(request_, name="my-run"))
    way = system.driver.own_submission(request, str(path), path.read_text())

    job_id = await jobs.submit_own(way, request, system.environ)
    status = await until(jobs, job_id, lambda s: s.phase is Phase.RUNNING)
    listed = (await jobs.listing.now([job_id])).live
    while not mark.exists():
        await asyncio.sleep(0.1)
    await jobs.cancel(job_id)
    over = await ended(jobs, job_id)

    assert status.node
    assert [("my-run", job_id)] == [
        (each.name, each.job_id) for each in listed if each.name == "my-run"
    ]
    assert not over.by_itself


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


async def test_the_batch_system_falls_silent_while_a_job_waits(
    system: System, request_: JobRequest, log: Path
) -> None:
    """Between two polls: that is no end, and the wait goes on when somebody answers."""
    if system.waits is None or system.asleep is None:
        return
    environ = dict(system.environ)
    jobs = jobs_of(system, environ=environ)
    told: list[Phase] = []

    async def watch(job_id: JobId) -> None:
        async with contextlib.aclosing(jobs.watch(job_id)) as watched:
            async for status in watched:
                told.append(status.phase)

    async def until_it(is_so: Callable[[], bool]) -> None:
        async def look() -> None:
            while not is_so():
                await asyncio.sleep(0.1)

        await asyncio.wait_for(look(), TIMEOUT)

    waits = replace(request_, options={**request_.options, **system.waits})
    job_id = await jobs.submit(LASTS, waits)
    watching = asyncio.ensure_future(watch(job_id))
    try:
        await until_it(lambda: Phase.PENDING in told)
        environ |= system.asleep
        await until_it(lambda: jobs.is_silent)
        assert {} == await jobs.listed([job_id])
        for name in {*system.asleep} - {*system.environ}:
            del environ[name]
        environ |= system.environ
        await until_it(lambda: not jobs.is_silent)
        assert {Phase.PENDING} == {*told}

        argv = [word.replace("{job}", job_id.number) for word in system.lets_go]
        (await command.run(argv, env=environ)).check(CommandError, "It is not let go.")
        await until_it(lambda: Phase.RUNNING in told)
        await jobs.cancel(job_id)
        await asyncio.wait_for(watching, TIMEOUT)
    finally:
        watching.cancel()
    assert Phase.ENDED is told[-1]


async def said_of(jobs: Jobs, request: JobRequest) -> AsyncGenerator[str, None]:
    """What its user is told of a request: why it is refused, or how its job waits.

    As after a while, in which what is passing would have passed.
    """
    try:
        job_id = await jobs.submit(LASTS, await jobs.prepare(request))
    except (ConfigError, SubmitError) as error:
        yield str(error)
        return
    try:
        async with contextlib.aclosing(jobs.watch(job_id)) as watched:
            async for status in watched:
                late = replace(status, standing=PATIENCE)
                yield jobs.driver.pending_text(status)
                yield jobs.driver.never(late, request.options) or ""
    finally:
        await jobs.cancel(job_id)
        await ended(jobs, job_id)


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_cannot_be_had(
    system: System, request_: JobRequest, log: Path, wrong: str
) -> None:
    """It is told in words that help, and nothing is left: no job, no file."""
    case = system.wrong[wrong]
    if isinstance(case, str):
        pytest.skip(case)
    asked = replace(request_, options={**request_.options, **case.options})
    jobs = jobs_of(system)
    if wrong == "nobody":
        jobs = jobs_of(system, environ=system.asleep)

    said: list[str] = []

    async def until_told() -> None:
        async with contextlib.aclosing(said_of(jobs, asked)) as texts:
            async for text in texts:
                said.append(" ".join(text.split()))
                if re.search(case.words, said[-1]):
                    break

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(until_told(), TIMEOUT)

    assert re.search(case.words, said[-1]), said
    assert request_.name not in [s.name for s in await jobs_of(system).own()]
    assert [] == [*log.parent.glob(f"{log.name}*")]


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
    first = await command.run(argv, env=system.environ)
    await ended(jobs, job_id)
    again = await command.run(argv, env=system.environ)

    assert [] == await named()
    assert (0, 0) == (first.returncode, again.returncode), again.stderr


async def test_a_name_is_not_said_to_be_gone_by_nobody(
    system: System, request_: JobRequest
) -> None:
    """Who looks for what is left tries again, unless somebody says that there is none."""
    nobody = system.wrong["nobody"]
    if isinstance(nobody, str):
        pytest.skip(nobody)
    argv = system.driver.cancel_by_name(request_)

    done = await command.run(argv, env=system.asleep)

    assert 0 != done.returncode, done


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

    await asyncio.wait_for(gone(jobs, request_.name), TIMEOUT)


async def test_a_submission_that_fails_at_last_leaves_no_job(
    system: System, request_: JobRequest, log: Path
) -> None:
    """The batch system has it, and a site's wrapper of its command fails."""

    async def fails(argv: Any, **options: Any) -> Completed:
        done = await command.run(argv, **options)
        submits = bool(options.get("input"))  # the script
        return replace(done, returncode=3) if submits else done

    jobs = jobs_of(system, run=fails)
    with pytest.raises(SubmitError):
        await jobs.submit(LASTS, request_)

    await asyncio.wait_for(gone(jobs, request_.name), TIMEOUT)


async def test_a_job_that_asked_for_no_time(
    system: System, request_: JobRequest, log: Path
) -> None:
    """It ends when its queue says, which is asked once, however often it is looked at."""
    driver = system.driver
    if system.limited is None:
        assert not isinstance(driver, Limits)
        return
    assert isinstance(driver, Limits)
    options, seconds = system.limited
    asked: list[Sequence[str]] = []

    async def run(argv: Sequence[str], **options: Any) -> Completed:
        asked.append([*argv])
        return await command.run(argv, **options)

    jobs = jobs_of(system, run=run)
    job_id = await jobs.submit(LASTS, replace(request_, options=options))
    first = await until(jobs, job_id, lambda status: status.phase is Phase.RUNNING)
    again = await jobs.status(job_id)
    await jobs.cancel(job_id)

    assert first.start_time is not None
    assert first.start_time + seconds == first.end_time == again.end_time
    assert 1 == asked.count([*driver.limits([first.queue]).argv])


async def test_every_option_changes_the_submission(
    system: System, request_: JobRequest
) -> None:
    """None is taken and then forgotten."""

    jobs = jobs_of(system)

    async def way(options: dict[str, Any]) -> tuple[object, ...]:
        prepared = await jobs.prepare(replace(request_, options=options))
        told = system.driver.submission(prepared, "")
        return tuple(told.argv), told.stdin

    plain = await way({})
    for option in system.driver.options:
        value = option.kind.read(option.example)
        if option.name != "jobid":  # which needs a job
            assert plain != await way({option.name: value}), option.name


async def test_no_option_is_dropped_where_the_site_was_not_asked(
    system: System, request_: JobRequest
) -> None:
    """What needs an answer of the site's cannot be submitted without."""

    def way(options: dict[str, Any]) -> tuple[object, ...]:
        told = system.driver.submission(replace(request_, options=options), "")
        return tuple(told.argv), told.stdin

    plain = way({})
    for option in system.driver.options:
        try:
            made = way({option.name: option.kind.read(option.example)})
        except ConfigError:
            assert isinstance(system.driver, Preflight), option.name
        else:
            assert plain != made, option.name


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
