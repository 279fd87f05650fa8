"""Any command's standard input and output: `srun --overlap …`, the agent's own `connect`.

Knows no scheduler: a driver offers the command, this carrier runs it, in a session of
its own so that a Ctrl-C in the terminal does not reach it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from .base import CarrierError, P

GRACE = 3.0  # seconds from closing standard input to SIGTERM, and on to SIGKILL
STDERR_BYTES = 4096


class _Transport(asyncio.Transport):
    """The command's two pipes as one transport."""

    def __init__(
        self, process: asyncio.SubprocessTransport, protocol: asyncio.Protocol
    ) -> None:
        super().__init__()
        self._protocol = protocol
        self._in = cast(asyncio.WriteTransport, process.get_pipe_transport(0))
        self._out = cast(asyncio.ReadTransport, process.get_pipe_transport(1))

    def write(self, data: Any) -> None:
        self._in.write(data)

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        self._in.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._in.get_write_buffer_size()

    def pause_reading(self) -> None:
        self._out.pause_reading()

    def resume_reading(self) -> None:
        self._out.resume_reading()

    def is_closing(self) -> bool:
        return self._in.is_closing()

    def close(self) -> None:
        self._in.close()

    def abort(self) -> None:
        self._in.abort()


class _Process(asyncio.SubprocessProtocol):
    """Passes what the command's pipes do on to the protocol that we carry."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self.stderr = b""
        self.heard = False  # anything on standard output
        self.ended = asyncio.get_running_loop().create_future()
        self.process: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.process = cast(asyncio.SubprocessTransport, transport)
        self._protocol.connection_made(_Transport(self.process, self._protocol))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self.heard = True
            self._protocol.data_received(data)
        else:
            self.stderr = (self.stderr + data)[-STDERR_BYTES:]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The command has ended and all its pipes are closed."""
        self._protocol.connection_lost(exc)
        if not self.ended.done():
            self.ended.set_result(None)


class _Pipe:
    def __init__(self, process: _Process) -> None:
        self._process = process

    async def close(self) -> str:
        process = self._process.process
        assert process is not None
        stdin = process.get_pipe_transport(0)
        if stdin is not None:
            stdin.close()
        # Nobody there sees that end if nobody was heard of.
        first, then = (GRACE, GRACE) if self._process.heard else (0.0, 1.0)
        # By SIGTERM srun ends its step (Slurm 22.05), though one that finds no way back
        # to it only when that has timed out on the node, some 20 s later.
        for signum, grace in ((signal.SIGTERM, first), (signal.SIGKILL, then)):
            await asyncio.wait([self._process.ended], timeout=grace)
            if self._process.ended.done():
                break
            # To its group: srun and wrapper scripts have children.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.get_pid(), signum)
        await asyncio.wait([self._process.ended], timeout=GRACE)
        process.close()
        return self._process.stderr.decode(errors="replace").strip()


class StdioCarrier:
    """Carry a session over a command's standard input and output.

    Parameters
    ----------
    name:
        What the user calls this carrier.
    argv:
        The command.
    env:
        Its environment.
    """

    answers = False  # its command is silent until the agent speaks

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.name = name
        self._argv = list(argv)
        self._env = dict(env)

    def __repr__(self) -> str:
        return f"<StdioCarrier {self.name}: {shlex.join(self._argv)}>"

    async def connect(self, make: Callable[[], P]) -> tuple[_Pipe, P]:
        protocol = make()
        loop = asyncio.get_running_loop()
        # Not cancelled: asyncio would kill srun, and its step would stay in the job.
        starting = asyncio.ensure_future(
            loop.subprocess_exec(
                lambda: _Process(protocol),
                *self._argv,
                env=self._env,
                start_new_session=True,
            )
        )
        try:
            _, process = await asyncio.shield(starting)
        except OSError as exc:
            msg = f"cannot run {shlex.join(self._argv)}: {exc}"
            raise CarrierError(msg) from exc
        except asyncio.CancelledError:
            await asyncio.wait((starting,))
            if starting.exception() is None:
                await _Pipe(starting.result()[1]).close()
            raise
        return _Pipe(process), protocol
