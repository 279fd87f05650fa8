"""tunnel.forward and agent.forwarding: ports of a node, over a session of either kind.

Most need no agent's process: both ends are in this loop, joined by a real pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from relay.joined import Joined, joined, until

from remote_kernels.agent import forwarding
from remote_kernels.relay.channel import Channel
from remote_kernels.tunnel import forward as forward_module
from remote_kernels.tunnel.forward import ForwardedPort
from remote_kernels.wire import control
from remote_kernels.wire.channels import WINDOW, ChannelPhase
from remote_kernels.wire.target import Target, Tcp, Unix, target_of
from tunnel.test_tunnel import TIMEOUT, tunnel

pytestmark = pytest.mark.asyncio

LOOPBACK = "127.0.0.1"
PAYLOAD = random.Random(1).randbytes(3_000_000)

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def connect(kernel: str, target: str, channel: Channel) -> None:
    """As the agent does, for any kernel."""
    port, trial = target_of(target)
    assert port is not None
    await forwarding.connect(port, channel, trial=trial)


@asynccontextmanager
async def forwarded(
    session: Joined, target: Target, tmp_path: Path, port: int | None = None
) -> AsyncIterator[ForwardedPort]:
    made = ForwardedPort(session.login, "k", target, tmp_path / "p1")
    await made.open(port)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def serving(client: Client, port: int = 0) -> AsyncIterator[Tcp]:
    """A server on the node."""
    async with _serving(
        client, lambda serve: asyncio.start_server(serve, LOOPBACK, port)
    ) as server:
        yield Tcp(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def serving_at(client: Client, path: Path) -> AsyncIterator[Unix]:
    """One that has a Unix socket there."""
    async with _serving(client, lambda serve: asyncio.start_unix_server(serve, path)):
        yield Unix(str(path))


@asynccontextmanager
async def _serving(
    client: Client, listen: Callable[[Any], Awaitable[asyncio.Server]]
) -> AsyncIterator[asyncio.Server]:
    tasks: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def one() -> None:
            try:
                await client(reader, writer)
            finally:
                writer.close()

        tasks.add(asyncio.ensure_future(one()))

    server = await listen(serve)
    try:
        yield server
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), TIMEOUT)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        return int(sock.getsockname()[1])


# --- bytes ----------------------------------------------------------------------------


async def test_bytes_both_ways(tmp_path: Path) -> None:
    """With half-closes: the end of what we send is seen, and what comes after it."""
    async with (
        serving(echo) as target,
        joined(connect) as session,
        forwarded(session, target, tmp_path) as port,
    ):
        reader, writer = await asyncio.open_unix_connection(port.path)
        writer.write(PAYLOAD)
        writer.write_eof()

        assert PAYLOAD == await read_all(reader)
        await until(lambda: not port.connections)
        writer.close()
        assert not session.login.session._channels


async def test_both_ends_are_done(tmp_path: Path) -> None:
    """Neither end keeps a socket, though the client has not closed its own."""
    ended = asyncio.Event()

    async def says_goodbye(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write_eof()
        await reader.read()
        ended.set()

    async with (
        serving(says_goodbye) as target,
        joined(connect) as session,
        forwarded(session, target, tmp_path) as port,
    ):
        reader, writer = await asyncio.open_unix_connection(port.path)
        assert b"" == await read_all(reader)
        writer.write_eof()
        await asyncio.wait_for(ended.wait(), TIMEOUT)

        await until(lambda: not port.connections)
        await until(lambda: not session.agent.channels)
        writer.close()


@pytest.mark.parametrize("half_closed", [True, False])
async def test_a_server_that_is_not_listened_to(
    tmp_path: Path, half_closed: bool
) -> None:
    """When the client breaks off, the server's connection breaks, too."""
    broken = asyncio.Event()

    async def talks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(bytes(10_000))
                await writer.drain()
        except ConnectionError:
            broken.set()

    async with (
        serving(talks) as target,
        joined(connect) as session,
        forwarded(session, target, tmp_path) as port,
    ):
        reader, writer = await asyncio.open_unix_connection(port.path)
        await asyncio.wait_for(reader.readexactly(100_000), TIMEOUT)
        if half_closed:
            writer.write_eof()
            (channel,) = session.login.session._channels.values()
            await until(lambda: channel.state is ChannelPhase.FINISHED)
        writer.transport.abort()

        await asyncio.wait_for(broken.wait(), TIMEOUT)
        assert not port.connections


@pytest.mark.parametrize("size", [1000, WINDOW + forward_module.QUEUE_BYTES // 2])
async def test_what_was_sent_before_breaking_off(tmp_path: Path, size: int) -> None:
    """It arrives all the same, though nobody listened yet; most is still on its way."""
    payload = random.Random(2).randbytes(size)
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    go, broken = asyncio.Event(), asyncio.Event()

    async def late(kernel: str, target: str, channel: Channel) -> None:
        await go.wait()
        await connect(kernel, target, channel)

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read(-1))
        with contextlib.suppress(ConnectionError):
            while True:  # nobody hears that, so it must not go on
                writer.write(b"x")
                await writer.drain()
        broken.set()

    async with (
        serving(slow) as target,
        joined(late) as session,
        forwarded(session, target, tmp_path, 0) as port,
    ):
        _, writer = await asyncio.open_connection(LOOPBACK, port.port)
        reset_at_close = struct.pack("ii", 1, 0)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_close)
        writer.write(payload)
        await until(lambda: bool(session.login.session._channels))
        (channel,) = session.login.session._channels.values()
        await until(lambda: size == WINDOW - channel._credit + channel.queued)
        writer.transport.abort()
        await until(lambda: not port.connections)
        go.set()

        assert payload == await asyncio.wait_for(got, TIMEOUT)
        await asyncio.wait_for(broken.wait(), TIMEOUT)
        assert 2 == session.agent.session._next_channel


async def test_a_server_that_does_not_read(tmp_path: Path) -> None:
    """The client is held back; little of what it says is kept."""
    most = forward_module.QUEUE_BYTES + 16 * 1024 * 1024
    async with (
        serving(nothing) as target,
        joined(connect) as session,
        forwarded(session, target, tmp_path) as port,
    ):
        _, writer = await asyncio.open_unix_connection(port.path)
        writer.write(bytes(4 * most))
        await until(lambda: bool(session.login.session._waiting))
        for _ in range(1000):
            await asyncio.sleep(0)

        assert writer.transport.get_write_buffer_size() > 4 * most - most
        writer.transport.abort()


async def test_a_carrier_that_is_killed(tmp_path: Path) -> None:
    """With a real agent, three times: nothing is lost, the connection stays."""
    async with serving(echo) as target, tunnel(tmp_path) as (made, carrier, _):
        port = made.forward("k1", target, tmp_path / "p1")
        await port.open(None)
        reader, writer = await asyncio.open_unix_connection(port.path)
        writer.write(PAYLOAD)
        echoed = b""
        for _ in range(3):
            echoed += await asyncio.wait_for(reader.readexactly(100_000), TIMEOUT)
            os.kill(carrier.pids[-1], signal.SIGKILL)
            await asyncio.wait_for(made.lost(), TIMEOUT)
            await asyncio.wait_for(made.resumed(), TIMEOUT)
        writer.write_eof()
        echoed += await read_all(reader)
        writer.close()
        await port.close()

    assert PAYLOAD == echoed


async def test_a_kernel_that_is_dead(tmp_path: Path) -> None:
    """Its node's ports are reached all the same, as while it is restarted."""
    async with serving(echo) as target, tunnel(tmp_path) as (made, _, _):
        made.send(control.Signal("k1", signal.SIGKILL))
        port = made.forward("k1", target, tmp_path / "p1")
        await port.open(None)
        assert await port.try_out(TIMEOUT)
        stranger = made.forward("k2", target, tmp_path / "p2")
        assert not await stranger.try_out(TIMEOUT)
        await port.close()

    assert "kernel k2 is not running" == stranger.trouble


async def test_a_connection_that_is_too_late(tmp_path: Path) -> None:
    """Nobody waits for it any more: it is closed, and opens no channel of its own."""
    go = asyncio.Event()

    async def late(kernel: str, target: str, channel: Channel) -> None:
        await go.wait()
        await connect(kernel, target, channel)

    ended = asyncio.Event()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()

    async with serving(watch) as target, joined(late) as session:
        async with forwarded(session, target, tmp_path) as port:
            _, writer = await asyncio.open_unix_connection(port.path)
            await until(lambda: bool(session.agent.channels))
        await until(lambda: not session.agent.channels)
        go.set()
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(ended.wait(), TIMEOUT)
        assert 2 == session.agent.session._next_channel
        writer.close()


# --- at this end ----------------------------------------------------------------------


async def test_a_loopback_port(tmp_path: Path) -> None:
    """At this host alone, beside the private socket."""
    async with (
        serving(echo) as target,
        joined(connect) as session,
        forwarded(session, target, tmp_path, 0) as port,
    ):
        assert port.port is not None
        reader, writer = await asyncio.open_connection(LOOPBACK, port.port)
        writer.write(b"abc")
        writer.write_eof()
        assert b"abc" == await read_all(reader)
        writer.close()
        assert 0o600 == port.path.stat().st_mode & 0o777
        taken = ForwardedPort(session.login, "k", target, tmp_path / "p2")
        with pytest.raises(OSError, match="address already in use"):
            await taken.open(port.port)
        assert not taken.path.exists()


async def test_a_port_that_is_closed(tmp_path: Path) -> None:
    """So are its connections, at both ends; nothing is left."""
    async with serving(echo) as target, joined(connect) as session:
        async with forwarded(session, target, tmp_path) as port:
            reader, writer = await asyncio.open_unix_connection(port.path)
            writer.write(b"abc")
            await asyncio.wait_for(reader.readexactly(3), TIMEOUT)
        assert b"" == await read_all(reader)
        writer.close()
        await until(lambda: not session.agent.channels)
        assert not port.path.exists()
        assert not port.connections


async def test_too_many_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is closed at once; those that are there go on."""
    monkeypatch.setattr(forward_module, "MOST", 1)
    async with (
        serving(echo) as target,
        joined(connect) as session,
        forwarded(session, target, tmp_path) as port,
    ):
        reader, writer = await asyncio.open_unix_connection(port.path)
        await until(lambda: bool(port.connections))
        refused, other = await asyncio.open_unix_connection(port.path)
        assert b"" == await read_all(refused)
        other.close()
        writer.write(b"abc")
        assert b"abc" == await asyncio.wait_for(reader.readexactly(3), TIMEOUT)
        writer.close()


async def test_an_agent_that_does_not_say(tmp_path: Path) -> None:
    """Nobody knows, and nobody waits for long."""

    async def silent(kernel: str, target: str, channel: Channel) -> None:
        await asyncio.Event().wait()

    async with (
        joined(silent) as session,
        forwarded(session, Tcp(1), tmp_path) as port,
    ):
        assert await port.try_out(0.05) is None
