"""front.listener: what libzmq's clients take for a ROUTER or an XPUB of libzmq's."""

from __future__ import annotations

import asyncio

import pytest
import zmq
import zmq.asyncio

from front.house import Connect, House, until

SIZES = [0, 1, 255, 256, 65_536, 30_000_000]


pytestmark = pytest.mark.asyncio


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
    await until(lambda: router.listener._waiting)
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
