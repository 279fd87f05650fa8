"""What a session's bytes go through on an SSH connection: a channel, as a transport.

The agent's socket, forwarded; or, where sshd does not forward, a command's streams.
Used by ssh.py.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from remote_kernels import harmless
from remote_kernels.bounded import within

from .base import CarrierError, P
from .destination import Destination

if TYPE_CHECKING:
    import asyncssh
    from asyncssh.channel import SSHChannel

log = harmless.logger(__name__)

CLOSE_TIMEOUT = 3.0  # seconds
JOIN_TIMEOUT = 2.0  # seconds for a connection that works to carry one session more
STDERR_BYTES = 4096
WINDOW = 4 * 1024 * 1024  # bytes; asyncssh's default of 2 MiB halves a long link


class Errors:
    """The end of what a command wrote on standard error.

    Parameters
    ----------
    instead : str
        The other carriers that the user may choose; "" for none.
    """

    def __init__(self, instead: str) -> None:
        self._instead = instead
        self._text = b""

    def add(self, data: bytes) -> None:
        """Keep the end of what was written."""
        self._text = (self._text + data)[-STDERR_BYTES:]

    def meaning(self) -> str:
        """Return what was written, with what to do about it if we know it."""
        text = self._text.decode(errors="replace").strip()
        if "can't open file" in text:
            other = f"Use carrier {self._instead}, or set" if self._instead else "Set"
            text += (
                "\nThe agent runs, but an ssh session on the node does not see its "
                "directory: this site gives each job a /tmp of its own. "
                f"{other} 'node_dir' (--node-dir) to a directory that is no job's own."
            )
        return text


@dataclass(frozen=True)
class SshPipe:
    """A connection that carries a session."""

    connection: asyncssh.SSHClientConnection
    channel: SSHChannel[bytes]
    said: Errors

    async def close(self) -> str:
        """Close the connection; return what the command wrote on standard error."""
        self.connection.close()
        try:
            await within(self.connection.wait_closed(), CLOSE_TIMEOUT)
        except asyncio.TimeoutError:
            self.connection.abort()
        return self.said.meaning()


async def open_pipe(
    connection: asyncssh.SSHClientConnection,
    to: Destination,
    make: Callable[[], P],
    idle: asyncssh.SSHClientChannel[bytes] | None = None,
) -> tuple[SshPipe, P]:
    """Join a protocol from `make` to the agent.

    Parameters
    ----------
    connection : asyncssh.SSHClientConnection
        One that is logged in.
    to : Destination
        Where the agent is.
    make : callable
        Makes the protocol.
    idle : asyncssh.SSHClientChannel[bytes] or None
        A session that is closed where a command takes its place.

    Raises OSError, asyncssh.Error or CarrierError.
    """
    import asyncssh

    protocol = make()
    said = Errors(to.instead)
    channel: SSHChannel[bytes]
    try:
        channel, _ = await connection.create_unix_connection(
            lambda: _session(protocol, said), to.socket, encoding=None, window=WINDOW
        )
    except asyncssh.ChannelOpenError as exc:
        log.debug("= no forward to the agent's socket: %s", exc)
        if idle is not None:
            idle.close()
        channel = await run(connection, to.connect, _session(protocol, said))
    return SshPipe(connection, channel, said), protocol


async def join(
    pipe: SshPipe, to: Destination, make: Callable[[], P]
) -> tuple[SshPipe, P] | None:
    """Open one session more on a connection; None if that is dead, or takes no more."""
    import asyncssh

    # Not cancelled: asyncssh (2.24) does not close what is opened after that, and
    # the connection is others', too.
    opening = asyncio.ensure_future(open_pipe(pipe.connection, to, make))
    try:
        await asyncio.wait((opening,), timeout=JOIN_TIMEOUT)
    except BaseException:
        opening.add_done_callback(_let_go)
        raise
    if not opening.done():
        opening.add_done_callback(_let_go)
        log.debug("= no answer in %g s", JOIN_TIMEOUT)
        return None
    try:
        return opening.result()
    except (OSError, asyncssh.Error, CarrierError) as exc:
        log.debug("= %r", exc)
        return None


def _let_go(opening: asyncio.Future[tuple[SshPipe, P]]) -> None:
    """Of a session that nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].channel.close()


async def run(
    connection: asyncssh.SSHClientConnection,
    argv: Sequence[str],
    session: asyncssh.SSHClientSession[bytes],
) -> asyncssh.SSHClientChannel[bytes]:
    """Run a command on the node. Raises OSError, asyncssh.Error or CarrierError."""
    import asyncssh

    try:
        channel, _ = await connection.create_session(
            lambda: session, shlex.join(argv), encoding=None, window=WINDOW
        )
    except asyncssh.ChannelOpenError as exc:
        msg = f"sshd opens no session: {exc}"
        raise CarrierError(msg) from exc
    return channel


def _session(protocol: asyncio.Protocol, said: Errors) -> Any:
    """Make an SSH session that passes what its channel does on to `protocol`."""
    import asyncssh

    class PipeSession(asyncssh.SSHUNIXSession[bytes], asyncssh.SSHClientSession[bytes]):
        def connection_made(self, chan: Any) -> None:
            protocol.connection_made(chan)

        def data_received(self, data: bytes, datatype: Any) -> None:
            if datatype is None:
                protocol.data_received(data)
            else:  # standard error
                said.add(data)

        def eof_received(self) -> bool:
            return bool(protocol.eof_received())

        def pause_writing(self) -> None:
            protocol.pause_writing()

        def resume_writing(self) -> None:
            protocol.resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            protocol.connection_lost(exc)

    return PipeSession()
