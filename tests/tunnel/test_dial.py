"""tunnel.carriers.dial: the ways to a node, each taken once."""

from __future__ import annotations

import asyncio
import socket

import pytest

from remote_kernels.tunnel.carriers.dial import Dialer, Way


@pytest.mark.asyncio
@pytest.mark.parametrize("odd", ["node..cluster", "n" * 64])
async def test_a_name_that_cannot_be_one(odd: str) -> None:
    """It is no way, as one that is not known; the node's other names are tried."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1")
    port = server.sockets[0].getsockname()[1]

    async def way(host: str) -> Way:
        return Way(host, port, socket.AF_UNSPEC, direct=True)

    dialer = Dialer([odd, "127.0.0.1"], way, 5.0)
    line = await dialer.next()

    assert line is not None
    assert line.sock is not None
    line.sock.close()
    assert ("127.0.0.1", [odd]) == (line.host, [*dialer.errors])
    server.close()
    await server.wait_closed()
