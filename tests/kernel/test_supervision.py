"""Whether a kernel lives, and what is done when it does not."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from remote_kernels.errors import AgentError, ControllerError, JobError
from remote_kernels.front.notices import always
from remote_kernels.kernel import actions, supervision
from remote_kernels.kernel.lifecycle import Event, State
from remote_kernels.kernel.news import News
from remote_kernels.records import GIVEN_UP, SHUT_DOWN, TAKEN, JobEnd
from remote_kernels.tunnel.tunnel import Over
from remote_kernels.wire import control
from remote_kernels.wire.codes import Cause, Farewell, ProcessState

from .world import LAUNCH, TIMEOUT, World, hurry

STARTED = [News.SUBMITTED, News.RUNNING, News.ATTACHED]


@pytest.mark.asyncio
async def test_a_job_that_ends_while_its_kernel_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is dead, its record says how, and nothing of it is left."""
    hurry(monkeypatch)
    world = World(tmp_path)
    await world.connect()
    world.job.over.set_result(TIMEOUT)

    async def end() -> None:
        world.tunnel.ended.set_result(Over("stopping", Farewell.ENDING))
        await world.until(lambda: world.status.end is not None)

    world.local.during = end
    await world.supervision.serve()

    await asyncio.wait_for(world.gone.wait(), 5)
    body = world.status.record.read("record.json")
    assert body is not None
    assert "TIMEOUT" == body["end"]["word"]
    assert ["disconnect", "close"] == world.local.did
    assert 1 == world.status.poll()
    assert 1 == await world.status.wait()
    assert [*STARTED, News.ENDED] == world.news


@pytest.mark.asyncio
async def test_it_lives_until_somebody_is_told_that_it_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a websocket that is opened meanwhile waits for it to live."""
    monkeypatch.setattr(actions, "LAST_WORDS", 0.3)
    world = World(tmp_path)
    connection = await world.run()
    connection.set_exited(3, None)

    await world.actions.carry_out(Event.JOB_ENDED, JobEnd("TIMEOUT", text="It ended."))

    assert world.status.poll() is None
    await asyncio.wait_for(world.dead.wait(), 5)
    assert 3 == world.status.poll()
    await world.actions.stop_all()


@pytest.mark.asyncio
async def test_a_connection_that_is_lost(tmp_path: Path) -> None:
    """Its kernel lives on; each loss is told, and its end."""
    world = World(tmp_path)
    await world.run()

    world.tunnel.change(connected=False)
    await world.until(lambda: world.status.state is State.LOST)
    assert "lost" == world.status.model().state
    assert world.status.poll() is None
    world.tunnel.change(connected=True)
    await world.until(lambda: world.status.state is State.RUNNING)

    assert [*STARTED, News.LOST, News.RESUMED] == world.news
    assert ["submit"] == world.job.did
    await world.actions.carry_out(Event.DETACH)


@pytest.mark.asyncio
async def test_a_connection_that_is_lost_while_the_kernel_takes_over(
    tmp_path: Path,
) -> None:
    """It is there, and cannot be reached."""
    world = World(tmp_path)
    await world.connect()
    world.tunnel.connected = False

    await world.supervision.serve()

    assert State.LOST is world.status.state
    await world.actions.carry_out(Event.DETACH)


@pytest.mark.asyncio
@pytest.mark.parametrize("runs", [True, False])
async def test_a_kernel_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    """Its job is its new server's, and so is its record, whatever we do then."""
    hurry(monkeypatch)
    world = World(tmp_path)
    await (world.run() if runs else world.connect())
    await world.status.record.written()
    before = world.status.record.read("record.json")

    world.tunnel.ended.set_result(Over("replaced", Farewell.REPLACED))
    await world.until(lambda: world.status.end is not None)
    assert world.status.end is not None
    assert TAKEN == world.status.end.word
    await world.actions.carry_out(Event.FAILED, JobEnd("not-started"))
    world.status.note_sessions({"s": {"path": "a.ipynb"}}, "a.ipynb")
    await world.actions.carry_out(Event.RELEASE, JobEnd(SHUT_DOWN))

    assert ["submit"] == world.job.did
    assert before == world.status.record.read("record.json")
    assert world.status.record.is_live
    assert [] == world.tunnel.sent
    assert State.DETACHED is world.status.state


@pytest.mark.asyncio
async def test_a_kernel_that_is_released(tmp_path: Path) -> None:
    """Its agent ends the job, which need not be cancelled then."""
    world = World(tmp_path)
    await world.run()

    await world.actions.carry_out(Event.RELEASE, JobEnd(SHUT_DOWN, text="Shut down."))

    assert [control.Stop()] == world.tunnel.sent
    assert ["submit", "leave"] == world.job.did
    assert not world.status.record.path.exists()
    assert News.ENDED is world.news[-1]
    assert ("ended", "Shut down.") == (world.models[-1].state, world.models[-1].text)
    assert 0 == world.status.poll()


@pytest.mark.asyncio
async def test_a_kernel_that_is_released_before_it_is_there(tmp_path: Path) -> None:
    """Its job is cancelled."""
    world = World(tmp_path)
    await world.submit()

    await world.actions.carry_out(Event.RELEASE, JobEnd(SHUT_DOWN))

    assert ["submit", "cancel"] == world.job.did
    assert ["disconnect", "disconnect", "close"] == world.local.did


@pytest.mark.asyncio
async def test_a_job_that_cannot_be_cancelled(tmp_path: Path) -> None:
    """All else is done, and whoever asked hears how to end it."""
    world = World(tmp_path)
    await world.submit()
    world.job.fails = JobError("no answer")

    with pytest.raises(JobError, match="could not be cancelled"):
        await world.actions.carry_out(Event.RELEASE, JobEnd(SHUT_DOWN))

    assert not world.status.record.path.exists()
    assert "close" == world.local.did[-1]


@pytest.mark.asyncio
async def test_a_batch_system_that_is_away_when_a_job_is_to_be_cancelled(
    tmp_path: Path,
) -> None:
    """The process at the other end of the pipe tries it again; that is said."""
    world = World(tmp_path)
    await world.submit()
    world.job.fails = ControllerError("no answer", ["scancel"], 1)

    with pytest.raises(JobError, match="That is tried again for four minutes"):
        await world.actions.carry_out(Event.RELEASE, JobEnd(SHUT_DOWN))

    assert "cancel later" in world.local.did


@pytest.mark.asyncio
async def test_descriptors_run_out_when_a_job_is_to_be_cancelled(
    tmp_path: Path,
) -> None:
    """The process at the other end of the pipe has its own."""
    world = World(tmp_path)
    await world.submit()
    world.job.fails = JobError("no room")
    world.job.fails.__cause__ = OSError(24, "Too many open files")

    await world.actions.carry_out(Event.RELEASE, JobEnd(SHUT_DOWN))

    assert "cancel" in world.local.did


@pytest.mark.asyncio
async def test_a_kernel_that_dies_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job is ended, which its record says; a restart would bring none."""
    hurry(monkeypatch)
    world = World(tmp_path)
    await world.run()
    world.hears(ProcessState.EXITED, exit_code=7)
    assert "dead" == world.status.state.value
    assert 7 == world.status.poll()

    await world.actions.carry_out(Event.GIVE_UP, JobEnd(GIVEN_UP, text="Enough."))

    assert [control.Stop()] == world.tunnel.sent
    assert not world.status.restartable
    body = world.status.record.read("record.json")
    assert body is not None
    assert GIVEN_UP == body["end"]["word"]
    await asyncio.wait_for(world.gone.wait(), 5)
    assert State.ENDED is world.status.state


@pytest.mark.asyncio
async def test_a_process_that_ends_with_its_job(tmp_path: Path) -> None:
    """It does not count as dead before it is known why."""
    world = World(tmp_path)
    await world.run()

    world.hears(ProcessState.EXITED, signum=9, cause=Cause.ENDED)

    assert State.RUNNING is world.status.state
    assert world.status.poll() is None
    await world.actions.carry_out(Event.DETACH)


@pytest.mark.asyncio
async def test_a_start_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in says why, the job is cancelled once, and a person may try again."""
    hurry(monkeypatch)
    world = World(tmp_path)
    await world.submit()

    await world.actions.carry_out(
        Event.FAILED, JobEnd("not-started", text="No such module.")
    )

    assert ["No such module."] == world.local.failed
    assert ["submit", "cancel", "leave"] == world.job.did
    assert world.status.restartable
    assert State.FAILED is world.status.state
    await world.actions.carry_out(Event.RELEASE)
    assert ["submit", "cancel", "leave", "leave"] == world.job.did


@pytest.mark.asyncio
async def test_a_start_that_fails_in_a_shared_job(tmp_path: Path) -> None:
    """The job goes on, so the process in it is ended by its agent."""
    world = World(tmp_path)
    await world.connect()
    world.job.allocation = "team"

    await world.actions.carry_out(Event.FAILED, JobEnd("not-started", text="No."))

    assert [control.Stop()] == world.tunnel.sent
    assert "cancel" in world.job.did
    await world.actions.carry_out(Event.DETACH)


@pytest.mark.asyncio
async def test_a_process_that_is_killed_with_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is the job's end, not the kernel's fault."""
    world = World(tmp_path)
    connection = await world.connect()
    connection.expect(1)
    world.job.over.set_result(TIMEOUT)
    waiting = asyncio.ensure_future(world.supervision.await_running(connection, 5))
    await asyncio.sleep(0)

    world.hears(ProcessState.EXITED, signum=int(signal.SIGTERM))
    world.tunnel.ended.set_result(Over("stopping", Farewell.ENDING))

    with pytest.raises(JobError, match=r"\(TIMEOUT\)"):
        await waiting
    await world.actions.carry_out(Event.UNDO)


@pytest.mark.asyncio
async def test_a_process_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job goes on."""
    monkeypatch.setattr(supervision, "HEARD", 0.0)
    world = World(tmp_path)
    connection = await world.run()
    world.status.move(Event.RESTART)
    connection.start(LAUNCH.process(world.status.settings).as_json(), None)
    assert isinstance(world.tunnel.sent[-1], control.StartKernel)

    world.hears(ProcessState.FAILED, incarnation=1, detail="no such file")

    with pytest.raises(AgentError, match="could not be started"):
        await world.supervision.await_running(connection, 5)
    assert State.DEAD is world.status.state
    assert "running" == world.status.model().state
    await world.actions.carry_out(Event.DETACH)


@pytest.mark.asyncio
async def test_a_warning(tmp_path: Path) -> None:
    """It is said in the notebook, and told to listeners."""
    world = World(tmp_path)
    await world.run()

    world.supervision._warn("10 minutes left", always)

    assert News.WARNING is world.news[-1]
    await world.actions.carry_out(Event.DETACH)
