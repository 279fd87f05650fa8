"""kernel.job: a kernel's job, with a batch system that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from scheduler.asking import job

from remote_kernels.config import parse
from remote_kernels.errors import AgentError, CommandError, ConfigError
from remote_kernels.kernel.job import Job, as_facts, id_in, name_of
from remote_kernels.kernel.launch import Launch
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.records import UNKNOWN, Record
from remote_kernels.scheduler import script
from remote_kernels.scheduler.job import JobId, JobRequest, JobStatus, Phase
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.local.driver import Local

KERNEL = "k" * 12
ENDED = JobStatus(job("7-7"), Phase.ENDED, "FAILED", exit_code=3)
RUNNING = JobStatus(job("7-7"), Phase.RUNNING, "RUNNING", node="c1")
SUSPENDED = JobStatus(job("7-7"), Phase.SUSPENDED, "S", node="c1")
PLACE = dict.fromkeys(("socket", "pyz", "python", "node", "hostname"), "c1")
LAUNCH = Launch(("python", "-m", "ipykernel_launcher"), key=b"key")


class Queue:
    """A batch system that takes each job, and what it was given."""

    def __init__(self) -> None:
        self.driver = Local()
        self.says = ""
        self.script = ""
        self.request: JobRequest | None = None
        self.environ: Mapping[str, str] | None = None
        self.status_now = RUNNING
        self.fails: CommandError | None = None
        self.cancelled: list[JobId] = []

    async def prepare(self, request: JobRequest) -> JobRequest:
        return replace(request, variables={"PREPARED": "1"})

    async def cluster(self) -> str:
        return "big"

    async def submit(
        self,
        script: str,
        request: JobRequest,
        environ: Mapping[str, str],
        on_notice: Callable[[str], None],
    ) -> JobId:
        self.script, self.request, self.environ = script, request, environ
        if self.says:
            on_notice(self.says)
        return job("7-7")

    async def status(self, job_id: JobId) -> JobStatus:
        return self.status_now

    async def watch(self, job_id: JobId) -> Any:
        yield self.status_now
        await asyncio.Event().wait()

    async def wait_ended(
        self, job_id: JobId, timeout: float, *args: Any
    ) -> JobStatus | None:
        return self.status_now if self.status_now.phase is Phase.ENDED else None

    async def cancel(self, job_id: JobId) -> None:
        self.cancelled.append(job_id)
        if self.fails is not None:
            raise self.fails


def made(
    directory: Path, runtime: Runtime | None = None, **config: Any
) -> tuple[Job, Queue]:
    settings = parse({"scheduler": "local", **config})
    record, queue = Record(directory, KERNEL), Queue()
    record.create()
    of = Job(runtime or Runtime(), settings, record)
    of.jobs = cast("Jobs", queue)
    return of, queue


@pytest.mark.asyncio
async def test_a_submission(tmp_path: Path) -> None:
    """As the batch system wants it; where its log is, and in which environment."""
    of, queue = made(tmp_path, prologue=["module load R"])

    await of.submit(LAUNCH)

    assert (job("7-7"), "big", "") == (of.id, of.cluster, of.notice)
    assert queue.request is not None
    assert (f"jupyter-{'k' * 8}", True) == (queue.request.name, queue.request.login)
    assert {"PREPARED": "1"} == queue.request.variables
    assert str(of.place.job_log) == queue.request.output
    assert "module load R" in queue.script
    assert str(of.place.path) in queue.script
    assert of.env == queue.environ
    assert [of.place.path] == of.traces
    assert (None, None) == (of.allocation, of.secret)


@pytest.mark.asyncio
async def test_what_the_site_says_is_heard_once(tmp_path: Path) -> None:
    """Not at each kernel of this process."""
    runtime = Runtime()
    first, one = made(tmp_path / "a", runtime)
    second, two = made(tmp_path / "b", runtime)
    one.says = two.says = "You have 3 hours left."

    await first.submit(LAUNCH)
    await second.submit(LAUNCH)

    assert ("You have 3 hours left.", "") == (first.notice, second.notice)


@pytest.mark.asyncio
async def test_no_batch_system_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said before anything is made, with what can be done."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError) as caught:
        Job(Runtime(), parse({"scheduler": "slurm"}), Record(tmp_path, KERNEL))

    assert "There is no sbatch on PATH" in str(caught.value)
    assert "PATH: /nowhere" in str(caught.value)


@pytest.mark.asyncio
async def test_a_carrier_that_leads_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch system is found only here: so is that its carrier is none of those."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="carrier 'srun' does not reach jobs of"):
        Job(Runtime(), parse({"carrier": "srun"}), Record(tmp_path, KERNEL))


@pytest.mark.asyncio
async def test_an_agent_that_reports(tmp_path: Path) -> None:
    """What it wrote; what the scheduler said meanwhile is noted."""
    of, _ = made(tmp_path)
    await of.submit(LAUNCH)
    heard: list[JobStatus] = []

    def note(status: JobStatus) -> None:
        heard.append(status)
        of.place.write("agent.json", PLACE)

    agent = await asyncio.wait_for(of.agent(note), 10)

    assert "c1" == agent["node"]
    assert [RUNNING] == heard
    assert RUNNING == of.status


@pytest.mark.asyncio
async def test_an_agent_that_could_not_start(tmp_path: Path) -> None:
    """It left a word."""
    of, _ = made(tmp_path)
    await of.submit(LAUNCH)
    of.place.write("agent.json", {"error": "no room in /tmp"})

    with pytest.raises(AgentError, match="on the node: no room in /tmp"):
        await of.agent(lambda status: None)


@pytest.mark.asyncio
async def test_a_job_of_another_process(tmp_path: Path) -> None:
    """It is asked for as if it were ours."""
    of, queue = made(tmp_path)
    of.resume(job("7-7"), "big")
    queue.status_now = ENDED

    assert ENDED == await of.ask() == of.status
    assert ENDED == await of.ended(1.0)
    assert "big" == of.cluster


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("own", "status", "said"),
    [
        ("it was idle", ENDED, "It ended: it was idle."),
        (None, None, "(it said so), and the scheduler does not say why."),
        (None, ENDED, "failed with exit code 3"),
        (None, replace(ENDED, exit_code=script.RESTARTED), "Start the kernel again"),
    ],
)
async def test_why_it_ended(
    tmp_path: Path, own: str | None, status: JobStatus | None, said: str
) -> None:
    """The agent's own word, then our script's, then the scheduler's."""
    of, _ = made(tmp_path)
    if own is not None:
        of.place.write("ended.json", {"reason": own})

    of.resume(job("7-7"), None)
    end = await of.end("it said so", status)

    word = "" if status is None else " (FAILED)"
    assert end.text.startswith(f"Job 7-7{word}: ")
    assert said in end.text
    assert ("FAILED" if status else UNKNOWN) == end.word


@pytest.mark.asyncio
async def test_a_job_is_cancelled(tmp_path: Path) -> None:
    """One that was never submitted is none."""
    of, queue = made(tmp_path)
    assert await of.cancel() is None
    assert [] == queue.cancelled
    await of.submit(LAUNCH)

    assert await of.cancel() is None
    of.leave()

    assert [job("7-7")] == queue.cancelled


@pytest.mark.asyncio
async def test_a_job_that_cannot_be_cancelled(tmp_path: Path) -> None:
    """Who asked hears why, and decides."""
    of, queue = made(tmp_path)
    await of.submit(LAUNCH)
    queue.fails = CommandError("The controller is away.", ["cancel"], 1)

    assert queue.fails is await of.cancel()


@pytest.mark.asyncio
async def test_a_command_that_cancels_it_before_it_is_there(tmp_path: Path) -> None:
    """By its name."""
    of, _ = made(tmp_path)

    assert ["cancel-name", f"jupyter-{'k' * 8}"] == of.cancel_argv[-2:]


@pytest.mark.asyncio
async def test_whether_it_is_suspended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is known for as long as its end is waited for."""
    of, queue = made(tmp_path)
    of.id = job("7-7")
    seen: list[JobStatus | None] = []

    async def wait_ended(
        job_id: JobId, timeout: float, hear: Callable[[JobStatus], None]
    ) -> None:
        for status in (SUSPENDED, RUNNING, SUSPENDED):
            hear(status)
            seen.append(of.suspended)

    monkeypatch.setattr(queue, "wait_ended", wait_ended)
    await of.ended()

    assert [SUSPENDED, None, SUSPENDED, None] == [*seen, of.suspended]


def test_a_job_on_record() -> None:
    """Its ID is whole again; before the submission there is none."""
    job_id = JobId("12", "big")

    assert job_id == id_in(as_facts(job_id))
    assert {"job_id": None} == as_facts(None)
    assert "jupyter-12345678" == name_of("12345678-9abc")
