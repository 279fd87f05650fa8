"""front.acceptor: where clients find a socket, and when they do not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import socket

import pytest
import zmq
import zmq.asyncio

from front.house import SECONDS, Connect, House
from remote_kernels.front import acceptor

pytestmark = pytest.mark.asyncio


async def test_a_connection_not_yet_accepted(publisher: House) -> None:
    """It is known of at once."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(publisher.path))

        assert publisher.listener.awaits_subscriptions()


async def test_its_file_was_removed(router: House, connect: Connect) -> None:
    """It is bound anew; who is connected stays so."""
    before = connect(router, zmq.DEALER, b"before")
    await before.send(b"")
    await router.receive()
    router.path.unlink()

    router.listener.bind(router.path)

    after = connect(router, zmq.DEALER, b"after")
    for client, name in ((before, b"before"), (after, b"after")):
        await client.send(b"hello")
        assert [name, b"hello"] == await router.receive()


async def test_a_place_that_is_gone(publisher: House, connect: Connect) -> None:
    """Who is connected is served; new ones come once it can be bound again."""
    sub = connect(publisher, zmq.SUB)
    await publisher.receive()
    there = publisher.path
    with pytest.raises(FileNotFoundError):
        publisher.listener.bind(there.parent / "gone" / "s")

    assert not publisher.listener.awaits_subscriptions()
    publisher.listener.send([b"t", b"1"])

    assert [b"t", b"1"] == await asyncio.wait_for(sub.recv_multipart(), SECONDS)
    publisher.listener.bind(there)


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
