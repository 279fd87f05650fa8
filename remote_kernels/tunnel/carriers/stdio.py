"""Any command's standard input and output: a batch system's way into the job, the agent's own `connect`.

Knows no scheduler: a driver offers the command, this carrier runs it, in a session of
its own so that a Ctrl-C in the terminal does not reach it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from .base import CarrierError, P

GRACE = 3.0  # seconds from closing standard input to SIGTERM, and on to SIGKILL
STDERR_BYTES = 4096


class _Transport(asyncio.Transport):
    """The command's standard input and output: one socket, and so one descriptor.

    Closing it ends the input alone; what the command still says is heard.
    """

    def __init__(self, socket: asyncio.Transport) -> None:
        super().__init__()
        self._socket = socket
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._socket.write(data)

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        self._socket.set_write_buffer_limits(high, low)

    def is_closing(self) -> bool:
        return self._closing or self._socket.is_closing()

    def close(self) -> None:
        self._closing = True
        self._socket.write_eof()

    def abort(self) -> None:
        self._closing = True
        self._socket.abort()


class _Stream(asyncio.Protocol):
    """Passes what the socket does on to the protocol that we carry."""

    def __init__(self, protocol: asyncio.Protocol, ended: Callable[[], None]) -> None:
        self._protocol = protocol
        self._ended = ended
        self.heard = False  # anything on standard output
        self.transport: _Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = _Transport(cast(asyncio.Transport, transport))
        self._protocol.connection_made(self.transport)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self._protocol.data_received(data)

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()


class _Process(asyncio.SubprocessProtocol):
    """The command as a pipe, and when all of it is over."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self.stream = _Stream(protocol, self._over)
        self._stderr = b""
        self._ended = asyncio.get_running_loop().create_future()
        self.process: asyncio.SubprocessTransport
        self._left = 2  # the command, and the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.process = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._stderr = (self._stderr + data)[-STDERR_BYTES:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the command has ended, and nobody writes to its standard error."""
        self._over()

    def _over(self) -> None:
        self._left -= 1
        if not self._left:
            self._protocol.connection_lost(None)
            if not self._ended.done():
                self._ended.set_result(None)

    async def close(self) -> str:
        stream = self.stream
        if stream.transport is not None:
            stream.transport.close()
        # Nobody there sees that end if nobody was heard of.
        first, then = (GRACE, GRACE) if stream.heard else (0.0, 1.0)
        # By SIGTERM Slurm's (22.05) ends its step, though one that finds no way back
        # to it only when that has timed out on the node, some 20 s later.
        for signum, grace in ((signal.SIGTERM, first), (signal.SIGKILL, then)):
            await asyncio.wait([self._ended], timeout=grace)
            if self._ended.done():
                break
            # To its group: launchers and wrapper scripts have children.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.get_pid(), signum)
        await asyncio.wait([self._ended], timeout=GRACE)
        self.process.close()
        if stream.transport is not None:
            stream.transport.abort()
        return self._stderr.decode(errors="replace").strip()


class StdioCarrier:
    """Carry a session over a command's standard input and output.

    Parameters
    ----------
    name : str
        What the user calls this carrier.
    argv : sequence of str
        The command.
    env : mapping
        Its environment.
    log : Path or None
        A file for its standard error, which then costs no descriptor; else the end of
        that is a part of an error's text.
    slow : float
        Seconds that it may need before the agent can be heard of.
    """

    answers = False  # its command is silent until the agent speaks

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        log: Path | None = None,
        slow: float = 0.0,
    ) -> None:
        self.name = name
        self.slow = slow
        self._argv = list(argv)
        self._env = dict(env)
        self._log = log

    def __repr__(self) -> str:
        return f"<StdioCarrier {self.name}: {shlex.join(self._argv)}>"

    async def connect(self, make: Callable[[], P]) -> tuple[_Process, P]:
        """Run the command, and join a protocol to it. Raises CarrierError."""
        protocol = make()
        # Not cancelled: asyncio would kill it, and its step would stay in the job.
        starting = asyncio.ensure_future(self._start(protocol))
        try:
            process = await asyncio.shield(starting)
        except OSError as exc:
            msg = f"cannot run {shlex.join(self._argv)}: {exc}"
            raise CarrierError(msg) from exc
        except asyncio.CancelledError:
            await asyncio.wait((starting,))
            if starting.exception() is None:
                await starting.result().close()
            raise
        return process, protocol

    async def _start(self, protocol: asyncio.Protocol) -> _Process:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._errors() as errors:
                _, process = await loop.subprocess_exec(
                    lambda: _Process(protocol),
                    *self._argv,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=errors,
                    env=self._env,
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        await loop.create_unix_connection(lambda: process.stream, sock=ours)
        return process

    def _errors(self) -> contextlib.AbstractContextManager[Any]:
        """Return where standard error goes, to be closed at this end."""
        with contextlib.suppress(OSError):
            if self._log is not None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
                return os.fdopen(os.open(self._log, flags), "ab")
        return contextlib.nullcontext(subprocess.PIPE)
