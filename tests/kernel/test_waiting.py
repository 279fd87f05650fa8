"""The wait for a job's agent, with a queue that says what it is told to."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from scheduler.asking import job

from remote_kernels.config import parse
from remote_kernels.errors import JobError, RecordError
from remote_kernels.kernel.waiting import Waiting
from remote_kernels.records import Record
from remote_kernels.relay import private
from remote_kernels.scheduler import script
from remote_kernels.scheduler.job import JobId, JobStatus, Phase
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.slurm.driver import Slurm

HOPELESS = JobStatus(job("7"), Phase.PENDING, "PENDING", "PartitionTimeLimit")
ENDED = JobStatus(job("7"), Phase.ENDED, "CANCELLED")


AT_ONCE = JobStatus(
    job("7"), Phase.ENDED, "COMPLETED", node="c1", exit_code=0, by_itself=True
)
FAILED = JobStatus(
    job("7"), Phase.ENDED, "FAILED", node="c1", exit_code=3, by_itself=True
)
NO_LOG = replace(FAILED, exit_code=0, signal=53)
KILLED = JobStatus(
    job("7"), Phase.ENDED, "CANCELLED", node="c1", exit_code=0, signal=15
)
NEVER_RAN = replace(KILLED, node=None, exit_code=None, signal=None)


class Said(Jobs):
    """Says this of each job, one after the other."""

    def __init__(self, *statuses: JobStatus) -> None:
        super().__init__(Slurm())
        self._statuses = statuses

    async def watch(self, job_id: JobId) -> AsyncIterator[JobStatus]:  # type: ignore[override]
        for status in self._statuses:
            yield status


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("config", "given_up"),
    [
        ({"partition": "debug"}, True),
        ({"partition": "debug,long"}, False),
        ({"sbatch_args": ["-pdebug,long"]}, False),
        ({"sbatch_args": ["--partition=debug,long"]}, False),
    ],
)
async def test_a_hopeless_job(
    tmp_path: Path, config: dict[str, Any], given_up: bool
) -> None:
    """Not with a choice of partitions: another one may take it."""
    record = Record(tmp_path, "k")
    record.create()
    queue = cast("Jobs", Said(HOPELESS, ENDED))
    waiting = Waiting(job("7"), queue, record, parse(config), lambda status: None)

    with pytest.raises(JobError) as caught:
        await waiting.agent()

    assert given_up == ("can never start as asked" in str(caught.value))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "began", "prologue", "said"),
    [
        (AT_ONCE, False, ["true"], "~/.bash_profile, ~/.bash_login and ~/.profile"),
        (FAILED, False, ["true"], "never began"),
        (AT_ONCE, True, ["exec true"], "a line of 'prologue'"),
        (AT_ONCE, False, [], "never began."),
        (KILLED, False, ["true"], "was cancelled"),
        (NEVER_RAN, False, [], "Job 7 ended before its kernel was ready (CANCELLED)."),
        (NO_LOG, False, [], "not shared"),
        (FAILED, True, [], "failed with exit code 3"),
    ],
)
async def test_a_job_that_ended_early(
    tmp_path: Path, status: JobStatus, began: bool, prologue: list[str], said: str
) -> None:
    """What never began is said, and where to look; "start it again" would not help."""
    record = Record(tmp_path, "k")
    record.create()
    if began:
        (record.path / script.BEGAN).touch()
    settings = parse({"prologue": prologue})
    queue = cast("Jobs", Said(status))
    waiting = Waiting(job("7"), queue, record, settings, lambda status: None)

    with pytest.raises(JobError) as caught:
        await waiting.agent()

    assert said in str(caught.value)
    assert "Start the kernel again" not in str(caught.value)
    assert "None" not in str(caught.value)


class Silent(Jobs):
    """Has no news of any job."""

    def __init__(self) -> None:
        super().__init__(Slurm())

    async def watch(self, job_id: JobId) -> AsyncIterator[JobStatus]:  # type: ignore[override]
        await asyncio.Event().wait()
        yield ENDED


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ESTALE])
async def test_a_record_that_cannot_be_read_just_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """It says nothing: neither that there is no agent, nor that a kernel has ended."""
    record = Record(tmp_path, "k")
    record.create()
    place = dict.fromkeys(("socket", "pyz", "python", "node", "hostname"), "c1")
    record.write("agent.json", place)
    record.write("ended.json", {"reason": "it was idle"})
    read = private.read

    def unlucky(directory: int, name: str) -> bytes:
        monkeypatch.setattr(private, "read", read)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(private, "read", unlucky)
    waiting = Waiting(job("7"), Silent(), record, parse({}), lambda status: None)
    agent = await asyncio.wait_for(waiting.agent(), 10)
    monkeypatch.setattr(private, "read", unlucky)
    words = [record.last_word(), record.last_word()]

    assert "c1" == agent["node"]
    assert [None, "it was idle"] == words


class Says(Jobs):
    """Says this of each job, and then nothing."""

    def __init__(self, status: JobStatus) -> None:
        super().__init__(Slurm())
        self._status = status

    async def watch(self, job_id: JobId) -> AsyncIterator[JobStatus]:  # type: ignore[override]
        yield self._status
        await asyncio.Event().wait()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("phase", "config", "said"),
    [
        (
            Phase.PENDING,
            {"queue_timeout": 0.05},
            "did not start within queue_timeout (",
        ),
        (Phase.RUNNING, {"start_timeout": 0.05}, "running for start_timeout (0.05 s)"),
        (
            Phase.RUNNING,
            {"start_timeout": 0.05, "queue_timeout": 1000, "prologue": ["true"]},
            "The job's script has not begun.",
        ),
    ],
)
async def test_an_agent_that_does_not_report(
    tmp_path: Path, phase: Phase, config: dict[str, Any], said: str
) -> None:
    """Not for ever, in the queue or after it; and what the log says is quoted."""
    record = Record(tmp_path, "k")
    record.create()
    record.job_log.write_text("oops")
    queue = Says(JobStatus(job("7"), phase, phase.name))
    waiting = Waiting(job("7"), queue, record, parse(config), lambda status: None)

    with pytest.raises(JobError) as caught:
        await asyncio.wait_for(waiting.agent(), 10)

    assert said in str(caught.value)
    assert (phase is Phase.RUNNING) == str(caught.value).endswith("job.log\noops")


@pytest.mark.asyncio
async def test_a_record_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    """Waiting would not help."""
    record = Record(tmp_path, "k")
    record.create()
    record.write("agent.json", {"node": 7})
    waiting = Waiting(job("7"), Silent(), record, parse({}), lambda status: None)

    with pytest.raises(RecordError, match=r"Cannot read .*agent.json"):
        await asyncio.wait_for(waiting.agent(), 10)
