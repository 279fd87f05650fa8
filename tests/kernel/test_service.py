"""kernel.service: what the doors ask of kernels; records are real, batch systems played."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scheduler.captured import captured

from remote_kernels.errors import (
    CommandError,
    ControllerError,
    DeniedError,
    StateError,
    UnknownError,
)
from remote_kernels.kernel import inventory, service
from remote_kernels.kernel.allocation import SharedAllocation
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.service import Known
from remote_kernels.records import JobEnd, Record
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.job import Completed, JobId, JobStatus, Phase
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.local.driver import Local
from remote_kernels.scheduler.slurm.driver import Slurm

HERE = {"scheduler": "local", "job_id": "9", "times": {}}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "state"


def record_of(base: Path, kernel: str, *, end: str = "", **facts: Any) -> Record:
    """A kernel that some server has, or had."""
    made = Record(base, kernel)
    made.create()
    made.write("spec.json", {})
    made.write("record.json", {**HERE, **facts})
    if end:
        made.seal(JobEnd("CANCELLED", text=end))
    return made


class Played:
    """A batch system that answers what it is told to."""

    def __init__(self, driver: Any, *answers: Completed) -> None:
        self.asked: list[list[str]] = []
        self._answers = list(answers)
        self.jobs = Jobs(driver, run=self.run, environ={}, poll_interval=0.0)

    async def run(self, argv: Sequence[str], **options: object) -> Completed:
        self.asked.append(list(argv))
        answer = Completed((), 0, "", "")
        if self._answers and argv[0] != "uname":
            answer = self._answers.pop(0)
        return replace(answer, argv=tuple(argv))


# --- which there are ----------------------------------------------------------------


def test_how_often_a_site_wants_to_be_asked() -> None:
    """It holds for all schedulers; a kernelspec may ask for more, not for less."""
    runtime = Runtime()
    service.ask_at_most_every(runtime, 7.0)

    for make in DRIVERS.values():
        assert 7.0 == runtime.jobs(make, 1.0).poll_interval
        assert 9.0 == runtime.jobs(make, 9.0).poll_interval


@pytest.mark.asyncio
async def test_a_server_with_kernels_of_its_own(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked for them, nor for those that have ended."""
    played = Played(Local())
    monkeypatch.setattr(inventory, "jobs_here", lambda runtime, name: played.jobs)
    record_of(base, "mine")
    record_of(base, "sealed", end="It ended.")

    others = await service.others(Runtime(), [base], {"mine"}, 5.0)

    assert ["sealed"] == [known.model.kernel_id for known in others]
    assert {"uname"} >= {argv[0] for argv in played.asked}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "damage",
    [
        lambda record: (record.path / "record.json").write_text("{"),
        lambda record: (record.path / "record.json").unlink(),
        lambda record: record.write("record.json", {"scheduler": "pbs", "job_id": "1"}),
    ],
    ids=["cut off", "missing", "unknown scheduler"],
)
@pytest.mark.parametrize("end", ["", "It ended."])
async def test_a_record_that_is_damaged(
    base: Path, damage: Callable[[Record], object], end: str
) -> None:
    """It keeps none of the others away."""
    record_of(base, "k2", end="It ended.")
    damage(record_of(base, "k1", end=end))

    (other,) = await service.others(Runtime(), [base], (), 5.0)

    assert "k2" == other.model.kernel_id


@pytest.mark.asyncio
async def test_before_anybody_has_answered(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is there, nothing is said of it, and nothing is done to its job."""
    played = Played(Local(), Completed((), 0, "", ""))
    played.jobs.ask_no_more_than_every(3600.0)
    monkeypatch.setattr(inventory, "jobs_here", lambda runtime, name: played.jobs)
    record_of(base, "k1", job_id="1-1")
    await service.others(Runtime(), [base], (), 5.0)
    later = record_of(base, "k2", job_id="2-1")

    _, known = await service.others(Runtime(), [base], (), 5.0)

    assert ("k2", "unknown", False) == (
        *(known.model.kernel_id, known.model.state),
        known.is_sure,
    )
    for ask in (
        service.end(Runtime(), known),
        service.extend(Runtime(), known, 5),
    ):
        with pytest.raises(UnknownError, match="Try again"):
            await ask
    assert later.is_live


# --- one of them --------------------------------------------------------------------


def known_as(base: Path, **facts: Any) -> Known:
    facts = {"scheduler": "slurm", "job_id": "16", **facts}
    record = record_of(base, "k1", **facts)
    read = record.read("record.json") or {}
    return Known(inventory.Recorded(record, read, None).model(), record)


# The second is made up: it is passed on, whatever it says.
REFUSALS = {
    "denied": Completed((), 1, "", "Access/permission denied for job 16\n"),
    "refused": Completed((), 1, "", "Requested time limit is invalid\n"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("said", "error"),
    [
        (REFUSALS["denied"], DeniedError),
        (REFUSALS["refused"], StateError),
        (captured("squeue-down"), CommandError),
    ],
    ids=["denied", "refused", "down"],
)
async def test_a_time_limit_that_cannot_be_moved(
    base: Path,
    said: Completed,
    error: type[Exception],
) -> None:
    """What kind of failure it is, with the batch system's own words."""
    played = Played(Slurm(), said)
    runtime = Runtime()
    runtime._jobs["slurm"] = played.jobs

    with pytest.raises(error) as caught:
        await service.extend(runtime, known_as(base), 30)

    assert said.stderr.strip().splitlines()[-1] in str(caught.value)


@pytest.mark.asyncio
async def test_a_time_limit_of_a_kernel_of_this_process(base: Path) -> None:
    """It hears of its new end itself, so that its pages do."""
    runtime, asked = Runtime(), []
    runtime._jobs["slurm"] = Played(Slurm(), Completed((), 0, "", "")).jobs

    async def ask() -> JobStatus:
        asked.append("16")
        return JobStatus(JobId("16"), Phase.RUNNING, "RUNNING", end_time=5.0)

    job = SimpleNamespace(ask=ask)
    kernel: Any = SimpleNamespace(status=SimpleNamespace(job=job))

    model = await service.extend(runtime, known_as(base), 30, kernel)

    assert (["16"], 5.0) == (asked, model.ends)


@pytest.mark.asyncio
async def test_jobs_without_a_time_limit(base: Path) -> None:
    """Nobody can move it."""
    known = known_as(base, scheduler="local", job_id="1-1")
    with pytest.raises(StateError, match="has no time limit"):
        await service.extend(Runtime(), known, 30)


@pytest.mark.asyncio
@pytest.mark.parametrize("whole_job", [True, False])
async def test_the_end_of_a_kernel_in_a_shared_job(
    base: Path, monkeypatch: pytest.MonkeyPatch, whole_job: bool
) -> None:
    """The job goes on, for the others in it, unless all are to end."""
    ended: list[JobId] = []

    async def cancel(runtime: Runtime, scheduler: str, job_id: JobId) -> None:
        ended.append(job_id)

    monkeypatch.setattr(inventory, "cancel", cancel)
    place = SharedAllocation(base, "team")
    place.make("members")
    for kernel in ("k1", "k2"):
        place.member(kernel).touch()
    record = record_of(base, "k1", allocation="team")

    alone = await inventory.end(
        Runtime(), record, "local", JobId("9"), whole_job=whole_job
    )

    assert (whole_job, whole_job) == (alone, bool(ended))
    assert not record.path.exists()


@pytest.mark.asyncio
async def test_one_whose_job_cannot_be_ended(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record stays: it may be all that is known of it."""

    async def cancel(runtime: Runtime, scheduler: str, job_id: JobId) -> None:
        raise ControllerError("no answer", ["scancel"], 1)

    monkeypatch.setattr(inventory, "cancel", cancel)
    known = known_as(base)

    with pytest.raises(ControllerError):
        await service.end(Runtime(), known)

    assert known.record.is_live


# --- what the disk says alone -------------------------------------------------------


def test_what_is_noted(base: Path) -> None:
    """Of a damaged record only that it is there."""
    record_of(base, "k1", name="Python", end="It ended.")
    used = record_of(base, "k2")
    used.write("sessions.json", {"s": {"path": "a.ipynb"}})
    (record_of(base, "k3").path / "record.json").write_text("{")

    noted = [
        (n.kernel_id, n.name, n.notebooks, n.is_live) for n in service.noted([base])
    ]

    assert [
        ("k1", "Python", (), False),
        ("k2", "", ("a.ipynb",), True),
        ("k3", "", (), True),
    ] == noted
    assert [base / "kernels" / "k3"] == service.unreadable([base])
    assert ["3 records of kernels"] == service.left(base, kernels=True)
    assert [] == service.left(base)


def test_a_state_directory_with_kernels_is_kept(base: Path) -> None:
    """It is removed when there is none."""
    record = record_of(base, "k1")
    service.forget(base)
    assert record.is_live

    record.remove()
    service.forget(base)

    assert not base.exists()


def test_who_has_a_kernel(base: Path) -> None:
    """A process on a host."""
    record = record_of(base, "k1", pid=os.getpid(), host=socket.gethostname())
    facts = record.read("record.json") or {}

    found = inventory.Recorded(record, facts, None)

    assert f"process {os.getpid()} on {socket.gethostname()}" == found.owner
