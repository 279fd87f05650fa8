"""Drivers' words about jobs of one's own: how they are submitted, listed, and logged."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.errors import CommandError, ConfigError, SubmitError, UnknownError
from remote_kernels.scheduler import listing
from remote_kernels.scheduler.driver import Driver, Logs, Mails, Scripts
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
    Query,
    Submission,
)
from remote_kernels.scheduler.jobs import Jobs
from scheduler.captured import captured

SCRIPT = "#!/bin/bash\nsleep 1\n"


def driver(name: str, kind: type) -> Any:
    found = DRIVERS[name]
    assert isinstance(found, kind)
    return found


# --- submission -----------------------------------------------------------------------

WAYS = {
    "slurm": ["sbatch", "--parsable", "/w/run.sh"],
    "gridengine": ["qsub", "-terse", "-now", "n", "-cwd", "/w/run.sh"],
    "pbs": ["qsub", "/w/run.sh"],
    "torque": ["qsub", "/w/run.sh"],
    "lsf": ["bsub"],
    "flux": ["flux", "batch", "/w/run.sh"],
}


@pytest.mark.parametrize("name", WAYS)
def test_a_script_as_it_is(name: str) -> None:
    """Nothing goes over its own lines that was not asked for; it starts in its directory."""
    way = driver(name, Scripts).own_submission(
        JobRequest("", "/log"), "/w/run.sh", SCRIPT
    )

    assert (WAYS[name], "/w") == (way.argv, way.cwd)
    assert way.stdin == (SCRIPT if name == "lsf" else "")


@pytest.mark.parametrize("name", WAYS)
def test_a_script_with_a_name_and_a_queue(name: str) -> None:
    """They go over the script's lines, before its path."""
    found = driver(name, Scripts)
    (queue,) = (each.name for each in found.options if each.portable == "queue")
    request = JobRequest("fit", "/log", {queue: "long"})
    words = found.own_submission(request, "/w/run.sh", SCRIPT).argv

    assert "fit" in " ".join(words)
    assert "long" in " ".join(words)
    assert name == "lsf" or "/w/run.sh" == words[-1]


@pytest.mark.parametrize("line", ["#$ -cwd", "#$ -N x -wd /scratch"])
def test_a_script_of_grid_engine_s_that_names_its_directory(line: str) -> None:
    """That counts."""
    way = driver("gridengine", Scripts).own_submission(
        JobRequest("", "/log"), "/w/run.sh", f"#!/bin/sh\n{line}\n"
    )
    assert "-cwd" not in way.argv


@pytest.mark.parametrize("options", [{"jobid": "4711"}, {"start": "salloc"}])
def test_what_is_for_kernels_of_slurm_s(options: dict[str, str]) -> None:
    """A script is no step of another job."""
    with pytest.raises(ConfigError, match="is for kernels"):
        driver("slurm", Scripts).own_submission(
            JobRequest("", "/log", options), "/w/run.sh", SCRIPT
        )


MAIL = {
    "slurm": ("--mail-type=BEGIN,END,FAIL", "--mail-user=me@x.org"),
    "gridengine": ("-m", "bea", "-M", "me@x.org"),
    "pbs": ("-m", "bea", "-M", "me@x.org"),
    "torque": ("-m", "bea", "-M", "me@x.org"),
    "lsf": ("-B", "-N", "-u", "me@x.org"),
    "oar": ("--notify=[RUNNING,END,ERROR]mail:me@x.org",),
}


@pytest.mark.parametrize("name", MAIL)
def test_mail(name: str) -> None:
    """It is asked for by what the option for further arguments takes."""
    found = driver(name, Mails)
    words = found.mail(["begin", "end", "fail"], "me@x.org")
    (option,) = (each for each in found.options if each.name == found.further)

    assert MAIL[name] == words == tuple(option.kind.read([*words]))
    if name != "oar":
        assert "me@x.org" not in " ".join(found.mail(["end"], ""))


def test_mail_that_is_not_sent() -> None:
    """It is said what is."""
    condor = driver("htcondor", Mails)
    with pytest.raises(ConfigError, match="'end' or 'fail'"):
        condor.mail(["begin"], "")
    with pytest.raises(ConfigError, match="say to whom"):
        driver("oar", Mails).mail(["end"], "")
    assert ("notification = Complete", "notify_user = me") == condor.mail(["end"], "me")
    assert {"flux", "local"} == {
        name for name, each in DRIVERS.items() if not isinstance(each, Mails)
    }


# --- lists and logs -------------------------------------------------------------------


def test_all_jobs_of_slurm_s() -> None:
    """An array is one, and runs if a task does; a name may hold anything."""
    (query,) = DRIVERS["slurm"].every("alice")
    done = captured("squeue-every")
    jobs = {job.job_id.number: job for job in query.answer(done)}

    assert [*query.argv] == [*done.argv]
    assert ["5", "4", "1", "2", "3", "6"] == [*jobs]
    assert ("odd|name % x", "debug", "c1") == (
        jobs["1"].name,
        jobs["1"].queue,
        jobs["1"].node,
    )
    assert (Phase.RUNNING, "arr") == (jobs["3"].phase, jobs["3"].name)
    assert (Phase.PENDING, "JobHeldUser") == (jobs["5"].phase, jobs["5"].reason)
    assert all(job.submit_time for job in jobs.values())


def test_all_jobs_of_grid_engine_s() -> None:
    """An array is one; a queue is told without its host."""
    (query,) = DRIVERS["gridengine"].every("alice")
    jobs = {
        job.name: job
        for job in query.answer(captured("qstat-every", "gridengine-8.1.9"))
    }

    assert {"plain", "athome", "pat", "dir", "arr", "held"} == {*jobs}
    assert "debug.q" == jobs["plain"].queue
    assert jobs["held"].submit_time is not None


LOGS = [
    ("slurm", "scontrol-log-usual", "/home/alice/a b/slurm-2.out"),
    ("slurm", "scontrol-log-name", "/home/alice/a b/out-odd|name % x-1.txt"),
    ("slurm", "scontrol-log-array", "/home/alice/a b/slurm-3_3.out"),
    ("gridengine", "log-plain", "/home/alice/sub/plain.o1"),
    ("gridengine", "log-athome", "/home/alice/athome.o2"),
    ("gridengine", "log-pat", "/home/alice/sub/out-pat-3.txt"),
    ("gridengine", "log-dir", None),
    ("gridengine", "log-arr", "/home/alice/sub/arr.o5.1"),
]


@pytest.mark.parametrize(("name", "said", "path"), LOGS)
def test_where_a_log_is(name: str, said: str, path: str | None) -> None:
    """As the batch system tells it; None where it is no file's name."""
    of = "gridengine-8.1.9" if name == "gridengine" else "22.05"
    assert path == driver(name, Logs).log_of(JobId("1")).answer(captured(said, of))


def test_a_pattern_that_is_left() -> None:
    """Nobody knows which file it is."""
    text = "JobId=1 StdOut=/home/alice/%q.txt Power= \n"
    done = Completed(("scontrol",), 0, text, "")
    assert driver("slurm", Logs).log_of(JobId("1")).answer(done) is None


# --- one list for all -----------------------------------------------------------------


class Counting(Driver):
    """Lists jobs by one command."""

    name = title = command = "counting"

    def submission(self, request: JobRequest, script: str) -> Submission:
        return Submission(["submit"], script, lambda done: JobId(done.stdout))

    def status(self, job_ids: Any) -> list[Query[dict[JobId, JobStatus]]]:
        return [Query(["status"], lambda done: {})]

    def own(self, user: str) -> list[Query[list[JobStatus]]]:
        def parse(done: Completed) -> list[JobStatus]:
            done.check(CommandError, "No answer.")
            return [
                JobStatus(JobId(word), Phase.RUNNING, "R")
                for word in done.stdout.split()
            ]

        return [Query(["list"], parse)]

    def cancel(self, job_id: JobId) -> Query[None]:
        return Query(["cancel"], lambda done: None)

    def cancel_by_name(self, request: JobRequest) -> list[str]:
        return ["cancel-by-name"]

    def ended_text(self, status: JobStatus) -> str:
        return "It ended."


class World:
    """Runs no command, but notes it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.code, self.said = 0, "1 2"

    async def run(self, argv: Any, **options: Any) -> Completed:
        self.asked.append(argv[0])
        return Completed(tuple(argv), self.code, self.said, "it sleeps")


@pytest.mark.asyncio
async def test_one_question_serves_all() -> None:
    """Those who ask at once, and those who ask within a few seconds."""
    world = World()
    jobs = Jobs(Counting(), run=world.run)
    for _ in range(3):
        found = await jobs.listing.now()
        assert ["1", "2"] == [job.job_id.number for job in found.live]
    await jobs.cancel(JobId("1"))
    await jobs.listing.now()

    assert ["list", "cancel", "list"] == world.asked


@pytest.mark.asyncio
async def test_a_wanted_job_that_is_not_listed() -> None:
    """It is asked for in the same round: it has ended."""
    world = World()
    found = await Jobs(Counting(), run=world.run).listing.now([JobId("1"), JobId("7")])

    assert {JobId("7"): Phase.ENDED} == {k: v.phase for k, v in found.others.items()}
    assert ["list", "status"] == world.asked


@pytest.mark.asyncio
async def test_a_list_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words are told to all who ask; the next question is not put at once."""
    world = World()
    world.code = 1
    jobs = Jobs(Counting(), run=world.run)
    for _ in range(2):
        with pytest.raises(CommandError, match="it sleeps"):
            await jobs.listing.now()
    assert ["list"] == world.asked

    world.code = 0
    monkeypatch.setattr(listing, "FRESH", 0.0)
    jobs.ask_no_more_than_every(0.0)
    jobs.listing.is_old()
    assert (await jobs.listing.now()).live


@pytest.mark.asyncio
async def test_a_list_that_is_late() -> None:
    """Nobody waits longer than they said; the question goes on."""

    async def never(argv: Any, **options: Any) -> Completed:
        await asyncio.Event().wait()
        raise AssertionError

    jobs = Jobs(Counting(), run=never)
    with pytest.raises(UnknownError, match="has not answered"):
        await jobs.listing.now(patience=0.01)


@pytest.mark.asyncio
async def test_a_script_that_may_have_been_taken(tmp_path: Path) -> None:
    """Other jobs may have its name: nothing is ended by that, and it is said."""
    world = World()
    jobs, request = Jobs(Counting(), run=world.run), JobRequest("fit", "/log")
    way = Submission(["submit"], "", lambda done: JobId(str(int(done.stdout))))
    for world.code in (0, 1):
        with pytest.raises(SubmitError) as caught:
            await jobs.submit_own(way, request)
    assert ["submit", "submit"] == world.asked
    world.code = 0
    with pytest.raises(SubmitError, match="a job may be there all the same"):
        await jobs.submit_own(way, request)
    assert "cancel-by-name" not in world.asked
    assert "did not take the job" in str(caught.value)
