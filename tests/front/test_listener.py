"""front.listener: what libzmq's clients take for a ROUTER or an XPUB of libzmq's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
import zmq
import zmq.asyncio

from remote_kernels.front import acceptor, client_connection
from remote_kernels.front.listener import Listener

SECONDS = 10.0
SIZES = [0, 1, 255, 256, 65_536, 30_000_000]
Connect = Callable[..., zmq.asyncio.Socket]
pytestmark = pytest.mark.asyncio


class House:
    """A listener, and what was said to it."""

    def __init__(self, path: Path, publishes: bool) -> None:
        self.path = path
        self.came: asyncio.Queue[list[bytes]] = asyncio.Queue()
        self.most = 1 << 30  # that it takes
        self.listener = Listener(path, publishes, self._take)
        self.listener.bind()

    def _take(self, parts: list[bytes]) -> bool:
        self.came.put_nowait(parts)
        return self.came.qsize() < self.most

    async def receive(self) -> list[bytes]:
        return await asyncio.wait_for(self.came.get(), SECONDS)


@asynccontextmanager
async def house(publishes: bool) -> AsyncIterator[House]:
    with tempfile.TemporaryDirectory() as directory:
        made = House(Path(directory, "s"), publishes)
        yield made
        made.listener.close()
        await asyncio.sleep(0)  # asyncio closes the sockets in its next turn


@pytest_asyncio.fixture
async def router() -> AsyncIterator[House]:
    async with house(publishes=False) as made:
        yield made


@pytest_asyncio.fixture
async def publisher() -> AsyncIterator[House]:
    async with house(publishes=True) as made:
        yield made


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes clients."""
    context = zmq.asyncio.Context()
    all_made: list[zmq.asyncio.Socket] = []

    def connect(house: House, kind: int, identity: bytes = b"") -> zmq.asyncio.Socket:
        made = context.socket(kind)
        all_made.append(made)
        made.setsockopt(zmq.RCVTIMEO, int(SECONDS * 1000))
        if identity:
            made.setsockopt(zmq.IDENTITY, identity)
        if kind == zmq.SUB:
            made.subscribe(b"")
        made.connect(f"ipc://{house.path}")
        return made

    yield connect
    for sock in all_made:
        sock.close(linger=0)
    context.term()


@pytest.mark.parametrize("size", SIZES)
async def test_both_ways(router: House, connect: Connect, size: int) -> None:
    """Of any size, to whom it is for."""
    one, two = connect(router, zmq.DEALER, b"one"), connect(router, zmq.DEALER, b"two")
    body = b"x" * size

    await one.send_multipart([body, b"last"])
    assert [b"one", body, b"last"] == await router.receive()
    await two.send_multipart([b"hello"])
    assert [b"two", b"hello"] == await router.receive()

    router.listener.send([b"one", b"first", body])
    assert [b"first", body] == await one.recv_multipart()
    assert not await two.poll(0)


async def test_a_heartbeat(router: House, connect: Connect) -> None:
    """REQ sockets, of which some have no identity."""
    hearts = [connect(router, zmq.REQ) for _ in range(2)]
    for number, heart in enumerate(hearts):
        await heart.send(b"%d" % number)
        router.listener.send(await router.receive())

    assert [b"0", b"1"] == [await heart.recv() for heart in hearts]


async def test_one_that_has_come_back(router: House, connect: Connect) -> None:
    """What is for its identity is for its new connection."""
    old = connect(router, zmq.DEALER, b"one")
    await old.send(b"old")
    await router.receive()
    new = connect(router, zmq.DEALER, b"one")
    await new.send(b"new")
    await router.receive()

    old.close(linger=0)
    router.listener.send([b"one", b"reply"])

    assert b"reply" == await new.recv()


async def test_one_that_is_gone(router: House, connect: Connect) -> None:
    """It is no error."""
    client = connect(router, zmq.DEALER, b"one")
    await client.send(b"")
    await router.receive()
    client.close(linger=0)

    router.listener.send([b"one", b"reply"])
    router.listener.send([b"nobody", b"reply"])

    other = connect(router, zmq.DEALER, b"other")
    await other.send(b"hello")
    assert [b"other", b"hello"] == await router.receive()


async def test_too_much_is_not_taken(router: House, connect: Connect) -> None:
    """Then it comes in order, of those who have come meanwhile, too."""
    router.listener.pause()
    client = connect(router, zmq.DEALER, b"one")
    for number in range(100):  # before it is connected: they come at once
        await client.send(b"%d" % number)
    while not router.listener._waiting:
        await asyncio.sleep(0)
    late = connect(router, zmq.DEALER, b"late")
    while len(router.listener._by_identity) < 2:
        await asyncio.sleep(0)
    await late.send(b"late")
    assert router.came.empty()

    router.listener.resume()

    came = [await router.receive() for _ in range(101)]
    numbers = [int(body) for sender, body in came if sender == b"one"]
    assert [*range(100)] == numbers


async def test_whoever_takes_says_when_it_is_enough(
    router: House, connect: Connect
) -> None:
    """What comes after that waits, until there is room again."""
    router.most = 2
    client = connect(router, zmq.DEALER, b"one")
    for number in range(5):
        await client.send(b"%d" % number)
    while not router.listener._waiting:
        await asyncio.sleep(0)
    assert 2 == router.came.qsize()

    router.most = 9
    router.listener.resume()

    came = [await router.receive() for _ in range(5)]
    assert [[b"one", b"%d" % number] for number in range(5)] == came


async def test_subscriptions(publisher: House, connect: Connect) -> None:
    """Each is told, that of a second client of the same identity, too."""
    first, second = (connect(publisher, zmq.SUB, b"one") for _ in range(2))
    assert [[b"\1"], [b"\1"]] == [await publisher.receive() for _ in range(2)]

    publisher.listener.send([b"topic", b"body"])

    for client in (first, second):
        assert [b"topic", b"body"] == await client.recv_multipart()


async def test_topics(publisher: House, connect: Connect) -> None:
    """By their beginning; no longer after the end of a subscription."""
    client = connect(publisher, zmq.XSUB)
    for message in (b"\1sta", b"\1str", b"\1end", b"\0sta", b"\0none", b"\1end2"):
        await client.send(message)
    told = [(await publisher.receive())[0] for _ in range(4)]

    for topic in (b"status", b"stream", b"error", b"end"):
        publisher.listener.send([topic])

    assert [b"\1sta", b"\1str", b"\1end", b"\1end2"] == told
    assert [b"stream", b"end"] == [await client.recv() for _ in range(2)]


async def test_who_has_not_yet_subscribed(publisher: House, connect: Connect) -> None:
    """It counts from its connection, of which we have not yet heard."""
    assert not publisher.listener.awaits_subscriptions()
    late = connect(publisher, zmq.XSUB)
    while not publisher.listener.awaits_subscriptions():
        await asyncio.sleep(0)
    early = connect(publisher, zmq.SUB)
    await publisher.receive()
    assert publisher.listener.awaits_subscriptions()

    await late.send(b"\1")
    await publisher.receive()

    assert not publisher.listener.awaits_subscriptions()
    early.close()


async def test_a_connection_not_yet_accepted(publisher: House) -> None:
    """It is known of at once."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(publisher.path))

        assert publisher.listener.awaits_subscriptions()


async def test_a_client_that_does_not_read(
    publisher: House, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loses what comes; the others do not."""
    monkeypatch.setattr(client_connection, "CLIENT_BYTES", 1_000_000)
    stuck = socket.socket(socket.AF_UNIX)
    stuck.connect(str(publisher.path))
    ready = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB"
    stuck.sendall(
        b"\xff" + bytes(8) + b"\x7f\x03\0" + b"NULL".ljust(20, b"\0") + bytes(32)
    )
    stuck.sendall(ready + b"\0\1\1")
    await publisher.receive()
    reader = connect(publisher, zmq.SUB)
    await publisher.receive()

    for number in range(100):
        publisher.listener.send([b"%d" % number, b"x" * 100_000])
        assert b"%d" % number == (await reader.recv_multipart())[0]

    queued = [
        client.transport.get_write_buffer_size()
        for client in publisher.listener._clients
        if client.transport is not None
    ]
    assert max(queued) <= 1_000_000 + 100_020
    stuck.close()


async def test_a_large_message(publisher: House, connect: Connect) -> None:
    """It comes whole to who had subscribed; what is published meanwhile comes behind."""
    early = connect(publisher, zmq.SUB)
    await publisher.receive()

    sink = publisher.listener.begin([b"topic", b"a"], 2_000_000)
    late = connect(publisher, zmq.SUB)
    await publisher.receive()
    publisher.listener.send([b"topic", b"next"])
    sink.write(b"b" * 1_500_000)
    assert not await early.poll(50)
    sink.write(b"c" * 500_000)

    whole = b"a" + b"b" * 1_500_000 + b"c" * 500_000
    assert [b"topic", whole] == await early.recv_multipart()
    for client in (early, late):
        assert [b"topic", b"next"] == await client.recv_multipart()


async def test_a_large_message_that_is_cut(publisher: House, connect: Connect) -> None:
    """Nobody gets a part of it; who had begun to connects anew."""
    client = connect(publisher, zmq.SUB)
    await publisher.receive()

    before = [[b"topic", letter * 2_000_000] for letter in (b"b", b"c", b"d")]
    for parts in before:  # more than the socket takes at once
        publisher.listener.send(parts)
    publisher.listener.begin([b"topic", b"a"], 2_000_000).abort()
    received = [await client.recv_multipart() for _ in before]
    await publisher.receive()  # it has subscribed again
    publisher.listener.send([b"topic", b"next"])

    assert before == received
    assert [b"topic", b"next"] == await client.recv_multipart()


async def test_its_file_was_removed(router: House, connect: Connect) -> None:
    """It is bound anew; who is connected stays so."""
    before = connect(router, zmq.DEALER, b"before")
    await before.send(b"")
    await router.receive()
    router.path.unlink()

    router.listener.bind()

    after = connect(router, zmq.DEALER, b"after")
    for client, name in ((before, b"before"), (after, b"after")):
        await client.send(b"hello")
        assert [name, b"hello"] == await router.receive()


async def test_a_place_that_is_gone(publisher: House, connect: Connect) -> None:
    """Who is connected is served; new ones come once it can be bound again."""
    sub = connect(publisher, zmq.SUB)
    await publisher.receive()
    there = publisher.path
    publisher.listener.move(there.parent / "gone" / "s")
    with pytest.raises(FileNotFoundError):
        publisher.listener.bind()

    assert not publisher.listener.awaits_subscriptions()
    publisher.listener.send([b"t", b"1"])

    assert [b"t", b"1"] == await asyncio.wait_for(sub.recv_multipart(), SECONDS)
    publisher.listener.move(there)


async def test_what_is_no_zmtp(router: House, connect: Connect) -> None:
    """It is hung up on, and nobody else is disturbed."""
    reader, writer = await asyncio.open_unix_connection(str(router.path))
    writer.write(b"GET / HTTP/1.1\r\n" + b"\r\n" * 40)

    greeting = await asyncio.wait_for(reader.read(1000), SECONDS)
    assert b"" == await asyncio.wait_for(reader.read(), SECONDS)
    writer.close()

    assert greeting.startswith(b"\xff")
    client = connect(router, zmq.DEALER, b"one")
    await client.send(b"hello")
    assert [b"one", b"hello"] == await router.receive()


@pytest.mark.parametrize("turns", range(4))
async def test_a_connection_that_comes_at_the_end(router: House, turns: int) -> None:
    """It is closed, whatever had become of it."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(router.path))
        for _ in range(turns):
            await asyncio.sleep(0)

        router.listener.close()

        client.settimeout(SECONDS)
        with contextlib.suppress(ConnectionResetError):
            while await asyncio.to_thread(client.recv, 100):
                pass
    gc.collect()  # an unclosed one would complain


async def test_nothing_is_left(router: House) -> None:
    """Of its file."""
    router.listener.close()

    assert not router.path.exists()


async def test_no_descriptor_for_a_client(
    router: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits until there is one; the listener says so, and asks only now and then."""
    monkeypatch.setattr(acceptor, "PAUSE", 0.2)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as client, caplog.at_level(logging.WARNING):
        client.setblocking(False)
        _, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        await asyncio.sleep(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
        try:
            await loop.sock_connect(client, str(router.path))
            greeting = asyncio.create_task(loop.sock_recv(client, 10))
            await asyncio.wait([greeting], timeout=0.5)
            assert not greeting.done()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert await asyncio.wait_for(greeting, SECONDS)

    assert 1 <= len(caplog.records) <= 4
    assert all("Too many open files" in r.getMessage() for r in caplog.records)
