"""front.front with real sockets: Jupyter's client, a stand-in, and then a kernel."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
import zmq
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.connect import KernelConnectionInfo

from front.house import until
from front.reception import id_of
from front.test_heartbeat import Heart
from front.world import INFO, KEY, Msg, Parts, read
from remote_kernels.front import held_requests, passage
from remote_kernels.front.front import Front, connection_info
from remote_kernels.front.interfaces import ClientSockets, Request
from remote_kernels.front.standin import StandIn
from remote_kernels.front.voice import Voice

SECONDS = 10.0
KNOWN = {**INFO, "protocol_version": "5.3"}
Connect = Callable[[], Coroutine[Any, Any, AsyncKernelClient]]
Start = Callable[..., "Process"]
pytestmark = pytest.mark.asyncio


class Held:
    """How much a stand-in holds, to be waited for."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._count = 0

    def note(self, held: list[Request], known: int) -> None:
        self._count = len(held)
        self._changed.set()

    async def reaches(self, count: int) -> None:
        while self._count < count:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), SECONDS)


class Kernel:
    """Answers at the front, as `Clients` do for a kernel."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[str, Msg]] = asyncio.Queue()
        self.topics: list[bytes] = []
        self._voice = Voice(KEY)

    def serve(self, sockets: ClientSockets | None) -> None:
        self._voice.sockets = sockets

    def subscribed(self, topic: bytes) -> bool:
        self.topics.append(topic)
        return True

    def request(self, target: str, parts: Parts) -> bool:
        self.came.put_nowait((target, read(parts)))
        return True

    async def codes(self, count: int) -> list[str]:
        """Of the next cells."""
        came = [await asyncio.wait_for(self.came.get(), SECONDS) for _ in range(count)]
        return [msg["content"]["code"] for _, msg in came]

    def publish(self, text: str) -> None:
        self._voice.publish("stream", stream(text), {})


class Process:
    """A kernel's own sockets."""

    def __init__(self, directory: Path, curve: tuple[bytes, bytes] | None) -> None:
        directory.mkdir()
        self._context = zmq.asyncio.Context()
        self.voice = Voice(KEY)
        self.back: dict[str, Path] = {}
        self.sockets: dict[str, zmq.asyncio.Socket] = {}
        for target in ("shell", "control", "stdin", "hb", "iopub"):
            kind = zmq.XPUB if target == "iopub" else zmq.ROUTER
            sock = self.sockets[target] = self._context.socket(kind)
            if curve is not None:
                sock.curve_server = True
                sock.curve_publickey, sock.curve_secretkey = curve
            self.back[target] = directory / target
            sock.bind(f"ipc://{directory}/{target}")

    async def receive(self, target: str) -> Parts:
        return await asyncio.wait_for(self.sockets[target].recv_multipart(), SECONDS)

    async def cells(self, count: int) -> list[tuple[Parts, Msg]]:
        """The next ones: their senders, and the messages."""
        found = []
        for _ in range(count):
            parts = await self.receive("shell")
            found.append((parts[: parts.index(b"<IDS|MSG>")], read(parts)))
        return found

    async def say(self, target: str, to: Parts, kind: str, cell: Msg) -> None:
        content = {"name": "stdout", "text": kind, "prompt": "", "status": "ok"}
        parts = self.voice.message(to, kind, content, cell["header"])
        await self.sockets[target].send_multipart(parts)

    def end(self) -> None:
        self._context.destroy(linger=0)


def stream(text: str) -> dict[str, str]:
    return {"name": "stdout", "text": text}


def code(cells: list[tuple[Parts, Msg]]) -> list[str]:
    return [msg["content"]["code"] for _, msg in cells]


@pytest.fixture
def directory() -> Iterator[Path]:
    """Its path is short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@pytest_asyncio.fixture
async def held() -> Held:
    return Held()


@pytest_asyncio.fixture
async def waits(held: Held) -> StandIn:
    """Answers for a kernel that is known."""
    made = StandIn(KEY, on_held=held.note)
    made.introduce(KNOWN)
    return made


@pytest_asyncio.fixture
async def front(directory: Path, waits: StandIn) -> AsyncIterator[Front]:
    made = Front(str(directory / "k"))
    made.bind(waits)
    yield made
    made.close()


@asynccontextmanager
async def connected(directory: Path) -> AsyncIterator[AsyncKernelClient]:
    """Jupyter's client, once it has spoken to whoever answers, and is subscribed."""
    context = zmq.asyncio.Context()
    client = AsyncKernelClient(context=context)
    info = connection_info(str(directory / "k"), KEY)
    client.load_connection_info(cast("KernelConnectionInfo", info))
    client.start_channels(hb=False)
    try:
        await client.wait_for_ready(timeout=SECONDS)
        yield client
    finally:
        client.stop_channels()
        context.destroy(linger=0)


@pytest_asyncio.fixture
async def connect(front: Front, directory: Path) -> AsyncIterator[Connect]:
    """`await connect()`: another client."""
    async with AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(connected(directory))


@pytest_asyncio.fixture
async def start(directory: Path) -> AsyncIterator[Start]:
    """`start("name")`: a process of the kernel, at sockets of its own."""
    made: list[Process] = []

    def start(name: str, curve: tuple[bytes, bytes] | None = None) -> Process:
        made.append(Process(directory / name, curve))
        return made[-1]

    yield start
    for process in made:
        process.end()


async def heard(client: AsyncKernelClient, text: str) -> Msg:
    """The next output with this text."""
    while True:
        msg: Msg = await client.get_iopub_msg(timeout=SECONDS)
        if msg["content"].get("text") == text:
            return msg


async def test_a_kernel_that_waits_is_ready_for_a_client(
    connect: Connect, waits: StandIn
) -> None:
    """It tells what it is, and what is shown reaches the page."""
    client = await connect()

    reply = await client.kernel_info(reply=True, timeout=SECONDS)
    assert KNOWN == reply["content"]

    cell = client.execute("1")
    await client.history(reply=True, timeout=SECONDS)
    waits.show("waits")
    assert cell == (await heard(client, "waits\n"))["parent_header"]["msg_id"]


async def test_a_kernel_that_waits_has_a_heartbeat(
    front: Front, directory: Path
) -> None:
    """So that no client takes it for dead."""
    with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as heart:
        heart.linger = 0
        heart.connect(f"ipc://{directory}/k-5")

        await heart.send(b"ping")

        assert b"ping" == await asyncio.wait_for(heart.recv(), SECONDS)


async def test_held_requests_come_before_all_others(
    front: Front, connect: Connect, waits: StandIn, held: Held
) -> None:
    """In their order, also if a client has sent more by then."""
    client, kernel = await connect(), Kernel()
    for number in range(3):
        client.execute(str(number))
    await held.reaches(3)

    client.execute("3")
    front.hand_over(kernel, {}, held=waits.hand_over())
    client.execute("4")

    assert ["0", "1", "2", "3", "4"] == await kernel.codes(5)


async def test_subscribers_hear_the_kernel(front: Front, connect: Connect) -> None:
    """Those who came before it, and those who come later; the latter are announced."""
    early, kernel = await connect(), Kernel()

    front.hand_over(kernel, {})
    assert [] == kernel.topics
    kernel.publish("hello")
    await heard(early, "hello")

    with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as late:
        late.linger = 0
        late.connect(early._make_url("iopub"))
        late.subscribe(b"")
        while not kernel.topics:
            kernel.publish("again")
            await heard(early, "again")
        kernel.publish("late")
        (topic, *rest) = await asyncio.wait_for(late.recv_multipart(), SECONDS)

    assert ([b"\x01"], b"stream") == (kernel.topics, topic)
    assert read(rest)["content"]["text"] in ("again", "late")


async def test_a_stand_in_that_is_full(
    front: Front,
    connect: Connect,
    waits: StandIn,
    held: Held,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is sent stays in the sockets, and is not lost; interrupts still pass."""
    client, kernel = await connect(), Kernel()
    monkeypatch.setattr(held_requests, "HELD_BYTES", 1000)
    client.execute("0" * 1000)
    await held.reaches(1)
    client.execute("1")
    asked = client.session.msg("debug_request", {"code": "control"})
    client.control_channel.send(asked)
    await held.reaches(2)

    given = waits.hand_over()
    assert ["shell", "control"] == [target for target, _ in given]
    front.hand_over(kernel, {}, held=given)

    assert ["0" * 1000, "control", "1"] == await kernel.codes(3)


async def test_a_stand_in_that_has_room_again(
    front: Front,
    connect: Connect,
    waits: StandIn,
    held: Held,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes what clients have sent meanwhile, without waiting for the kernel."""
    client = await connect()
    monkeypatch.setattr(held_requests, "HELD_BYTES", 1000)
    client.execute("0" * 1000)
    await held.reaches(1)
    client.execute("1")
    client.execute("2" * 1000)
    await until(lambda: front._listeners["shell"]._waiting)

    waits.interrupt()

    await held.reaches(2)
    assert 2 == len(waits.hand_over())


@pytest.mark.parametrize("curve", [None, zmq.curve_keypair()], ids=["plain", "curve"])
async def test_bytes_are_passed_to_the_kernel_itself(
    front: Front,
    connect: Connect,
    waits: StandIn,
    held: Held,
    start: Start,
    curve: tuple[bytes, bytes] | None,
) -> None:
    """Held ones first; it can answer, be heard, and ask for input."""
    client, process = await connect(), start("process", curve)
    client.execute("0")
    client.execute("1")
    await held.reaches(2)

    front.hand_over(None, process.back, curve, waits.hand_over())
    client.execute("2", allow_stdin=True)

    cells = await process.cells(3)
    assert ["0", "1", "2"] == code(cells)
    sender, cell = cells[2]
    assert [b"\x01"] == await process.receive("iopub")
    await process.say("iopub", [b"stream"], "stream", cell)
    await heard(client, "stream")
    await process.say("stdin", sender, "input_request", cell)
    asked = await client.get_stdin_msg(timeout=SECONDS)
    client.input("42")
    answer = read(await process.receive("stdin"))
    await process.say("shell", sender, "execute_reply", cell)
    reply = await client.get_shell_msg(timeout=SECONDS)
    assert ("input_request", "42") == (asked["msg_type"], answer["content"]["value"])
    assert id_of(cell) == reply["parent_header"]["msg_id"]


async def test_a_new_process_takes_the_place_of_the_old_one(
    front: Front, connect: Connect, start: Start
) -> None:
    """Clients notice nothing, and the old one gets nothing."""
    client, first, second = await connect(), start("first"), start("second")
    front.hand_over(None, first.back)
    client.execute("0")
    assert ["0"] == code(await first.cells(1))

    front.hand_over(None, second.back)
    client.execute("1")

    ((_, cell),) = await second.cells(1)
    assert "1" == cell["content"]["code"]
    assert [b"\x01"] == await second.receive("iopub")
    await second.say("iopub", [b"stream"], "stream", cell)
    await heard(client, "stream")
    assert not await first.sockets["shell"].poll(0)


async def test_sockets_whose_files_were_removed(
    front: Front, connect: Connect, directory: Path, held: Held
) -> None:
    """They are bound again: whoever was connected stays so, and others can come."""
    early = await connect()
    early.execute("0")
    await held.reaches(1)
    for path in directory.glob("k-*"):
        path.unlink()

    front.rebind()

    late = await connect()
    early.execute("1")
    late.execute("2")
    await held.reaches(3)
    kernel = Kernel()
    front.hand_over(kernel, {})
    kernel.publish("hello")
    await heard(early, "hello")
    await heard(late, "hello")


async def test_nothing_is_left_of_a_front(directory: Path) -> None:
    """Neither files nor callbacks."""
    front, answers = Front(str(directory / "k")), StandIn(KEY)
    front.bind(answers)
    assert 5 == len([*directory.iterdir()])

    front.close()

    assert [] == [*directory.iterdir()]
    answers.show("nobody hears it")


async def test_a_kernel_whose_process_is_gone(
    front: Front, connect: Connect, start: Start
) -> None:
    """What is sent until there is another one waits for that."""
    client, first, second = await connect(), start("first"), start("second")
    front.hand_over(None, first.back)
    front.disconnect()
    client.execute("0")
    await until(lambda: front._listeners["shell"]._waiting)

    front.hand_over(None, second.back)

    assert ["0"] == code(await second.cells(1))


async def test_whether_clients_find_it(front: Front, directory: Path) -> None:
    """Not if one socket is missing, or is another one's."""
    assert front.is_reachable()
    path = directory / "k-3"
    path.unlink()
    missing = front.is_reachable()
    path.touch()

    assert [False, False] == [missing, front.is_reachable()]


async def test_a_place_where_no_socket_can_be(directory: Path) -> None:
    """It is said at once, and nothing is left open."""
    front = Front(str(directory / ("k" * 200)))

    before = len([*Path("/proc/self/fd").iterdir()])

    with pytest.raises(OSError, match="too long") as error:
        front.bind(StandIn(KEY))

    assert before == len([*Path("/proc/self/fd").iterdir()])
    del error  # its frames would close what they hold


async def test_the_sockets_of_a_stand_in(
    front: Front, connect: Connect, waits: StandIn
) -> None:
    """Who has a socket for answers is asked there."""
    client = await connect()
    client.execute("1", allow_stdin=True)
    answers: list[str] = []

    waits.ask("these are there", "which?", answers.append)
    asked = await client.get_stdin_msg(timeout=SECONDS)
    client.input("7")
    await until(lambda: answers)

    assert "these are there\nwhich? " == asked["content"]["prompt"]
    assert ["7"] == answers


async def test_a_kernel_s_own_heartbeat(front: Front, directory: Path) -> None:
    """From the hand-over on it is the kernel that answers."""
    heart = Heart()
    front.hand_over(Kernel(), {}, heartbeat=lambda: heart)
    with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as client:
        client.linger = 0
        client.connect(f"ipc://{directory}/k-5")

        await client.send(b"ping")
        await until(lambda: heart.end)
        heart.beat()
        heart.beat()

        assert b"ping" == await asyncio.wait_for(client.recv(), SECONDS)


async def test_a_kernel_that_says_much(
    front: Front, connect: Connect, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it comes, in order; it is forwarded in turns, as others must have theirs."""
    monkeypatch.setattr(passage, "TURN", 3)
    client, process = await connect(), start("process")
    front.hand_over(None, process.back)
    client.execute("0")
    ((_, cell),) = await process.cells(1)
    assert [b"\x01"] == await process.receive("iopub")

    for number in range(20):
        await process.say("iopub", [b"stream"], f"{number}", cell)

    for number in range(20):
        await heard(client, f"{number}")
