"""scheduler.local with scheduler.jobs: real jobs of this machine, from end to end."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from remote_kernels.errors import (
    CommandError,
    ConfigError,
    ControllerError,
    SubmitError,
)
from remote_kernels.scheduler import command
from remote_kernels.scheduler.job import Completed, JobId, JobRequest, JobStatus, Phase
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.local.driver import Local

TIMEOUT = 30.0


def queue() -> Jobs:
    return Jobs(Local(grace=1.0), poll_interval=0.05)


def request(tmp_path: Path) -> JobRequest:
    return JobRequest("test", str(tmp_path / "job.log"))


async def ended(jobs: Jobs, job_id: JobId) -> JobStatus:
    status = await jobs.wait_ended(job_id, TIMEOUT)
    assert status is not None
    return status


@pytest.mark.asyncio
async def test_a_job_runs_and_its_exit_code_is_known(tmp_path: Path) -> None:
    """Both streams are in its log."""
    jobs = queue()

    job_id = await jobs.submit("echo out; echo err >&2; exit 7\n", request(tmp_path))
    status = await ended(jobs, job_id)

    assert (Phase.ENDED, 7) == (status.phase, status.exit_code)
    assert "out\nerr\n" == (tmp_path / "job.log").read_text()


@pytest.mark.asyncio
async def test_cancel_is_sigterm_first(tmp_path: Path) -> None:
    """The script may clean up."""
    jobs = queue()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"trap 'echo cleaned; exit 0' TERM\necho ready > {fifo}\nsleep 60 & wait\n"
    job_id = await jobs.submit(script, request(tmp_path))
    assert "ready\n" == await asyncio.to_thread(fifo.read_text)

    await jobs.cancel(job_id)
    await ended(jobs, job_id)

    assert "cleaned\n" == (tmp_path / "job.log").read_text()


@pytest.mark.asyncio
async def test_a_job_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """After the grace, with its whole session."""
    jobs = queue()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"trap '' TERM\necho $$ > {fifo}\nwhile :; do sleep 60; done\n"
    job_id = await jobs.submit(script, request(tmp_path))
    pid = (await asyncio.to_thread(fifo.read_text)).strip()

    await jobs.cancel(job_id)
    await ended(jobs, job_id)

    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.asyncio
async def test_nothing_of_a_job_outlives_it(tmp_path: Path) -> None:
    """Not even what left its session, as in a batch system."""
    jobs = queue()
    script = "setsid sleep 60 &\necho $!\nsetsid sh -c 'sleep 60 & echo $!; wait' &\n"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = asyncio.ensure_future(asyncio.to_thread(fifo.read_text))

    job_id = await jobs.submit(f"{{ {script} }} > {fifo}\n", request(tmp_path))
    status = await ended(jobs, job_id)

    assert "COMPLETED" == status.state
    pids = (await reading).split()
    assert [False] * len(pids) == [Path(f"/proc/{pid}").exists() for pid in pids]


@pytest.mark.asyncio
async def test_a_number_that_is_used_again_is_another_job(tmp_path: Path) -> None:
    """A job is its holder's number and start: nobody else is asked or ended."""
    jobs = queue()
    mine = JobId(f"{os.getpid()}-1", f"{tmp_path}/job.log")

    await jobs.cancel(mine)
    status = await jobs.status(mine)

    assert (Phase.ENDED, "UNKNOWN") == (status.phase, status.state)


@pytest.mark.asyncio
async def test_a_job_can_be_cancelled_by_its_name(tmp_path: Path) -> None:
    """For a submission whose answer never came."""
    jobs = queue()
    named = replace(request(tmp_path), name=f"test-{os.getpid()}")
    job_id = await jobs.submit("exec sleep 60\n", named)

    await command.run(Local().cancel_by_name(named))
    status = await ended(jobs, job_id)

    assert "CANCELLED" == status.state


@pytest.mark.asyncio
async def test_our_own_jobs_are_listed(tmp_path: Path) -> None:
    """Those that live and have a name of ours, under the ids that they were given."""
    jobs = queue()
    name = f"jupyter-{os.getpid():08x}"
    mine = await jobs.submit("exec sleep 60\n", replace(request(tmp_path), name=name))
    other = await jobs.submit("exec sleep 60\n", request(tmp_path))

    before = await jobs.own()
    for job_id in (mine, other):
        await jobs.cancel(job_id)
        await ended(jobs, job_id)
    after = await jobs.own()

    found = [status for status in before if status.job_id in (mine, other)]
    assert [(name, mine, Phase.RUNNING)] == [
        (status.name, status.job_id, status.phase) for status in found
    ]
    assert mine not in [status.job_id for status in after]


def test_no_answer_is_not_no_jobs() -> None:
    """Nothing is known then."""
    with pytest.raises(ControllerError, match="could not be listed"):
        Local().own("")[0].parse(Completed(("own",), 1, "", "no /proc"))


@pytest.mark.asyncio
async def test_watch_yields_each_change(tmp_path: Path) -> None:
    """The last one is the end."""
    jobs = queue()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    job_id = await jobs.submit(f"read line < {fifo}\n", request(tmp_path))
    phases = []

    async for status in jobs.watch(job_id):
        phases.append(status.phase)
        if status.phase is Phase.RUNNING:
            await asyncio.to_thread(fifo.write_text, "go on\n")

    assert (Phase.RUNNING, Phase.ENDED) == (phases[0], phases[-1])


@pytest.mark.asyncio
async def test_a_cancelled_submission_leaves_no_job(tmp_path: Path) -> None:
    """It learns the id, cancels the job, and only then lets the cancellation pass."""
    submitted = asyncio.Event()
    made: list[str] = []

    async def slow(argv: list[str], **kwargs: object) -> Completed:
        done = await command.run(argv, **kwargs)  # type: ignore[arg-type]
        if "submit" in argv:
            made.append(done.stdout.strip())
            submitted.set()
            await asyncio.sleep(0.05)  # the scheduler is slow to answer
        return done

    jobs = Jobs(Local(grace=1.0), run=slow, poll_interval=0.05)
    task = asyncio.ensure_future(jobs.submit("sleep 60\n", request(tmp_path)))
    await submitted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    number, _, where = made[0].partition(";")
    status = await ended(jobs, JobId(number, where))
    assert Phase.ENDED is status.phase


@pytest.mark.asyncio
async def test_a_refused_submission_shows_everything(tmp_path: Path) -> None:
    """Command, exit code, both streams."""
    wanted = JobRequest("test", str(tmp_path / "missing" / "job.log"))

    with pytest.raises(SubmitError, match="exit code") as caught:
        await queue().submit("true\n", wanted)

    assert "missing" in str(caught.value)


def test_options_that_nothing_obeys_are_refused() -> None:
    """A time limit must not look granted."""
    with pytest.raises(ConfigError, match="asks for time"):
        Local().submission(JobRequest("n", "/tmp/log", {"time": 5}), "")


@pytest.mark.asyncio
async def test_a_missing_command_is_a_command_error() -> None:
    """With what to do about it."""
    with pytest.raises(CommandError, match="could not be started"):
        await command.run(["/no/such/command"])


@pytest.mark.asyncio
async def test_a_command_that_takes_too_long_is_ended() -> None:
    """And what it had said is told."""
    with pytest.raises(CommandError, match="did not answer within") as caught:
        await command.run(["sh", "-c", "echo started; sleep 60"], timeout=0.5)

    assert "started" in caught.value.stdout
