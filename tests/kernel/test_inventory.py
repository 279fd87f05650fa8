"""kernel.inventory: records against real jobs, and a scheduler that does not answer."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from scheduler.captured import captured

from remote_kernels.kernel.inventory import (
    cancel,
    recorded,
)
from remote_kernels.kernel.job import as_facts
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.stock import damaged, strays, unsubmitted
from remote_kernels.records import JobEnd, Record
from remote_kernels.scheduler.job import JobId, JobRequest, Phase
from remote_kernels.scheduler.jobs import Jobs as AllJobs
from remote_kernels.scheduler.local.driver import Local

TIMEOUT = 30.0
NO_MODULE = {"word": "not-started", "text": "No such module."}
GONE = JobId("1-1", "/nowhere/job.log")
Program = Callable[..., None]


class Jobs:
    """Real jobs of this machine."""

    def __init__(self, directory: Path) -> None:
        self.queue = AllJobs(Local(grace=1.0), poll_interval=0.05)
        self._directory = directory
        self._ids: list[JobId] = []

    async def submit(self, script: str, name: str = "test") -> JobId:
        output = str(self._directory / f"{len(self._ids)}.log")
        job = await self.queue.submit(script, JobRequest(name, output))
        self._ids.append(job)
        return job

    async def ended(self, script: str) -> JobId:
        job = await self.submit(script)
        assert await self.queue.wait_ended(job, TIMEOUT) is not None
        return job

    async def end_all(self) -> None:
        for job in self._ids:
            await self.queue.cancel(job)
            await self.queue.wait_ended(job, TIMEOUT)


@pytest_asyncio.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Jobs]:
    made = Jobs(tmp_path)
    yield made
    await made.end_all()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """`program("squeue", "exit 1")` puts a command in front of all others."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")

    def add(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)

    return add


def says(name: str) -> str:
    """A script that answers as Slurm once did."""
    done = captured(name)
    out, err = shlex.quote(done.stdout), shlex.quote(done.stderr)
    return f"printf %s {out}\nprintf %s {err} >&2\nexit {done.returncode}"


def record_of(
    base: Path, kernel: str = "k1", *, job_id: JobId | None = None, **facts: Any
) -> Record:
    made = Record(base, kernel)
    made.create()
    made.write("spec.json", {})
    made.write("record.json", {"scheduler": "local", **as_facts(job_id), **facts})
    return made


@pytest.mark.asyncio
async def test_a_kernel_that_runs(tmp_path: Path, jobs: Jobs) -> None:
    """With its job's state; it can be reached once its agent has said where it is."""
    record = record_of(tmp_path, job_id=await jobs.submit("exec sleep 60\n"))

    (found,) = await recorded(Runtime(), [tmp_path])

    assert found.status is not None
    assert (Phase.RUNNING, "") == (found.status.phase, found.ended)
    assert not found.attachable
    record.write("agent.json", {})
    assert found.attachable


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "ended"),
    [
        ("exit 0\n", "The job ended on its own."),
        ("exit 7\n", "The job's script failed with exit code 7."),
    ],
)
async def test_a_kernel_whose_job_has_ended(
    tmp_path: Path, jobs: Jobs, script: str, ended: str
) -> None:
    """It says how, and cannot be reached, whatever its agent said once."""
    record = record_of(tmp_path, job_id=await jobs.ended(script))
    record.write("agent.json", {})

    (found,) = await recorded(Runtime(), [tmp_path])

    assert (ended, False) == (found.ended, found.attachable)


@pytest.mark.asyncio
async def test_a_start_that_failed_and_whose_job_is_cancelled(
    tmp_path: Path, jobs: Jobs
) -> None:
    """The reason counts, not what was done about it."""
    record_of(tmp_path, job_id=await jobs.ended("exit 7\n"), end=NO_MODULE)

    (found,) = await recorded(Runtime(), [tmp_path])

    assert "No such module." == found.ended


@pytest.mark.asyncio
async def test_a_job_that_the_scheduler_has_forgotten(tmp_path: Path) -> None:
    """It has ended, and nobody knows how."""
    record_of(tmp_path, job_id=GONE)

    (found,) = await recorded(Runtime(), [tmp_path])

    assert "nothing says how" in found.ended


@pytest.mark.asyncio
async def test_a_record_that_was_sealed(tmp_path: Path) -> None:
    """Its end is on record; the scheduler is not asked again."""
    record_of(tmp_path, job_id=GONE).seal(JobEnd("CANCELLED", text="It was cancelled."))

    (found,) = await recorded(Runtime(), [tmp_path])

    assert ("It was cancelled.", None) == (found.ended, found.status)


@pytest.mark.asyncio
async def test_many_kernels_at_once(tmp_path: Path, jobs: Jobs) -> None:
    """Each has its own job's state; a directory given twice is read once."""
    bases = [tmp_path / "a", tmp_path / "b"]
    record_of(bases[0], "k1", job_id=await jobs.ended("exit 7\n"))
    record_of(bases[1], "k2", job_id=await jobs.submit("exec sleep 60\n"))

    found = await recorded(Runtime(), [*bases, *bases])

    assert {"k1": False, "k2": True} == {k.kernel_id: not k.ended for k in found}
    assert 2 == len(found)


@pytest.mark.asyncio
async def test_another_cluster_s_kernels(tmp_path: Path) -> None:
    """They share the home directory, but their job 17 is not ours."""
    here = await AllJobs(Local()).cluster()
    for kernel, cluster in (("mine", here), ("theirs", "elsewhere"), ("old", None)):
        record_of(tmp_path, kernel, job_id=GONE, cluster=cluster)

    found = await recorded(Runtime(), [tmp_path])

    assert ["mine", "old"] == [kernel.kernel_id for kernel in found]


@pytest.mark.asyncio
async def test_records_of_which_nothing_can_be_said(tmp_path: Path) -> None:
    """No job yet, a scheduler that is not known, a file that cannot be read."""
    record_of(tmp_path, "starting", job_id=None)
    record_of(tmp_path, "foreign", job_id=JobId("1"), scheduler="other")
    broken = record_of(tmp_path, "broken", job_id=GONE)
    (broken.path / "record.json").write_text("{")

    assert [] == await recorded(Runtime(), [tmp_path])


@pytest.mark.asyncio
@pytest.mark.parametrize("squeue", [says("squeue-down"), None, "kill -9 $$"])
async def test_a_scheduler_that_does_not_answer(
    tmp_path: Path,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    squeue: str | None,
) -> None:
    """It says nothing of the kernel, which may be reached all the same."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    program("sbatch", "exit 1")
    if squeue is not None:
        program("squeue", squeue)
    record_of(tmp_path, scheduler="slurm", job_id=JobId("17")).write("agent.json", {})

    (found,) = await recorded(Runtime(), [tmp_path])

    assert (None, "", True) == (found.status, found.ended, found.attachable)


@pytest.mark.asyncio
async def test_a_host_without_that_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernels are another host's business."""
    monkeypatch.setenv("PATH", str(tmp_path))
    record_of(tmp_path, scheduler="slurm", job_id=JobId("17"))

    assert [] == await recorded(Runtime(), [tmp_path])


@pytest.mark.asyncio
async def test_a_job_without_a_record(tmp_path: Path, jobs: Jobs) -> None:
    """It is a stray, and can be cancelled."""
    kernels = [f"{os.getpid():08x}", f"{os.getpid() + 1:08x}"]
    ids = [await jobs.submit("exec sleep 60\n", f"jupyter-{k}") for k in kernels]
    record_of(tmp_path, f"{kernels[0]}-rest-of-its-id")

    found = [
        stray
        for stray in await strays(Runtime(), [tmp_path], everything=False)
        if stray.job in ids
    ]

    assert [(kernels[1], ids[1])] == [(stray.kernel, stray.job) for stray in found]
    await cancel(Runtime(), "local", ids[1])
    ended = await jobs.queue.wait_ended(ids[1], TIMEOUT)
    assert ended is not None
    assert "CANCELLED" == ended.state


@pytest.mark.asyncio
async def test_a_kernel_that_starts_while_the_jobs_are_listed(
    tmp_path: Path, program: Program
) -> None:
    """Its record is older than its job, so it is no stray."""
    record = Record(tmp_path, "abcdef12-rest-of-its-id")
    row = captured("squeue-running").stdout.strip()
    program("sbatch", "exit 1")
    program("squeue", f"mkdir -p {record.path}\necho 'jupyter-abcdef12|{row}'")

    found = await strays(Runtime(), [tmp_path], everything=False)

    assert record.path.exists()
    assert "abcdef12" not in [stray.kernel for stray in found]


def test_records_that_never_got_a_job(tmp_path: Path) -> None:
    """Only old ones, and none that cannot be read: its kernel may run."""
    for kernel in ("old", "new", "unreadable"):
        Record(tmp_path, kernel).create()
    record_of(tmp_path, "submitted", job_id=JobId("17"))
    (tmp_path / "kernels" / "unreadable" / "record.json").write_text("{")
    then = time.time() - 1000
    for kernel in ("old", "unreadable", "submitted"):
        os.utime(tmp_path / "kernels" / kernel, (then, then))

    found = unsubmitted([tmp_path, tmp_path], 600)

    assert ["old"] == [item.kernel for item in found]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("facts", "asked"),
    [
        ({"scheduler": "slurm"}, False),  # its commands are not here
        ({"scheduler": "local", "cluster": "elsewhere"}, False),
        ({"scheduler": "local"}, True),
        ({"scheduler": {}}, True),
    ],
)
async def test_a_record_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], asked: bool
) -> None:
    """Its job is gone only where the scheduler that it names was asked."""
    cluster = Local().cluster().argv[0]
    (tmp_path / cluster).symlink_to(shutil.which(cluster) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    record = record_of(tmp_path, job_id=JobId("7"), **facts)
    record.write("record.json", {"format": 99, "job_id": "7", **facts})

    ((_, found),) = await damaged(Runtime(), [tmp_path], everything=False)

    assert (None, "remove record" if asked else "") == (found.job, found.action)
