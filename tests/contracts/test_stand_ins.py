"""What the contract does not ask for, of the systems that a stand-in plays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.systems import SYSTEMS, System
from remote_kernels.causes import EndCause
from remote_kernels.errors import DeniedError
from remote_kernels.scheduler import command
from remote_kernels.scheduler.driver import Clusters, OtherNodes, Site
from remote_kernels.scheduler.flux.driver import Flux
from remote_kernels.scheduler.job import JobId, JobRequest, JobStatus, Phase
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.lsf.driver import Lsf

TIMEOUT = 60.0
LASTS = "#!/bin/bash\nexec sleep 600\n"

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=["lsf", "flux"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> System:
    return SYSTEMS[request.param](tmp_path)


@pytest.fixture
def jobs(system: System) -> Jobs:
    return Jobs(system.driver, environ=system.environ, poll_interval=0.2)


@pytest.fixture
def request_(system: System, tmp_path: Path) -> JobRequest:
    return JobRequest("jupyter-0a0a0a0a", str(tmp_path / "log"), system.options)


def tell(tmp_path: Path, name: str) -> None:
    """Change what the stand-in does: see standins/jobs.py."""
    (tmp_path / "home" / name).touch()


async def until(
    jobs: Jobs, job_id: JobId, wanted: Callable[[JobStatus], bool]
) -> JobStatus:
    async def look() -> JobStatus:
        while not wanted(status := await jobs.status(job_id)):
            await asyncio.sleep(0.1)
        return status

    return await asyncio.wait_for(look(), TIMEOUT)


async def test_a_time_limit_is_moved(
    system: System, jobs: Jobs, request_: JobRequest, tmp_path: Path
) -> None:
    """By what was asked for; where only the administrators may, that is said."""
    job_id = await jobs.submit(LASTS, request_)
    before = await until(jobs, job_id, lambda s: s.phase is Phase.RUNNING)

    if system.driver.name == "flux":
        with pytest.raises(DeniedError, match="instance owner"):
            await jobs.extend(job_id, 30)
        tell(tmp_path, "owner")
    await jobs.extend(job_id, 30)
    after = await jobs.status(job_id)
    await jobs.cancel(job_id)

    assert before.end_time is not None
    assert after.end_time is not None
    assert 30 * 60 == after.end_time - before.end_time


async def test_how_it_ended_is_told_as_long_as_anybody_knows(
    system: System, jobs: Jobs, request_: JobRequest, tmp_path: Path
) -> None:
    """LSF's event logs know more than its list; Flux knows what was not purged."""
    job_id = await jobs.submit("#!/bin/bash\nexit 7\n", request_)
    known = await until(jobs, job_id, lambda s: s.phase is Phase.ENDED)
    tell(tmp_path, "forgets")

    lost = await jobs.status(job_id)

    assert (7, True) == (known.exit_code, known.by_itself)
    assert Phase.ENDED is lost.phase
    assert (None if system.driver.name == "flux" else 7) == lost.exit_code
    assert system.driver.ended_text(lost)


async def test_a_job_waits_for_its_turn(
    system: System, jobs: Jobs, request_: JobRequest, tmp_path: Path
) -> None:
    """Behind one that has the only slot; then it runs."""
    (tmp_path / "home" / "slots").write_text("1")
    first = await jobs.submit(LASTS, request_)
    second = await jobs.submit(LASTS, request_)
    await until(jobs, first, lambda s: s.phase is Phase.RUNNING)
    waits = await until(jobs, second, lambda s: s.phase is Phase.PENDING)

    await jobs.cancel(first)
    await until(jobs, second, lambda s: s.phase is Phase.RUNNING)
    await jobs.cancel(second)

    assert "waiting" in system.driver.pending_text(waits)
    assert system.driver.never(waits, {}) is None


async def test_a_time_limit_ends_a_job(tmp_path: Path) -> None:
    """The limits of LSF's jobs are minutes: too long for a test."""
    system = SYSTEMS["flux"](tmp_path)
    jobs = Jobs(system.driver, environ=system.environ, poll_interval=0.2)
    limited = JobRequest(
        "jupyter-0a0a0a0a", str(tmp_path / "log"), {"time-limit": "1s"}
    )

    job_id = await jobs.submit(LASTS, limited)
    over = await until(jobs, job_id, lambda s: s.phase is Phase.ENDED)

    assert not over.by_itself
    assert "time limit" in system.driver.ended_text(over)
    assert EndCause.TIME is system.driver.cause(over)


async def test_it_is_known_by_its_own_answer(system: System, jobs: Jobs) -> None:
    """And what else there is to ask a site."""
    driver = system.driver
    assert isinstance(driver, Flux | Lsf)
    assert driver.recognizes(await command.run(driver.question, env=system.environ))
    deaf = await command.run(driver.question, env=system.asleep)
    assert deaf.returncode
    assert driver.recognizes(deaf)
    assert isinstance(driver, Clusters)
    assert await jobs.cluster()
    assert isinstance(driver, Site)
    assert await jobs.ask(driver.version())


@pytest.mark.parametrize(("queue", "doubts"), [("debg", 1), (None, 0)])
async def test_a_queue_that_is_not_there(
    system: System, jobs: Jobs, queue: str | None, doubts: int
) -> None:
    """A doubt about it, and no job."""
    assert isinstance(system.driver, Site)
    (name,) = (o.name for o in system.driver.options if o.portable == "queue")
    offers = system.driver.offers(name, "nobody")
    assert offers is not None
    wanted = queue or (await jobs.ask(offers))[0]

    query = system.driver.doubts(JobRequest("", "", {name: wanted}))
    assert query is not None

    assert doubts == len(await jobs.ask(query))


async def test_a_command_runs_on_a_node_of_the_job(
    system: System, jobs: Jobs, request_: JobRequest, tmp_path: Path
) -> None:
    """By its name, and by its number; the end of its input arrives there."""
    driver = system.driver
    assert isinstance(driver, OtherNodes)
    here = (await command.run(["uname", "-n"], env=system.environ)).stdout.strip()
    head = driver.script_head(request_)
    script = (
        f"#!/bin/bash\n{head}\nenv >{tmp_path}/env\nmv {tmp_path}/env {tmp_path}/told\n"
    )
    job_id = await jobs.submit(f"{script}exec sleep 600\n", request_)
    await until(jobs, job_id, lambda _: (tmp_path / "told").exists())
    rows = (tmp_path / "told").read_text().splitlines()
    environ = dict(row.partition("=")[::2] for row in rows)

    said = []
    for words, node in ((driver.by_name, here), (driver.by_number, "0")):
        argv = [word.format(job=job_id, node=node) for word in words]
        done = await command.run([*argv, "cat"], input="there\n", env=environ)
        said.append(done.stdout)
    await jobs.cancel(job_id)

    assert ["there\n", "there\n"] == said
    assert str(job_id) == environ["RK_JOB_ID"]
    assert here == environ["RK_NODE"]
