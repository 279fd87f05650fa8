"""tunnel.carriers.shared_ssh: one connection to a node for all kernels there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import pytest_asyncio

from remote_kernels.tunnel.carriers import ssh_transport
from remote_kernels.tunnel.carriers.base import CarrierError, Pipe
from remote_kernels.tunnel.carriers.destination import Destination
from remote_kernels.tunnel.carriers.shared_ssh import SharedSshCarrier, SshPool
from remote_kernels.tunnel.carriers.ssh import SshCarrier

pytestmark = pytest.mark.asyncio
HERE = "127.0.0.1"
SECONDS = 10.0


async def until(is_so: Callable[[], bool]) -> None:
    async def poll() -> None:
        while not is_so():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(poll(), SECONDS)


class Echo(asyncio.Protocol):
    """A kernel's end: what came back of what it sent."""

    def __init__(self) -> None:
        self.heard = asyncio.Queue[bytes]()
        self.lost = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    async def works(self) -> None:
        self.transport.write(b"hello")
        assert b"hello" == await asyncio.wait_for(self.heard.get(), SECONDS)


class Sshd:
    """Lets everybody in, and forwards to the agent, which echoes."""

    def __init__(self, directory: Path) -> None:
        self.agent = str(directory / "agent")
        self.connections: list[asyncssh.SSHServerConnection] = []
        self.streams: set[asyncio.StreamWriter] = set()
        self.open = asyncio.Event()  # whether it answers those who want to the agent
        self.open.set()
        self.asked = 0
        self.pool = SshPool()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Sshd]:
        key = asyncssh.generate_private_key("ssh-ed25519")
        self.host_key = key.export_public_key().decode()
        agent = await asyncio.start_unix_server(self._echo, self.agent)
        self._listener = await asyncssh.listen(
            HERE,
            0,
            server_host_keys=[key],
            server_factory=lambda: _Server(self),
            process_factory=_cat,
            encoding=None,
        )
        yield self
        self.open.set()
        for connection in self.connections:
            connection.abort()
        self._listener.close()
        await self._listener.wait_closed()
        agent.close()

    async def _echo(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.streams.add(writer)
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
        self.streams.discard(writer)

    def carrier(self, job: str = "1") -> SharedSshCarrier | SshCarrier:
        there = Destination((HERE,), (self.host_key,), self.agent, ("false",))
        return self.pool.carrier(there, self._listener.get_port(), sharers=job)

    async def stop_listening(self) -> None:
        self._listener.close()


class _Server(asyncssh.SSHServer):
    def __init__(self, world: Sshd) -> None:
        self._world = world

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn
        self._world.connections.append(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._world.connections.remove(self._conn)

    def begin_auth(self, username: str) -> bool:
        return False

    async def unix_connection_requested(self, dest_path: str) -> Any:
        self._world.asked += 1
        await self._world.open.wait()
        return await self._conn.forward_unix_connection(dest_path)


async def _cat(process: asyncssh.SSHServerProcess[bytes]) -> None:
    await process.stdin.read()
    process.exit(0)


@pytest_asyncio.fixture
async def sshd(tmp_path: Path) -> AsyncIterator[Sshd]:
    async with Sshd(tmp_path).running() as found:
        yield found
    assert not any(node.pipe for node in found.pool._nodes.values())


async def connect(sshd: Sshd) -> tuple[Pipe, Echo]:
    return await asyncio.wait_for(sshd.carrier().connect(Echo), SECONDS)


async def test_kernels_that_start_at_once(sshd: Sshd) -> None:
    """They share a connection; it goes with the last of them."""
    both = await asyncio.gather(*(connect(sshd) for _ in range(3)))
    assert 1 == len(sshd.connections)
    for _, echo in both:
        await echo.works()

    for pipe, echo in both[:2]:
        echo.transport.close()
        await pipe.close()
    await both[2][1].works()
    await both[2][0].close()
    await until(lambda: not sshd.connections)


async def test_another_job(sshd: Sshd) -> None:
    """It has one of its own, which pam_slurm_adopt gives to that job."""
    first, _ = await connect(sshd)
    second, _ = await sshd.carrier(job="2").connect(Echo)

    assert 2 == len(sshd.connections)
    await first.close()
    await second.close()


async def test_a_kernel_that_has_its_job_alone(sshd: Sshd) -> None:
    """Nobody shares its connection."""
    first, _ = await sshd.carrier(job="").connect(Echo)
    second, _ = await sshd.carrier(job="").connect(Echo)

    assert 2 == len(sshd.connections)
    await first.close()
    await second.close()


async def test_a_dead_one(sshd: Sshd) -> None:
    """Who comes next makes another; who had the dead one leaves the new one alone."""
    old, echo = await connect(sshd)
    sshd.connections[0].abort()
    await echo.lost.wait()

    first, echo = await connect(sshd)
    await old.close()
    second, _ = await connect(sshd)
    assert 1 == len(sshd.connections)
    await first.close()
    await second.close()


async def test_one_that_fell_silent(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for; who can still use it does."""
    monkeypatch.setattr(ssh_transport, "JOIN_TIMEOUT", 0.1)
    old, echo = await connect(sshd)
    sshd.open.clear()
    coming = asyncio.ensure_future(connect(sshd))
    await until(lambda: len(sshd.connections) == 2)
    sshd.open.set()
    new, other = await coming

    await echo.works()
    await other.works()
    await old.close()
    await other.works()
    await new.close()


async def test_no_new_one_is_to_be_had(sshd: Sshd) -> None:
    """That is said, and what was dead is not kept."""
    old, echo = await connect(sshd)
    await sshd.stop_listening()
    sshd.connections[0].abort()
    await echo.lost.wait()

    with pytest.raises(CarrierError):
        await connect(sshd)
    await old.close()


async def test_a_start_that_is_cancelled(sshd: Sshd) -> None:
    """The others notice nothing, and nothing of it stays at the agent."""
    old, echo = await connect(sshd)
    sshd.open.clear()
    coming = asyncio.ensure_future(connect(sshd))
    await until(lambda: sshd.asked == 2)
    coming.cancel()
    await asyncio.wait((coming,))
    sshd.open.set()

    await echo.works()
    new, other = await connect(sshd)
    await other.works()
    assert 1 == len(sshd.connections)
    await until(lambda: len(sshd.streams) == 2)
    await new.close()
    await old.close()


async def test_a_kernel_that_lets_go(sshd: Sshd) -> None:
    """Of its session, while others keep the connection: the agent sees it go."""
    old, _ = await connect(sshd)
    new, _ = await connect(sshd)
    await until(lambda: len(sshd.streams) == 2)
    await new.close()
    await until(lambda: len(sshd.streams) == 1)
    await old.close()
