"""kernel.status: what one process knows, tells and writes of a kernel."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
from pathlib import Path

import pytest
from scheduler.asking import job

from remote_kernels.config import parse
from remote_kernels.kernel.job import Job
from remote_kernels.kernel.lifecycle import Event, State
from remote_kernels.kernel.news import News
from remote_kernels.kernel.previous_kernel import PreviousKernel
from remote_kernels.kernel.status import KernelStatus
from remote_kernels.records import JobEnd, Record
from remote_kernels.scheduler.job import JobId, JobStatus, Phase

from .world import LAUNCH, FakeJob, World

PENDING = JobStatus(job("7"), Phase.PENDING, "PENDING", "Resources")
SUSPENDED = JobStatus(job("7"), Phase.SUSPENDED, "SUSPENDED")
HELD = [("shell", [b"a", b"b"])]


def says(world: World, status: JobStatus | None) -> None:
    """The scheduler, the last time."""
    world.job.status = status


@pytest.mark.asyncio
@pytest.mark.parametrize("said", [None, PENDING])
async def test_a_job_whose_agent_has_reported(
    tmp_path: Path, said: JobStatus | None
) -> None:
    """It runs, though the scheduler was not asked since it waited."""
    world = World(tmp_path)
    await world.submit()
    says(world, said)
    assert world.status.job_status is said

    world.status.reported("n1")

    expected = JobStatus(job("7"), Phase.RUNNING, "RUNNING", node="n1")
    assert expected == world.status.job_status
    view = world.models[-1]
    assert (News.RUNNING, "starting") == (world.news[-1], view.state)
    assert ("RUNNING", "n1") == (view.job_state, view.node)
    assert {"running", "agent"} <= {*world.status.times}


@pytest.mark.asyncio
async def test_what_the_scheduler_has_said_since(tmp_path: Path) -> None:
    """That it is suspended, say: it knows better than anybody."""
    world = World(tmp_path)
    await world.run()
    says(world, SUSPENDED)

    assert SUSPENDED == world.status.job_status
    await world.actions.carry_out(Event.DETACH)


@pytest.mark.asyncio
async def test_a_job_that_waits_while_nobody_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How it stands is unknown, until its agent says that it runs."""
    world = World(tmp_path)
    await world.submit()
    says(world, PENDING)
    assert "waiting" == world.status.model().state

    monkeypatch.setattr(FakeJob, "is_unanswered", True)

    view = world.status.model()
    assert ("unknown", "") == (view.state, view.job_state)
    world.status.reported("n1")
    assert "starting" == world.models[-1].state


@pytest.mark.asyncio
async def test_a_job_that_is_suspended(tmp_path: Path) -> None:
    """It is told instead of the connection, which is lost as long."""
    world = World(tmp_path)
    await world.run()
    world.tunnel.change(False)
    assert "lost" == world.status.model().state

    world.job.suspended = SUSPENDED
    assert ("suspended", "SUSPENDED") == (
        world.status.model().state,
        world.status.model().job_state,
    )

    world.tunnel.change(True)
    assert "running" == world.status.model().state
    await world.actions.carry_out(Event.DETACH)


@pytest.mark.asyncio
async def test_a_record_that_was_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By `stop`, or a person: no reason to warn anybody."""
    caplog.set_level("INFO", "remote_kernels")
    world = World(tmp_path)
    await world.submit()
    shutil.rmtree(world.status.record.path)

    world.status.save_news()
    await world.status.record.written()

    assert "its record was removed" in caplog.text
    assert not [one for one in caplog.records if one.levelname == "WARNING"]


@pytest.mark.asyncio
async def test_a_record_that_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning, and the kernel lives on."""
    world = World(tmp_path)
    await world.submit()
    record = world.status.record
    (record.path / "sessions.json").mkdir()

    world.status.note_sessions({"s": {"path": "a.ipynb"}}, "a.ipynb")
    await world.status.record.written()

    assert "Cannot write" in caplog.text
    assert "a.ipynb" == (record.read("record.json") or {})["notebook"]
    assert not world.status.is_over


@pytest.mark.asyncio
@pytest.mark.parametrize("outlives", [True, False])
async def test_what_clients_ask_while_they_wait(tmp_path: Path, outlives: bool) -> None:
    """It is kept for the next server, if there may be one."""
    settings = parse({"scheduler": "local", "state_dir": str(tmp_path)})
    status = KernelStatus(
        "k", settings, "", "", outlives=outlives, on_news=lambda *_: None
    )
    status.record.create()
    status.note_held(HELD, 0)
    await status.record.written()
    assert [] == status.record.held.read(), "it is not there yet, or not any more"

    status.record.write("spec.json", {"secret": "00"})
    status.note_held(HELD, 0)
    await status.record.written()

    assert (HELD if outlives else []) == status.record.held.read()


@pytest.mark.asyncio
async def test_how_long_its_agent_waits(tmp_path: Path) -> None:
    """Longer where the kernel outlives its server, which may be away by then."""
    found = []
    for outlives in (False, True):
        settings = parse({"start_timeout": 10, "silence": 1000})
        status = KernelStatus(
            "k", settings, "", "", outlives=outlives, on_news=lambda *_: None
        )
        found.append(status._spec(LAUNCH.process(settings))["attach"])

    assert [10, 1000] == found


@pytest.mark.asyncio
async def test_who_wants_to_know_what_changes(tmp_path: Path) -> None:
    """They hear of whatever its model shows, and whether that is only its use."""
    heard: list[bool] = []
    settings = parse({"scheduler": "local", "state_dir": str(tmp_path)})
    status = KernelStatus(
        "k",
        settings,
        "",
        "",
        outlives=False,
        on_news=lambda *_: None,
        on_changed=heard.append,
    )
    found = FakeJob(settings, status.record)

    def after() -> list[bool]:
        told, heard[:] = [*heard], []
        return told

    status.begin(found, "")
    status.happened(Event.SUBMITTED)
    assert False in after()
    await Job.ask(played(found))
    assert [False] == after()
    status.note_sessions({"s": {"path": "a.ipynb"}}, "")
    assert [False] == after()
    status.changed(measured=True)
    assert [True] == after()


def played(job: FakeJob) -> FakeJob:
    """Whose scheduler says that it waits."""
    job.id = PENDING.job_id

    async def status(job_id: JobId) -> JobStatus:
        return PENDING

    job.jobs.status = status  # type: ignore[method-assign]
    return job


@pytest.mark.asyncio
async def test_its_sockets_move(tmp_path: Path) -> None:
    """That is written; the same place is no news."""
    world = World(tmp_path)
    await world.submit()

    assert world.status.moved(tmp_path / "new")
    assert not world.status.moved(tmp_path / "new")

    await world.status.record.written()
    facts = world.status.record.read("record.json")
    assert facts is not None
    assert str(tmp_path / "new") == facts["directory"]


@pytest.mark.asyncio
async def test_a_job_of_another_process(tmp_path: Path) -> None:
    """What it left is known, and its secret is the job's."""
    first = World(tmp_path)
    await first.submit()
    first.status.note_sessions({"s": {"path": "a.ipynb"}}, "a.ipynb")
    await first.status.record.written()
    record = first.status.record
    facts, spec = record.read("record.json"), record.read("spec.json")
    assert facts is not None
    assert spec is not None

    second = World(tmp_path)
    await second.status.resume(facts, spec, second.job)

    assert first.status.secret == second.status.secret
    assert first.status.times == second.status.times
    assert ["a.ipynb"] == [one["path"] for one in second.status.sessions.values()]
    assert second.status.take_secret(b"shared")
    assert b"shared" == second.status.secret
    assert not second.status.take_secret(None)


@pytest.mark.asyncio
async def test_an_end(tmp_path: Path) -> None:
    """The first word counts; the record has it, and no secret."""
    world = World(tmp_path)
    await world.run()
    assert "" == world.status.end_text

    world.status.move(Event.JOB_ENDED, JobEnd("TIMEOUT", text="Its time was over."))
    world.status.move(Event.JOB_ENDED, JobEnd("FAILED", text="no"))
    await world.status.seal()

    assert ("Its time was over.", True) == (
        world.status.end_text,
        world.status.is_over,
    )
    facts = world.status.record.read("record.json")
    assert facts is not None
    assert "TIMEOUT" == facts["end"]["word"]
    assert world.status.record.read("spec.json") is None
    assert ["submit", "leave"] == world.job.did
    await world.actions.carry_out(Event.DETACH)


@pytest.mark.asyncio
async def test_nothing_is_written_to_another_server_s_record(tmp_path: Path) -> None:
    """Nor by one that has let go."""
    world = World(tmp_path)
    await world.submit()
    world.status.move(Event.TAKEN)
    assert State.LEAVING is world.status.state
    before = world.status.record.read("record.json")

    world.status.note_sessions({"s": {"path": "b.ipynb"}}, "b.ipynb")
    await world.status.save()
    await world.status.record.written()

    assert before == world.status.record.read("record.json")
    assert {} == world.status.record.sessions()


def test_a_user_whom_nobody_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container: it is what the kernel can do without."""

    def refuse() -> str:
        raise KeyError(os.getuid())

    monkeypatch.setattr(getpass, "getuser", refuse)

    async def submitted() -> State:
        world = World(tmp_path)
        await world.submit()
        return world.status.state

    assert State.PENDING is asyncio.run(submitted())


def test_a_kernel_before_it(tmp_path: Path) -> None:
    """Whose end its notebook is told of, until that was said."""
    before = PreviousKernel("It ran out of time.", Record(tmp_path, "old"))

    async def known() -> list[PreviousKernel | None]:
        status = World(tmp_path).status
        status.follows(before)
        found = [status.previous_kernel]
        status.follows(None)
        return [*found, status.previous_kernel]

    assert [before, None] == asyncio.run(known())


@pytest.mark.asyncio
async def test_no_connection_while_it_restarts(tmp_path: Path) -> None:
    """It says lost, as at any other time."""
    world = World(tmp_path)
    await world.run()
    world.status.move(Event.RESTART)
    world.tunnel.connected = False

    world.status.happened(Event.LOST)

    assert (State.RESTARTING, News.LOST) == (world.status.state, world.news[-1])
    assert "lost" == world.models[-1].state
