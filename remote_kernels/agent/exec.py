"""Processes that people start in a kernel's job, each on a channel of its own.

SPEC.md section 7. A process belongs to its channel: it ends when that does, and with
the kernel's job. It leads a session of its own, begins by way of inside.py, which takes
over the kernel's environment, and never makes the agent's loop wait. Called by kernel_session.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Sequence
from typing import IO

from remote_kernels.relay.channel import Channel
from remote_kernels.wire import exec as wire
from remote_kernels.wire.exec import FrameKind, Request
from remote_kernels.wire.frames import ProtocolError

from .leash import Leash
from .processes import kill, session
from .streams import Input, Output
from .threads import in_thread

MOST = 64  # processes at a time, of one kernel
QUEUE_BYTES = 1024 * 1024  # of output, before no more is read
GRACE = 5.0  # seconds from SIGHUP to SIGKILL
LULL = 0.1  # seconds in which a terminal shows what an ended process wrote
_GONE = (ProcessLookupError, PermissionError)

Argv = Callable[[Request], Sequence[str]]


class Executions:
    """The processes of one kernel's job that people started.

    Parameters
    ----------
    argv : callable
        Makes the command line of what is to be started for a request.
    """

    def __init__(self, argv: Argv) -> None:
        self._argv = argv
        self._running: dict[Execution, asyncio.Task[None]] = {}

    def attach(self, channel: Channel) -> None:
        """Start what this channel will ask for."""
        execution = Execution(channel, self._allowed)
        task = asyncio.ensure_future(execution.run())
        self._running[execution] = task
        task.add_done_callback(lambda _: self._running.pop(execution, None))

    def _allowed(self, request: Request) -> Sequence[str]:
        if sum(execution.is_running for execution in self._running) >= MOST:
            msg = f"{MOST} processes that people started are in the job already"
            raise OSError(msg)
        return self._argv(request)

    async def end(self, grace: float) -> None:
        """End all; return when they have gone, or after so many seconds are killed."""
        for execution in self._running:
            execution.hang_up()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=grace)
        self.kill()

    def kill(self) -> None:
        """Kill all, with their sessions."""
        for execution in list(self._running):
            execution.kill()


class Execution:
    """One process, from its request to its end.

    Parameters
    ----------
    channel : Channel
        Where its streams go.
    argv : callable
        Makes its command line.
    """

    def __init__(self, channel: Channel, argv: Argv) -> None:
        self._channel = channel
        self._argv = argv
        self._decoder = wire.ExecDecoder()
        self._requested: asyncio.Future[Request | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._master = -1  # of its terminal
        self._outputs: list[Output] = []
        self._input: Input | None = None
        self._early: list[tuple[FrameKind, bytes]] = []  # before its streams were there
        self._credit = wire.WINDOW  # bytes of standard input that may still come
        self._granted = 0  # bytes of it that were taken, and not yet told
        self._full = False  # the channel takes no output for now
        self._room = asyncio.Event()
        self._hung_up = False
        self._killing: asyncio.TimerHandle | None = None
        channel.join(self)
        channel.limit(QUEUE_BYTES)

    # Called by the channel

    def receive(self, data: bytes) -> None:
        """Take frames; whoever sends what is none loses the process."""
        try:
            for kind, payload in self._decoder.feed(data):
                self._take(kind, payload)
        except ProtocolError as exc:
            self._channel.reset(str(exc))
            self.hang_up()

    def finished(self) -> None:
        """End the process: the login end sends no more."""
        self.hang_up()

    def drained(self) -> None:
        """Read on: the channel takes output again."""
        self._full = False
        self._room.set()
        for output in self._outputs:
            output.go_on()

    def closed(self, reason: str) -> None:
        """End the process: its channel is gone."""
        self.hang_up()

    def _take(self, kind: FrameKind, payload: bytes) -> None:
        """Take one frame. Raises ProtocolError."""
        if not self._requested.done():
            if kind is not FrameKind.REQUEST:
                msg = f"a frame {kind.name} before a request"
                raise ProtocolError(msg)
            self._requested.set_result(wire.decode_request(payload))
        elif kind is FrameKind.STDIN:
            self._credit -= len(payload)
            if self._credit < 0:
                msg = "standard input beyond its credit"
                raise ProtocolError(msg)
            self._feed(kind, payload)
        elif kind in (FrameKind.STDIN_END, FrameKind.RESIZE, FrameKind.SIGNAL):
            self._feed(kind, payload)
        else:
            msg = f"a frame {kind.name} from the login end"
            raise ProtocolError(msg)

    def _feed(self, kind: FrameKind, payload: bytes) -> None:
        """Hand a frame to the process. Raises ProtocolError."""
        if self._process is None or self._input is None:
            self._early.append((kind, payload))
        elif kind is FrameKind.STDIN:
            self._input.write(payload)
        elif kind is FrameKind.STDIN_END:
            if self._master < 0:
                self._input.close()
        elif kind is FrameKind.RESIZE:
            size = wire.decode_resize(payload)
            if self._master >= 0:
                resize(self._master, *size)
        else:
            signum = wire.decode_signal(payload)
            if signum in signal.valid_signals():
                self._signal(signum)

    # The process

    @property
    def is_running(self) -> bool:
        """Whether the process was started, and its end is not told yet."""
        return self._process is not None

    async def run(self) -> None:
        """Serve the channel, from its request to the end of all that was started."""
        request = await self._requested
        if request is None:
            return
        leash = Leash()
        try:
            process = self._start(request, leash)
        except (OSError, ValueError) as exc:  # ValueError: of a NUL
            leash.let_go()
            self._close()
            self._channel.send(wire.encode(FrameKind.FAILED, str(exc).encode()))
            self._channel.close()
            return
        try:
            early, self._early = self._early, []
            for kind, payload in early:
                self._feed(kind, payload)
            if self._hung_up:
                self._end()
            code = await in_thread(process.wait)
            await self._said_all()
            self._channel.send(wire.encode_exit(code))
        except ProtocolError as exc:
            self._channel.reset(str(exc))
            self._end()
            await in_thread(process.wait)
        finally:
            self._close()
            if self._killing is not None:
                self._killing.cancel()
            await in_thread(lambda: kill(_left(process.pid)))
            leash.let_go()
        self._channel.close()

    def _start(self, request: Request, leash: Leash) -> subprocess.Popen[bytes]:
        """Start the process. Raises OSError, ValueError."""
        slave = -1
        if request.terminal is not None:
            self._master, slave = pty.openpty()
            resize(self._master, *request.terminal)
        stream = slave if slave >= 0 else subprocess.PIPE
        try:
            process = subprocess.Popen(
                self._argv(request),
                stdin=stream,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                pass_fds=leash.pass_fds,
            )
        finally:
            if slave >= 0:
                os.close(slave)
        self._process = process
        leash.tie(process.pid)
        if self._master >= 0:
            read = {FrameKind.STDOUT: os.dup(self._master)}
            written = os.dup(self._master)
        else:
            read = {
                FrameKind.STDOUT: _taken(process.stdout),
                FrameKind.STDERR: _taken(process.stderr),
            }
            written = _taken(process.stdin)
        self._input = Input(written, self._grant)
        self._outputs = [
            Output(fd, functools.partial(self._say, kind)) for kind, fd in read.items()
        ]
        return process

    def _say(self, kind: FrameKind, data: bytes) -> None:
        """Send output; while the channel is full no more is read."""
        if self._channel.send(wire.encode(kind, data)):
            self._full = True
            for output in self._outputs:
                output.pause()

    def _grant(self, count: int) -> None:
        """Let the login end send so many bytes more of standard input."""
        self._granted += count
        if self._granted >= wire.WINDOW // 4:
            self._credit += self._granted
            self._channel.send(wire.encode_credit(self._granted))
            self._granted = 0

    async def _said_all(self) -> None:
        """Send what the process wrote before it ended, and wait for no other writer."""
        for output in self._outputs:
            quiet = self._master < 0  # what is written to a pipe is there at once
            while output.is_open and not self._hung_up:
                if self._full:
                    self._room.clear()
                    await self._room.wait()
                elif output.read():
                    await asyncio.sleep(0)
                elif quiet:
                    break
                else:
                    quiet = True
                    await asyncio.sleep(LULL)

    # The end

    def hang_up(self) -> None:
        """End the process, as nobody is there for it any more."""
        if self._hung_up:
            return
        self._hung_up = True
        self._room.set()
        if not self._requested.done():
            self._requested.set_result(None)
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._close()
            for signum in (signal.SIGHUP, signal.SIGCONT):
                self._signal(signum)
            loop = asyncio.get_running_loop()
            self._killing = loop.call_later(GRACE, self.kill)

    def kill(self) -> None:
        """Kill all of the process's session."""
        if self._process is not None and self._process.returncode is None:
            kill(session(self._process.pid))

    def _signal(self, signum: int) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(*_GONE):
                os.killpg(self._process.pid, signum)

    def _close(self) -> None:
        """Close the process's streams, and with them its terminal."""
        for output in self._outputs:
            output.close()
        if self._input is not None:
            self._input.abort()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1


def resize(master: int, rows: int, columns: int) -> None:
    """Tell a terminal its size; Linux tells its processes."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def _left(leader: int) -> dict[int, int]:
    """Return what is left of the session of a process that has ended."""
    there = session(leader)
    return {} if leader in there else there  # its number is another's by now


def _taken(stream: IO[bytes] | None) -> int:
    """Return the descriptor of a pipe, which is ours from now on."""
    assert stream is not None
    with stream:
        return os.dup(stream.fileno())
