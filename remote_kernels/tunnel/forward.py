"""One forwarded port: local sockets, each connection a channel to a target on the node.

The session carries the channels, so connections survive cuts and changes of carrier.
Made by tunnel.py, kept by kernel/ports.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from remote_kernels import harmless
from remote_kernels.bounded import within
from remote_kernels.relay.mux import Mux
from remote_kernels.relay.socket_channel import SocketChannel
from remote_kernels.wire.target import TRIAL, Target, encode

log = harmless.logger(__name__)

MOST = 128  # connections to one forwarded port at a time
QUEUE_BYTES = 1024 * 1024  # from one connection, before it is read no further
LOOPBACK = "127.0.0.1"


class ForwardedPort:
    """Local ends of one target.

    Parameters
    ----------
    mux : Mux
        The session's.
    kernel, target
        What connections are carried to.
    path : Path
        Of a Unix socket, in a private directory.

    `trouble` is why the last connection was not made, "" if it was.
    """

    def __init__(self, mux: Mux, kernel: str, target: Target, path: Path) -> None:
        self._mux = mux
        self.kernel = kernel
        self.target = target
        self.path = path
        self.port: int | None = None  # on loopback, if one is wanted
        self.trouble = ""
        self.connections: set[_ForwardedConnection] = set()
        self._servers: list[asyncio.Server] = []

    def __repr__(self) -> str:
        return f"<ForwardedPort of {self.target}: {len(self.connections)} connections>"

    async def open(self, local_port: int | None) -> None:
        """Listen, also at a loopback port (0: any that is free). Raises OSError."""
        loop = asyncio.get_running_loop()
        if local_port is not None:
            server = await loop.create_server(self._connection, LOOPBACK, local_port)
            self._servers.append(server)
            self.port = int(server.sockets[0].getsockname()[1])
        try:
            server = await loop.create_unix_server(self._connection, self.path)
        except BaseException:
            await self.close()
            raise
        self._servers.append(server)
        self.path.chmod(0o600)

    def _connection(self) -> _ForwardedConnection:
        return _ForwardedConnection(self, self._mux)

    async def try_out(self, seconds: float) -> bool | None:
        """Return whether somebody listens at the target; None if the agent does not say.

        If nobody does, `trouble` is why.
        """
        trial = _Trial(self._mux, self.kernel, TRIAL + encode(self.target))
        try:
            self.trouble = await within(trial.answer, seconds)
        except asyncio.TimeoutError:
            trial.give_up()
            return None
        return not self.trouble

    def refused(self, reason: str) -> None:
        """Learn that the other end gave a connection up."""
        self.trouble = reason
        log.info("kernel=%s %s: %s", self.kernel, self.target, reason)

    async def close(self) -> None:
        """Listen no more; connections that are there are closed."""
        await stop_listening(self._servers)
        self._servers.clear()
        self.path.unlink(missing_ok=True)
        for connection in list(self.connections):
            connection.drop()


async def stop_listening(servers: Sequence[asyncio.Server]) -> None:
    """Close servers, and leave no connection half accepted."""
    loop = asyncio.get_running_loop()
    for server in servers:
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
    # A connection that was accepted in this very turn of the loop: asyncio (3.11)
    # would forget its socket if the server were closed now.
    await asyncio.sleep(0)
    for server in servers:
        server.close()


class _ForwardedConnection(SocketChannel):
    """A local connection to a forwarded port."""

    def __init__(self, forward: ForwardedPort, mux: Mux) -> None:
        target = encode(forward.target)
        super().__init__(mux.channel(forward.kernel, target), QUEUE_BYTES)
        self._forward = forward

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._forward.connections) >= MOST:
            self._forward.refused(f"more than {MOST} connections at a time")
            transport.close()
            return
        self._forward.connections.add(self)
        super().connection_made(transport)

    def receive(self, data: bytes) -> None:
        self._forward.trouble = ""
        super().receive(data)

    def closed(self, reason: str) -> None:
        if not self.channel.session_is_over:
            self._forward.refused(reason)
        super().closed(reason)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forward.connections.discard(self)
        super().connection_lost(exc)

    def drop(self) -> None:
        """Its port is forwarded no more."""
        self.channel.reset("the port is forwarded no more")
        self._transport.abort()


class _Trial:
    """Asks whether somebody listens; `answer` is why not, "" if somebody does."""

    def __init__(self, mux: Mux, kernel: str, target: str) -> None:
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._channel = mux.channel(kernel, target)
        self._channel.join(self)

    def receive(self, data: bytes) -> None:
        pass  # no agent of ours says anything here

    def finished(self) -> None:
        self.closed("")
        self._channel.close()

    def drained(self) -> None:
        pass

    def closed(self, reason: str) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            self.answer.set_result(reason)

    def give_up(self) -> None:
        self._channel.reset("not waited for")
