"""agent.message_buffer: what a kernel says is kept until it has been passed on."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
import zmq
from relay.joined import Joined, Talker, joined, until

from agent.zmq_kernel import KINDS, Kernels, zmq_kernels
from remote_kernels.agent import message_buffer as module
from remote_kernels.agent.message_buffer import PIECE, MessageBuffer
from remote_kernels.front.listener import Listener
from remote_kernels.relay.channel import Channel
from remote_kernels.relay.spool import MEMORY
from remote_kernels.wire.messages import Message

CHUNK = 4 * 1024 * 1024


@pytest_asyncio.fixture
async def kernels() -> AsyncIterator[Kernels]:
    async with zmq_kernels() as made:
        yield made


@pytest_asyncio.fixture
async def buffer(tmp_path: Path) -> AsyncIterator[MessageBuffer]:
    made = MessageBuffer(str(tmp_path), disk=0)
    yield made
    made.close()
    await asyncio.sleep(0)  # asyncio closes the sockets in its next turn


@asynccontextmanager
async def session(buffer: MessageBuffer) -> AsyncIterator[Joined]:
    """A login end attached to the buffer."""

    async def attach(kernel: str, target: str, channel: Channel) -> None:
        buffer.attach(target, channel)

    async with joined(attach) as made:
        yield made


async def about(channel: Talker) -> dict[str, int]:
    """The message that says where the kept ones begin."""
    first = await channel.receive()
    assert 0 == first.number
    said: dict[str, int] = json.loads(first.parts[0])
    return said


async def heard(channel: Talker, count: int) -> list[tuple[int, bytes]]:
    """The next messages: their numbers and last parts."""
    messages = [await channel.receive() for _ in range(count)]
    return [(message.number, message.parts[-1]) for message in messages]


async def whole(channel: Talker) -> Message:
    """The next message, of however many pieces."""
    first = last = await channel.receive()
    while last.left:
        last = await channel.receive()
        assert (first.number, len(first.parts[-1])) == (last.number, last.offset)
        first.parts[-1] += last.parts[0]
    return first._replace(left=0)


def numbered(first: int, *bodies: bytes) -> list[tuple[int, bytes]]:
    return list(enumerate(bodies, first))


@pytest.mark.asyncio
@pytest.mark.parametrize("transport", ["ipc", "tcp"])
async def test_requests_and_replies(
    kernels: Kernels, buffer: MessageBuffer, tmp_path: Path, transport: str
) -> None:
    """They pass as they are, and only what the kernel says is numbered."""
    kernel = kernels.start(tmp_path if transport == "ipc" else None)
    await buffer.connect(kernel.address)

    async with session(buffer) as login:
        shell = login.open("shell")
        shell.send(b"request", b"")
        asked = await kernel.receive("shell")
        await kernel.sockets["shell"].send_multipart([asked[0], b"", b"reply"])

        assert [b"request", b""] == asked[1:]
        assert {"delivered": 0, "first": 1} == await about(shell)
        assert Message(1, [b"", b"reply"]) == await shell.receive()


@pytest.mark.asyncio
async def test_one_identity_for_all_sockets(
    kernels: Kernels, buffer: MessageBuffer
) -> None:
    """A kernel asks for input by who sent the request."""
    kernel = kernels.start()
    await buffer.connect(kernel.address)

    async with session(buffer) as login:
        identities = []
        for target in ("shell", "control", "stdin"):
            login.open(target).send(b"request")
            identities.append((await kernel.receive(target))[0])

    assert 1 == len(set(identities))
    assert 8 == len(identities[0])


@pytest.mark.asyncio
async def test_it_subscribes_to_everything(
    kernels: Kernels, buffer: MessageBuffer
) -> None:
    """Whoever else listens or not."""
    kernel = kernels.start()

    await buffer.connect(kernel.address)

    assert [b"\x01"] == await kernel.receive("iopub")


@pytest.mark.asyncio
async def test_what_was_said_to_nobody(kernels: Kernels, buffer: MessageBuffer) -> None:
    """The first login end that comes gets it, then what comes."""
    kernel = kernels.start()
    await buffer.connect(kernel.address)
    await kernel.receive("iopub")
    await kernel.publish(b"one", b"two")

    async with session(buffer) as login:
        iopub = login.open("iopub")
        assert {"delivered": 0, "first": 1} == await about(iopub)
        assert numbered(1, b"one", b"two") == await heard(iopub, 2)

        await kernel.publish(b"three")

        assert numbered(3, b"three") == await heard(iopub, 1)


@pytest.mark.asyncio
async def test_the_next_session_gets_what_is_not_forgotten(
    kernels: Kernels, buffer: MessageBuffer
) -> None:
    """From its beginning, and how far the one before was."""
    kernel = kernels.start()
    await buffer.connect(kernel.address)
    await kernel.receive("iopub")
    async with session(buffer) as login:
        iopub = login.open("iopub")
        await about(iopub)
        await kernel.publish(b"one", b"two", b"three")
        await heard(iopub, 3)

    buffer.delivered("iopub", 2, 1)
    buffer.delivered("iopub", 1, 0)  # late
    buffer.delivered("hb", 9, 9)  # of a later version

    async with session(buffer) as login:
        iopub = login.open("iopub")
        assert {"delivered": 2, "first": 2} == await about(iopub)
        assert numbered(2, b"two", b"three") == await heard(iopub, 2)


@pytest.mark.asyncio
async def test_sessions_that_come_and_go_while_it_speaks(
    kernels: Kernels, buffer: MessageBuffer
) -> None:
    """Each one hears all that is kept, in order, nothing lost nor twice."""
    kernel = kernels.start()
    await buffer.connect(kernel.address)
    await kernel.receive("iopub")
    bodies = [b"%d" % n * 1000 for n in range(1, 401)]
    speaking = asyncio.create_task(kernel.publish(*bodies))

    for begin in range(0, 400, 100):
        async with session(buffer) as login:
            iopub = login.open("iopub")
            await about(iopub)
            through = begin + 100

            expected = numbered(begin + 1, *bodies[begin:through])
            assert expected == await heard(iopub, 100)
            buffer.delivered("iopub", through, through)
    await speaking


@pytest.mark.asyncio
async def test_a_new_channel_takes_the_place_of_the_old(
    kernels: Kernels, buffer: MessageBuffer
) -> None:
    """The old one is closed and hears no more."""
    kernel = kernels.start()
    await buffer.connect(kernel.address)
    await kernel.receive("iopub")
    async with session(buffer) as first, session(buffer) as second:
        old = first.open("iopub")
        await about(old)

        new = second.open("iopub")
        await about(new)
        await kernel.publish(b"one")

        assert numbered(1, b"one") == await heard(new, 1)
        await until(lambda: old.channel.is_closed)
        assert [] == old.rest()


@pytest.mark.asyncio
async def test_what_did_not_fit_is_counted(
    kernels: Kernels, buffer: MessageBuffer
) -> None:
    """On the first message after it, though nobody listened at that time."""
    kernel = kernels.start()
    await buffer.connect(kernel.address)
    await kernel.receive("iopub")
    fit = MEMORY // CHUNK - 1

    await kernel.publish(*[bytes(CHUNK)] * fit, b"", bytes(CHUNK), bytes(CHUNK))
    kernel.end()
    await buffer.drained()

    async with session(buffer) as login:
        iopub = login.open("iopub")
        assert {"delivered": 0, "first": 3} == await about(iopub)
        messages = [await whole(iopub) for _ in range(fit + 1)]
        assert [*range(3, fit + 4)] == [message.number for message in messages]
        assert [2] + [0] * fit == [message.lost for message in messages]


@pytest_asyncio.fixture
async def speaker(
    kernels: Kernels, buffer: MessageBuffer, tmp_path: Path
) -> AsyncIterator[Listener]:
    """The iopub of a kernel that can stop in the middle of a message."""
    kernel = kernels.start()
    path = tmp_path / "iopub"
    came: asyncio.Queue[list[bytes]] = asyncio.Queue()

    def take(parts: list[bytes]) -> bool:
        came.put_nowait(parts)
        return True

    made = Listener(True, take)
    made.bind(path)
    await buffer.connect(lambda t: str(path) if t == "iopub" else kernel.address(t))
    await asyncio.wait_for(came.get(), 10)
    yield made
    made.close()


@pytest.mark.asyncio
async def test_a_large_message_crosses_while_it_comes(
    buffer: MessageBuffer, speaker: Listener
) -> None:
    """Who attaches in the middle of it gets it from its beginning."""
    async with session(buffer) as first, session(buffer) as second:
        early = first.open("iopub")
        await about(early)
        sink = speaker.begin([b"topic", b"a"], 3 * PIECE)
        sink.write(b"b" * PIECE)
        begun = await early.receive()
        late = second.open("iopub")
        await about(late)
        sink.write(b"c" * 2 * PIECE)

        body = b"a" + b"b" * PIECE + b"c" * 2 * PIECE
        assert (1, b"topic", 0) == (begun.number, begun.parts[0], begun.offset)
        assert begun.left >= 2 * PIECE
        assert Message(1, [b"topic", body]) == await whole(late)


@pytest.mark.asyncio
async def test_a_kernel_that_dies_in_the_middle_of_a_message(
    buffer: MessageBuffer, speaker: Listener
) -> None:
    """That is told, and the next message is another one."""
    async with session(buffer) as login:
        iopub = login.open("iopub")
        await about(iopub)
        speaker.begin([b"topic", b"a"], 2 * PIECE).write(b"b" * PIECE)
        begun = await iopub.receive()

        speaker.close()
        await buffer.drained()

        assert begun.left
        last = await iopub.receive()
        assert (1, [], 0) == (last.number, last.parts, last.left)


@pytest.mark.asyncio
async def test_the_last_words_of_a_process(
    kernels: Kernels, buffer: MessageBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read to their end; the next process goes on counting."""
    monkeypatch.setattr(module, "LAST_WORDS", 1000.0)
    first = kernels.start()
    await buffer.connect(first.address)
    await first.receive("iopub")
    await first.publish(*[bytes(10_000)] * 200, b"last")
    first.end()

    await asyncio.wait_for(buffer.drained(), 10)
    second = kernels.start()
    await buffer.connect(second.address)
    await second.receive("iopub")
    await second.publish(b"first")

    async with session(buffer) as login:
        iopub = login.open("iopub")
        await about(iopub)
        *_, last, new = await heard(iopub, 202)
        assert [(201, b"last"), (202, b"first")] == [last, new]


@pytest.mark.asyncio
async def test_sockets_that_a_child_holds_open(
    kernels: Kernels, buffer: MessageBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a process is not waited for without end."""
    monkeypatch.setattr(module, "LAST_WORDS", 0.05)
    await buffer.connect(kernels.start().address)

    await asyncio.wait_for(buffer.drained(), 10)


@pytest.mark.asyncio
async def test_no_socket_there(buffer: MessageBuffer, tmp_path: Path) -> None:
    """The kernel is gone already."""
    with pytest.raises(OSError, match="No such file"):
        await buffer.connect(lambda target: str(tmp_path / target))


@pytest.mark.asyncio
async def test_a_socket_that_does_not_answer(
    buffer: MessageBuffer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named."""
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()

        with pytest.raises(OSError, match="the kernel's shell socket does not answer"):
            await buffer.connect(lambda target: str(tmp_path / "silent"))


@pytest.mark.asyncio
async def test_a_socket_that_hangs_up(kernels: Kernels, buffer: MessageBuffer) -> None:
    """It wants a mechanism that we do not speak."""
    kernel = kernels.start()
    sock = kernel.sockets["control"]
    sock.setsockopt(zmq.PLAIN_SERVER, 1)
    port = sock.bind_to_random_port("tcp://127.0.0.1")

    with pytest.raises(OSError, match="the kernel closed the connection"):
        await buffer.connect(
            lambda target: (
                ("127.0.0.1", port) if target == "control" else kernel.address(target)
            )
        )


def test_heartbeats_are_not_kept(buffer: MessageBuffer) -> None:
    """They are about now."""
    assert {*KINDS} == {t for t in (*KINDS, "hb") if t in buffer}


def published(kind: str, content: bytes = b"{}") -> list[bytes]:
    """As on the wire: topic, delimiter, signature, header, parent, metadata, content."""
    header = json.dumps({"msg_type": kind}).encode()
    return [b"topic", b"<IDS|MSG>", b"", header, b"{}", b"{}", content]


BUSY = published("status", b'{"execution_state": "busy"}')
ECHO = published("execute_input", b'{"code": "1"}')
IDLE = published("status", b'{"execution_state": "idle"}')


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("target", "follows"),
    [
        ("iopub", published("stream")),
        ("iopub", IDLE),
        ("iopub", [b"no message of Jupyter's"]),
        ("shell", [b"", b"reply"]),
        ("stdin", [b"", b"prompt"]),
    ],
)
async def test_the_begin_of_an_answer_crosses_with_the_rest(
    kernels: Kernels,
    buffer: MessageBuffer,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    follows: list[bytes],
) -> None:
    """Whatever that is, and on whichever socket; in its order."""
    monkeypatch.setattr(module, "PRELUDE", 1e6)
    kernel = kernels.start()
    await buffer.connect(kernel.address)
    await kernel.receive("iopub")

    async with session(buffer) as login:
        iopub = login.open("iopub")
        await about(iopub)
        if target != "iopub":
            login.open(target).send(b"request")
            follows = [(await kernel.receive(target))[0], *follows]
        for parts in (BUSY, ECHO):
            await kernel.sockets["iopub"].send_multipart(parts)
        # Of two sockets, nobody knows which is read first.
        await until(lambda: buffer._buffers["iopub"].spool.read(2) is not None)
        assert [] == iopub.rest()
        await kernel.sockets[target].send_multipart(follows)

        begin = [(await iopub.receive()).parts for _ in range(2)]

    assert [BUSY, ECHO] == begin


@pytest.mark.asyncio
async def test_the_begin_of_a_long_answer(
    kernels: Kernels, buffer: MessageBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for long."""
    kernel = kernels.start()
    await buffer.connect(kernel.address)
    await kernel.receive("iopub")

    async with session(buffer) as login:
        iopub = login.open("iopub")
        await about(iopub)
        await kernel.sockets["iopub"].send_multipart(BUSY)

        assert BUSY == (await iopub.receive()).parts
