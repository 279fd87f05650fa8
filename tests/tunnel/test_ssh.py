"""tunnel.carriers.ssh: an sshd that hangs up on who comes at once with many others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncssh
import pytest
import pytest_asyncio

from remote_kernels.tunnel.carriers import ssh
from remote_kernels.tunnel.carriers.base import CarrierError
from remote_kernels.tunnel.carriers.ssh import LOGINS, Destination, SshCarrier

pytestmark = pytest.mark.asyncio
HERE = "127.0.0.1"


class Drops:
    """Takes connections to an sshd that lets nobody in, and drops the first ones."""

    def __init__(self, sshd_port: int, count: int) -> None:
        self._sshd_port = sshd_port
        self._count = count
        self.came = 0

    async def take(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.came += 1
        if self.came > self._count:
            up, down = await asyncio.open_connection(HERE, self._sshd_port)
            await asyncio.gather(pass_on(reader, down), pass_on(up, writer))
        writer.close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


Connect = Callable[[int], "asyncio.Future[tuple[str, int]]"]


@pytest_asyncio.fixture
async def refused(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connect]:
    """Why nothing was reached when so many were dropped, and how many came."""
    monkeypatch.setattr(ssh, "FIRST_RETRY", 0.01)
    key = asyncssh.generate_private_key("ssh-ed25519")
    sshd = await asyncssh.listen(HERE, 0, server_host_keys=[key])
    servers: list[asyncio.Server] = []

    async def connect(count: int) -> tuple[str, int]:
        drops = Drops(sshd.get_port(), count)
        server = await asyncio.start_server(drops.take, HERE, 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        host_key = key.export_public_key().decode()
        there = Destination(
            (HERE, "localhost"), (host_key,), "/nowhere", ("false",), "1"
        )
        with pytest.raises(CarrierError) as caught:
            await SshCarrier(there, port).connect(asyncio.Protocol)
        return str(caught.value), drops.came

    yield lambda count: asyncio.ensure_future(connect(count))
    for server in servers:
        server.close()
    sshd.close()
    await sshd.wait_closed()


async def test_it_hangs_up_at_times(refused: Connect) -> None:
    """It is tried again; a clear no is not."""
    why, came = await refused(3)

    assert "sshd let nobody in without a prompt" in why
    assert 4 + 1 == came  # by its other name, too


async def test_it_hangs_up_always(refused: Connect) -> None:
    """In the end it is told."""
    why, came = await refused(1000)

    assert f"{HERE}: " in why
    assert LOGINS == came
