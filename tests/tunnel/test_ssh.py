"""tunnel.carriers.ssh: an sshd that hangs up or lets nobody in, and nodes that do not answer."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio

from remote_kernels.tunnel.carriers import ssh, ssh_login
from remote_kernels.tunnel.carriers.base import CarrierError
from remote_kernels.tunnel.carriers.destination import Destination
from remote_kernels.tunnel.carriers.ssh import SshCarrier
from remote_kernels.tunnel.carriers.ssh_login import LOGINS

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
    monkeypatch.setattr(ssh_login, "FIRST_RETRY", 0.01)
    key = asyncssh.generate_private_key("ssh-ed25519")
    sshd = await asyncssh.listen(HERE, 0, server_host_keys=[key])
    servers: list[asyncio.Server] = []

    async def connect(count: int) -> tuple[str, int]:
        drops = Drops(sshd.get_port(), count)
        server = await asyncio.start_server(drops.take, HERE, 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        host_key = key.export_public_key().decode()
        there = Destination((HERE, "localhost"), (host_key,), "/nowhere", ("false",))
        with pytest.raises(CarrierError) as caught:
            await SshCarrier(there, port).connect(asyncio.Protocol)
        return str(caught.value), drops.came

    yield lambda count: asyncio.ensure_future(connect(count))
    for server in servers:
        server.close()
    sshd.close()
    await sshd.wait_closed()


async def test_it_hangs_up_at_times(refused: Connect) -> None:
    """It is tried again; a clear no is not, nor the same address by another name."""
    why, came = await refused(3)

    assert "sshd let nobody in without a prompt" in why
    assert 4 == came


async def test_it_hangs_up_always(refused: Connect) -> None:
    """In the end it is told."""
    why, came = await refused(1000)

    assert f"{HERE}: " in why
    assert LOGINS == came


class Sshd(asyncssh.SSHServer):
    """Lets nobody in, or everybody; each connection has one."""

    made: list[asyncssh.SSHServerConnection]

    def __init__(self, made: list[asyncssh.SSHServerConnection], is_open: bool) -> None:
        self.made = made
        self._is_open = is_open

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.made.append(conn)

    def begin_auth(self, username: str) -> bool:
        return not self._is_open


@asynccontextmanager
async def listening(is_open: bool) -> AsyncIterator[tuple[int, str]]:
    """Its port, and its host key."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    made: list[asyncssh.SSHServerConnection] = []
    sshd = await asyncssh.listen(
        HERE,
        0,
        server_host_keys=[key],
        server_factory=lambda: Sshd(made, is_open),
        process_factory=_run,
        encoding=None,
    )
    try:
        yield sshd.get_port(), key.export_public_key().decode()
    finally:
        for connection in made:
            connection.abort()
            await connection.wait_closed()
        sshd.close()
        await sshd.wait_closed()


async def _run(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """A command of the client's."""
    command = str(process.command)
    if command.startswith("cat "):  # the idle session, which is closed
        await process.stdin.read()
        process.exit(0)
        return
    # In a thread: asyncio's own transport may outlive the loop.
    ran = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    process.stderr.write(ran.stderr)
    process.exit(ran.returncode)


class Ends(asyncio.Protocol):
    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


@contextmanager
def unanswered(address: str, port: int) -> Iterator[None]:
    """Who connects there gets no answer: a full queue drops them (listen(2))."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield


async def test_addresses_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for them: the one that answers is reached beside them."""
    monkeypatch.setattr(ssh, "CONNECT_TIMEOUT", 3.0)
    deaf = [f"127.0.0.{number}" for number in range(2, 7)]
    begun = asyncio.get_running_loop().time()
    with ExitStack() as stack:
        async with listening(is_open=True) as (port, host_key):
            for address in deaf:
                stack.enter_context(unanswered(address, port))
            there = Destination((*deaf, HERE), (host_key,), "/nowhere", ("true",))
            carrier = SshCarrier(there, port)
            pipe, _ = await asyncio.wait_for(carrier.connect(Ends), 30)
            took = asyncio.get_running_loop().time() - begun
            assert carrier.answers
            await pipe.close()

    assert 2 * 3 > took  # not 3 s for each


async def test_a_node_where_the_agent_is_not_seen(tmp_path: Path) -> None:
    """What its Python says of that is passed on, with what it means."""
    argv = (sys.executable, "-I", "-S", str(tmp_path / "agent.pyz"), "connect", "x")
    async with listening(is_open=True) as (port, host_key):
        there = Destination((HERE,), (host_key,), "/nowhere", argv)
        pipe, protocol = await SshCarrier(there, port).connect(Ends)
        await asyncio.wait_for(protocol.ended.wait(), 30)
        said = await pipe.close()

    assert "can't open file" in said
    assert "a /tmp of its own" in said
    assert "--node-dir" in said
