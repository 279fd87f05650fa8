"""A kernel's connection: before its agent is reached, and what it hears then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from remote_kernels.errors import AgentError, PortError
from remote_kernels.front.clients import Clients
from remote_kernels.front.front import Front
from remote_kernels.front.heartbeat import Heartbeat
from remote_kernels.front.standin import StandIn
from remote_kernels.kernel import connection as module
from remote_kernels.kernel.connection import INFO, WAY_IN, Connection
from remote_kernels.kernel.news import News
from remote_kernels.records import Record
from remote_kernels.tunnel.tunnel import Over
from remote_kernels.wire import control
from remote_kernels.wire.codes import Cause, Farewell, ProcessState
from remote_kernels.wire.exec import TARGET
from remote_kernels.wire.kernel_sockets import SOCKETS
from remote_kernels.wire.target import Tcp

CURVE = b"public", b"secret"
INFORMATION = {"implementation": "test"}


@pytest.mark.asyncio
async def test_a_beat_that_comes_early(tmp_path: Path) -> None:
    """It is lost; the next goes to the agent that is reached, not to one that was not."""
    record = Record(tmp_path, "k")
    connection = Connection(b"key", None, tmp_path, record, "node", 15.0)
    first, second = MagicMock(carrier=None), MagicMock(carrier="srun")
    heart = Heartbeat(MagicMock(), connection._heartbeat)

    connection.tunnel = first
    heart.send([b"ping"])
    connection.tunnel = second
    heart.send([b"ping"])

    assert not first.channel.called
    assert second.channel.called
    heart.close()
    await asyncio.sleep(0)
    connection.tunnel = None
    await connection.close()


class Session:
    """A tunnel that is open at once, and notes what it is asked for."""

    made: list[Session]

    def __init__(
        self, carriers: Sequence[Any], secret: bytes, heard: Any, **options: Any
    ) -> None:
        self.options = {**options, "secret": secret}
        self.heard: Callable[[control.Message], None] = heard
        self.carrier: Any = None
        self.ended: asyncio.Future[Over] = asyncio.get_running_loop().create_future()
        self.listens: list[tuple[Path, str]] = []
        self.channels: list[str] = []
        self.sent: list[control.Message] = []
        self.closed = False
        self._carriers = carriers
        Session.made.append(self)

    async def open(self) -> None:
        self.carrier = self._carriers[0]

    async def listen(self, path: Path, kernel: str, target: str) -> None:
        self.listens.append((path, target))

    def channel(self, kernel: str, target: str) -> MagicMock:
        self.channels.append(target)
        return MagicMock()

    def send(self, message: control.Message) -> None:
        self.sent.append(message)

    async def close(self) -> None:
        self.closed = True


class Reached:
    """A connection to an agent, what it told us, and how the kernel's process ended."""

    def __init__(
        self, directory: Path, curve: tuple[bytes, bytes] | None = None
    ) -> None:
        self.record = Record(directory, "k")
        self.record.create()
        self.infos: list[dict[str, Any]] = []
        self.exits = 0
        self.connection = Connection(
            *(b"key", curve, directory, self.record, "c1", 15.0),
            self.infos.append,
            self._exited,
            spec_name="py",
            on_warning=lambda news, text: self.warnings.append((news, text)),
        )
        self.warnings: list[tuple[News, str]] = []
        self.notices: list[str] = []
        if self.connection.clients is not None:
            noted = lambda text, holds: self.notices.append(text)
            setattr(self.connection.clients, "notice", noted)  # noqa: B010

    def _exited(self) -> None:
        self.exits += 1

    async def open(self) -> Session:
        carrier: Any = MagicMock()
        carrier.name = "ssh"
        await self.connection.open([carrier], b"secret", take=True)
        return Session.made[-1]

    def hears(self, state: ProcessState, incarnation: int = 1, **facts: Any) -> None:
        message = control.KernelState("k", incarnation, state, **facts)
        self.connection._heard(message)


@pytest.fixture(autouse=True)
def _sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    Session.made = []
    monkeypatch.setattr(module, "Tunnel", Session)


@pytest.mark.asyncio
async def test_it_is_opened(tmp_path: Path) -> None:
    """For this kernel; there is a way into the job, and channels for its messages."""
    reached = Reached(tmp_path)
    connection = reached.connection
    assert (None, False) == (connection.carrier, connection.agent_ends)

    session = await reached.open()

    assert "ssh" == reached.connection.carrier
    assert ("k", True, 15.0) == tuple(
        session.options[name] for name in ("kernel", "take", "dead_after")
    )
    assert str(reached.record.path) == session.options["record"]
    assert [(tmp_path / WAY_IN, TARGET)] == session.listens
    assert {"shell", "control", "stdin", "iopub"} == {*session.channels}
    await reached.connection.close()
    assert session.closed
    assert 0 == await reached.connection.wait()
    with pytest.raises(PortError):
        await reached.connection.ports.open(Tcp(1))


@pytest.mark.asyncio
async def test_a_kernel_with_curve(tmp_path: Path) -> None:
    """All that it says passes as bytes; nobody here can say anything in its name."""
    reached = Reached(tmp_path, CURVE)
    session = await reached.open()

    assert reached.connection.clients is None
    back = [tmp_path / f"up-{name}" for name in SOCKETS]
    assert back == [path for path, target in session.listens if target != TARGET]
    assert [] == session.channels
    reached.connection.notice("unheard")
    reached.connection.expect(1)
    assert not reached.connection.told_to_end
    await reached.connection.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("curve", [None, CURVE])
async def test_its_directory_was_removed(
    tmp_path: Path, curve: tuple[bytes, bytes] | None
) -> None:
    """It listens in the new one; before it is open there is nothing to make anew."""
    reached = Reached(tmp_path, curve)
    await reached.connection.move(tmp_path / "second")
    session = await reached.open()
    before = len(session.listens)

    await reached.connection.move(tmp_path / "third")

    places = [path.parent for path, _ in session.listens]
    assert {tmp_path / "second"} == {*places[:before]}
    assert {tmp_path / "third"} == {*places[before:]}
    assert before == len(places) - before
    await reached.connection.close()


@pytest.mark.asyncio
async def test_what_the_kernel_says_of_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is kept for the next server; where it cannot be, the kernel does without."""
    reached = Reached(tmp_path)

    reached.connection._note_info(INFORMATION)
    await reached.record.worker.run(lambda: None)
    assert INFORMATION == reached.record.read(INFO)
    reached.record.remove()
    reached.record.path.touch()  # in its place
    reached.connection._note_info(INFORMATION)
    await reached.record.worker.run(lambda: None)

    assert [INFORMATION] * 2 == reached.infos
    assert "kernel=k Cannot write" in caplog.text
    await reached.connection.close()


@pytest.mark.asyncio
async def test_a_use_that_is_measured(tmp_path: Path) -> None:
    """With the time at which it came."""
    reached = Reached(tmp_path)

    reached.connection._heard(control.Usage("k", 50.0, 2, 1000, None, []))

    usage = reached.connection.usage
    assert usage is not None
    assert (50.0, 1000) == (usage["cpu_percent"], usage["memory"])
    assert usage["time"] > 0
    assert "kernel" not in usage
    await reached.connection.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("cause", "news"),
    [(Cause.OUT_OF_MEMORY, News.OUT_OF_MEMORY), (Cause.NONE, News.WARNING)],
)
async def test_what_a_process_died_of(tmp_path: Path, cause: Cause, news: News) -> None:
    """A lack of memory is told as that, for programs."""
    reached = Reached(tmp_path)
    await reached.open()

    reached.hears(ProcessState.EXITED, signum=9, cause=cause)

    assert [news] == [told for told, _ in reached.warnings]
    await reached.connection.close()


@pytest.mark.asyncio
async def test_an_agent_that_stood_still(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """People are told in the notebook, beside it, and in the log."""
    reached = Reached(tmp_path)

    reached.connection._heard(control.Stalled("k", 7.0))
    reached.connection._heard(control.Unknown("later"))

    (told,) = reached.warnings
    assert [f"[remote_kernels] {told[1]}"] == reached.notices
    assert News.WARNING is told[0]
    assert reached.notices[0].startswith(
        "[remote_kernels] The kernel's agent on c1 sto"
    )
    assert "stood still for 7 s" in caplog.text
    await reached.connection.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("asked", "told"), [(None, 1), (2, 1), (15, 0), (9, 0)], ids=str
)
async def test_a_process_that_dies(
    tmp_path: Path, asked: int | None, told: int
) -> None:
    """That is told unless somebody has told it to end; an interrupt is no such thing."""
    reached = Reached(tmp_path)
    session = await reached.open()
    if asked is not None:
        reached.connection.signal(asked)
        assert [control.Signal("k", asked)] == session.sent

    reached.hears(ProcessState.EXITED, signum=9)
    reached.connection.signal(15)

    assert -9 == await reached.connection.wait()
    assert (told, 1) == (len(reached.notices), reached.exits)
    assert (asked in (9, 15)) == reached.connection.told_to_end
    assert len(session.sent) == (asked is not None), "a dead one gets no signal"
    await reached.connection.close()


@pytest.mark.asyncio
async def test_a_process_that_ends_with_its_job(tmp_path: Path) -> None:
    """It has died, and the job's end says why."""
    reached = Reached(tmp_path)
    await reached.open()

    reached.hears(ProcessState.EXITED, signum=15, cause=Cause.ENDED)

    assert reached.connection.agent_ends
    assert -15 == reached.connection.exit_code
    assert ([], 0) == (reached.notices, reached.exits)
    await reached.connection.close()


@pytest.mark.asyncio
async def test_an_agent_that_ends(tmp_path: Path) -> None:
    """Whatever it has said of its kernel."""
    reached = Reached(tmp_path)
    session = await reached.open()

    session.ended.set_result(Over("stopping", Farewell.ENDING))

    assert reached.connection.agent_ends
    await reached.connection.close()


@pytest.mark.asyncio
async def test_news_of_an_earlier_process(tmp_path: Path) -> None:
    """The one that is waited for lives."""
    reached = Reached(tmp_path)
    session = await reached.open()
    reached.hears(ProcessState.RUNNING, 4)
    assert 5 == reached.connection.next_incarnation

    reached.connection.start({"argv": []}, None)
    reached.hears(ProcessState.EXITED, 4, exit_code=0)

    assert [control.StartKernel("k", {"argv": []})] == session.sent
    assert not reached.connection._exited.is_set()
    reached.hears(ProcessState.EXITED, 5, exit_code=3)
    assert 3 == reached.connection.exit_code
    await reached.connection.close()


@pytest.mark.asyncio
async def test_a_process_that_listens(tmp_path: Path) -> None:
    """It is waited for; where it could not begin in the notebook's directory, that is said."""
    reached = Reached(tmp_path)
    reached.connection.expect(1)
    waiting = asyncio.ensure_future(reached.connection.await_running(10.0))
    await asyncio.sleep(0)

    reached.hears(ProcessState.STARTING)
    await asyncio.sleep(0)
    assert not waiting.done()
    reached.hears(ProcessState.RUNNING, lacks="/home/alice/x")

    await asyncio.wait_for(waiting, 5)
    assert 1 == len(reached.notices)
    assert "/home/alice/x is not there" in reached.notices[0]
    await reached.connection.close()


@pytest.mark.asyncio
async def test_a_process_that_does_not_come(tmp_path: Path) -> None:
    """Its agent says why."""
    reached = Reached(tmp_path)
    reached.connection.expect(1)
    reached.hears(ProcessState.FAILED, detail="no such program", cause=Cause.NO_PROGRAM)

    with pytest.raises(AgentError, match="could not be started on c1: no such program"):
        await reached.connection.await_running(10.0)
    await reached.connection.close()


@pytest.mark.asyncio
async def test_a_process_that_does_not_listen(tmp_path: Path) -> None:
    """Not for ever, and with what it wrote."""
    reached = Reached(tmp_path)
    reached.record.kernel_log.write_text("importing everything")
    reached.connection.expect(1)

    with pytest.raises(AgentError) as caught:
        await reached.connection.await_running(0.01)

    assert "within 0.01 s on c1" in str(caught.value)
    assert str(caught.value).endswith("--- kernel.log\nimporting everything")
    await reached.connection.close()


@pytest.mark.asyncio
async def test_a_job_that_ends_while_its_process_is_waited_for(tmp_path: Path) -> None:
    """Who knows of that says so; there is nothing to wait for."""
    reached = Reached(tmp_path)
    reached.connection.expect(1)
    waiting = asyncio.ensure_future(reached.connection.await_running(10.0))
    await asyncio.sleep(0)

    reached.connection.set_exited(1, None)
    reached.connection.set_exited(2, None)

    await asyncio.wait_for(waiting, 5)
    assert 1 == reached.connection.exit_code
    await reached.connection.close()


class Sockets:
    """A front, by what it is given."""

    def __init__(self) -> None:
        self.given: tuple[Any, ...] = ()

    def hand_over(self, *given: Any) -> None:
        self.given = given


class Held:
    """A stand-in that has promised something."""

    topics = (b"",)
    sessions = frozenset({"s"})
    restored = frozenset({"r"})
    is_holding = True

    def all_said(self) -> dict[str, list[str]]:
        return {}

    def hand_over(self, session: str) -> list[Any]:
        return [("shell", [session.encode()])]


@pytest.mark.asyncio
async def test_clients_of_a_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel has what they asked, and they get what it says."""
    reached, front = Reached(tmp_path), Sockets()
    clients = reached.connection.clients
    assert clients is not None
    done: list[Any] = []

    async def handshake(self: Clients, seconds: float) -> str:
        return "session"

    monkeypatch.setattr(Clients, "handshake", handshake)
    for name in ("adopt", "attach", "subscribed"):
        monkeypatch.setattr(clients, name, done.append)

    await reached.connection.join(cast("Front", front), cast("StandIn", Held()))

    assert [{"r"}, {"s"}, b""] == done
    assert (clients, {}, None) == front.given[:3]
    assert [("shell", [b"session"])] == front.given[3]
    assert reached.connection._heartbeat == front.given[4]
    await reached.connection.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("standin", [None, Held()])
async def test_clients_of_a_kernel_with_curve(
    tmp_path: Path, standin: Held | None
) -> None:
    """Their bytes pass, and what they asked before goes along."""
    reached, front = Reached(tmp_path, CURVE), Sockets()

    await reached.connection.join(cast("Front", front), cast("StandIn | None", standin))

    respondent, back, curve, held, beats = front.given
    assert (None, CURVE, None) == (respondent, curve, beats)
    assert {*SOCKETS} == {*back}
    assert ([] if standin is None else [("shell", [b""])]) == held
    await reached.connection.close()


@pytest.mark.asyncio
async def test_what_the_agent_may_forget(tmp_path: Path) -> None:
    """Once clients have it."""
    reached = Reached(tmp_path)
    reached.connection._tell_delivered("iopub", 7, 5)  # to nobody yet
    session = await reached.open()

    reached.connection._tell_delivered("iopub", 7, 5)

    assert [control.Delivered("k", "iopub", 7, 5)] == session.sent
    await reached.connection.close()
