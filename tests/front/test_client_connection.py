"""front.client_connection: clients that do not read, and what is no client."""

from __future__ import annotations

import asyncio
import socket

import pytest
import zmq
import zmq.asyncio

from front.house import SECONDS, Connect, House
from remote_kernels.front import client_connection

pytestmark = pytest.mark.asyncio


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
