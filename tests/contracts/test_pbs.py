"""What PBS's and Torque's drivers do besides, each with a stand-in that runs the jobs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.systems import SYSTEMS, System
from remote_kernels.causes import EndCause
from remote_kernels.errors import DeniedError
from remote_kernels.scheduler import command
from remote_kernels.scheduler.job import JobId, JobRequest, JobStatus, Phase
from remote_kernels.scheduler.jobs import Jobs

pytestmark = pytest.mark.asyncio
LASTS = "#!/bin/bash\nexec sleep 600\n"
ENDS = "#!/bin/bash\n"


class Played:
    """A stand-in, and the jobs that its driver has there."""

    def __init__(self, system: System, directory: Path) -> None:
        self.system, self.driver = system, system.driver
        self.directory, self.home = directory, directory / "home"
        self.jobs = Jobs(system.driver, environ=system.environ, poll_interval=0.1)

    async def submit(self, script: str, **options: Any) -> JobId:
        name = f"jupyter-{uuid.uuid4().hex[:8]}"
        log = str(self.directory / f"{name}.log")
        return await self.jobs.submit(script, JobRequest(name, log, options))

    async def until(
        self, job_id: JobId, wanted: Callable[[JobStatus], bool]
    ) -> JobStatus:
        async for status in self.jobs.watch(job_id):
            if wanted(status):
                return status
        raise AssertionError(status)

    async def runs(self, job_id: JobId) -> JobStatus:
        return await self.until(job_id, lambda s: s.phase is Phase.RUNNING)

    async def ended(self, job_id: JobId) -> JobStatus:
        return await self.until(job_id, lambda s: s.phase is Phase.ENDED)

    async def run(self, *argv: str) -> None:
        """A command that somebody types."""
        done = await command.run(argv, env=self.system.environ)
        assert 0 == done.returncode, done.stderr


@pytest.fixture(params=["pbs", "torque"])
def played(request: pytest.FixtureRequest, tmp_path: Path) -> Played:
    return Played(SYSTEMS[request.param](tmp_path), tmp_path)


async def test_a_job_reaches_its_time_limit(played: Played) -> None:
    """It is known before, and that it was this that ended it."""
    job_id = await played.submit(LASTS, walltime="0:00:08")
    runs = await played.runs(job_id)
    over = await played.ended(job_id)

    assert runs.start_time is not None
    assert runs.start_time + 8 == runs.end_time
    assert not over.by_itself
    assert "reached its time limit" in played.driver.ended_text(over)
    assert EndCause.TIME is played.driver.cause(over)


async def test_a_job_is_deleted(played: Played) -> None:
    """While it runs: not by its script."""
    job_id = await played.submit(LASTS)
    await played.runs(job_id)
    await played.run("qdel", str(job_id))
    over = await played.ended(job_id)

    assert (15, None, False) == (over.signal, over.exit_code, over.by_itself)
    assert "was deleted" in played.driver.ended_text(over)
    assert EndCause.CANCELLED is played.driver.cause(over)


async def test_jobs_wait_for_free_nodes(played: Played) -> None:
    """Which the scheduler says, if it does."""
    (played.home / "slots").write_text("1")
    first, second = await played.submit(LASTS), await played.submit(ENDS)
    await played.runs(first)
    waits = await played.jobs.status(second)

    assert Phase.PENDING is waits.phase
    assert played.driver.pending_text(waits).startswith("waiting for free ")
    await played.jobs.cancel(first)
    assert 0 == (await played.ended(second)).exit_code


async def test_a_job_on_hold_is_let_go(played: Played) -> None:
    """With the command that is named."""
    job_id = await played.submit(ENDS, qsub_args=("-h",))
    held = await played.until(job_id, lambda s: s.phase is Phase.PENDING)

    assert "the job is on hold" in played.driver.pending_text(held)
    assert f"`qrls {job_id}`" in played.driver.pending_advice(held)
    await played.run("qrls", str(job_id))
    assert 0 == (await played.ended(job_id)).exit_code


async def test_a_job_is_paused(played: Played) -> None:
    """That is not its end."""
    job_id = await played.submit(LASTS)
    await played.runs(job_id)
    await played.run("qsig", "-s", "suspend", str(job_id))
    paused = await played.until(job_id, lambda s: s.phase is Phase.SUSPENDED)
    await played.run("qsig", "-s", "resume", str(job_id))
    await played.runs(job_id)

    assert "paused" in played.driver.pending_text(paused)
    await played.jobs.cancel(job_id)
    await played.ended(job_id)


async def test_a_time_limit_is_moved(played: Played) -> None:
    """Where the site allows that."""
    job_id = await played.submit(LASTS, walltime="0:10:00")
    before = await played.runs(job_id)
    await played.jobs.extend(job_id, 30)
    after = await played.jobs.status(job_id)
    (played.home / "strict").touch()
    with pytest.raises(DeniedError):
        await played.jobs.extend(job_id, 30)

    assert before.end_time is not None
    assert before.end_time + 1800 == after.end_time
    await played.jobs.cancel(job_id)
    await played.ended(job_id)


async def test_a_site_that_forgets_jobs(played: Played) -> None:
    """Their end is seen, and that nobody knows how it was."""
    (played.home / "forgets").touch()
    job_id = await played.submit("#!/bin/bash\nexit 3\n")
    over = await played.ended(job_id)

    assert ("UNKNOWN", None, False) == (over.state, over.exit_code, over.by_itself)
    assert "The end of its log may tell" in played.driver.ended_text(over)


async def test_a_silent_server_ends_no_job(played: Played) -> None:
    """It goes on, and is found when the server answers again."""
    job_id = await played.submit(LASTS)
    await played.runs(job_id)
    (played.home / "asleep").touch()
    assert {} == await played.jobs.listed([job_id])
    (played.home / "asleep").unlink()

    assert Phase.RUNNING is (await played.jobs.status(job_id)).phase
    await played.jobs.cancel(job_id)
    await played.ended(job_id)


@pytest.mark.parametrize("played", ["pbs"], indirect=True)
async def test_a_job_that_no_node_can_run(played: Played) -> None:
    """PBS says so; it is believed after a while."""
    job_id = await played.submit(ENDS, ncpus=1000)
    waits = await played.until(job_id, lambda s: bool(s.reason))

    assert "Can Never Run" in waits.reason
    long = JobStatus(**{**vars(waits), "standing": 60.0})
    assert "so many CPUs" in (played.driver.never(long, {"ncpus": 1000}) or "")
    await played.jobs.cancel(job_id)
    over = await played.ended(job_id)
    assert "was deleted" in played.driver.ended_text(over)
