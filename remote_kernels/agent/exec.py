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
from remote_kernels.wire.frames import RemoteProtocolError

from .leash import Leash
from .node_dir import note_session
from .processes import kill, session
from .streams import Input, Output
from .threads import in_thread

MOST = 64  # processes at a time, of one kernel
QUEUE_BYTES = 1024 * 1024  # of output, before no more is read
GRACE = 5.0  # seconds from SIGHUP to SIGKILL
LULL = 0.1  # seconds in which a terminal shows what an ended process wrote
# Linux keeps no more of a stream: of a pipe pipe-max-size, see pipe(7), of a terminal 640
# KiB (drivers/tty/tty_buffer.c, 6.1).
LEFT_BYTES = 1024 * 1024

Argv = Callable[[Request], Sequence[str]]


class Executions:
    """The processes of one kernel's job that people started.

    Parameters
    ----------
    argv : callable
        Makes the command line of what is to be started for a request.
    node_dir : str
        Where their sessions are noted, for who tidies up after an agent that was killed.
    """

    def __init__(self, argv: Argv, node_dir: str) -> None:
        self._argv = argv
        self._node_dir = node_dir
        self._running: dict[Execution, asyncio.Task[None]] = {}

    def attach(self, channel: Channel) -> None:
        """Start what this channel will ask for."""
        channel.join(Execution(channel, self._start))
        channel.limit(QUEUE_BYTES)

    def _start(self, execution: Execution, request: Request) -> None:
        """Start a process. Raises OSError, ValueError."""
        if sum(not it.has_exited for it in self._running) >= MOST:
            msg = f"{MOST} processes that people started are in the job already"
            raise OSError(msg)
        pid = execution.start(self._argv(request), request.terminal)
        note_session(self._node_dir, f"exec-{pid}", pid)

        def forget(_: object) -> None:
            note_session(self._node_dir, f"exec-{pid}", 0)
            del self._running[execution]

        task = self._running[execution] = asyncio.ensure_future(execution.run())
        task.add_done_callback(forget)

    async def end(self, grace: float) -> None:
        """End all; return when they have gone, or after so many seconds are killed."""
        for execution in self._running:
            execution.hang_up()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=grace)
        for execution in self._running:
            execution.kill()


class Execution:
    """One process, from its request to its end.

    Parameters
    ----------
    channel : Channel
        Where its streams go.
    begin : callable
        Called with what is to be started; raises OSError or ValueError where it cannot be.
    """

    def __init__(
        self, channel: Channel, begin: Callable[[Execution, Request], None]
    ) -> None:
        self._channel = channel
        self._begin = begin
        self._decoder = wire.ExecDecoder()
        self._process: subprocess.Popen[bytes] | None = None
        self._master = -1  # of its terminal
        self._leash: Leash
        self._input: Input
        self._outputs: list[Output] = []
        self._credit = wire.WINDOW  # bytes of standard input that may still come
        self._granted = 0  # bytes of it that were taken, and not yet told
        self._full = False  # the channel takes no output for now
        self._room = asyncio.Event()
        self.has_exited = False  # and all that it said has been sent
        self._hung_up = False
        self._killing: asyncio.TimerHandle | None = None

    # Called by the channel

    def receive(self, data: bytes) -> None:
        """Take frames; whoever sends what is none loses the process."""
        try:
            for kind, payload in self._decoder.feed(data):
                if not self._hung_up:
                    self._take(kind, payload)
        except RemoteProtocolError as exc:
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
        """Take one frame. Raises RemoteProtocolError."""
        if (kind is FrameKind.REQUEST) is not (self._process is None):
            msg = f"a frame {kind.name} before a request, or a second one"
            raise RemoteProtocolError(msg)
        if kind is FrameKind.REQUEST:
            self._answer(wire.decode_request(payload))
        elif kind is FrameKind.STDIN:
            self._credit -= len(payload)
            if self._credit < 0:
                msg = "standard input beyond its credit"
                raise RemoteProtocolError(msg)
            self._input.write(payload)
        elif kind is FrameKind.STDIN_END:
            if self._master < 0:
                self._input.close()
        elif kind is FrameKind.RESIZE:
            size = wire.decode_numbers(kind, payload)
            if self._master >= 0:
                _resize(self._master, *size)
        elif kind is FrameKind.SIGNAL:
            (signum,) = wire.decode_numbers(kind, payload)
            if signum in signal.valid_signals():
                self._signal(signum)
        else:
            msg = f"a frame {kind.name} from the login end"
            raise RemoteProtocolError(msg)

    def _answer(self, request: Request) -> None:
        """Start what is asked for, or say why not."""
        try:
            self._begin(self, request)
        except (OSError, ValueError) as exc:  # ValueError: of a NUL
            self._channel.send(wire.encode(FrameKind.FAILED, str(exc).encode()))
            self.hang_up()

    # The process

    def start(self, argv: Sequence[str], terminal: Sequence[int] | None) -> int:
        """Start the process; return its pid. Raises OSError, ValueError.

        The channel is joined to its streams: standard input first, then its outputs.
        """
        self._leash = Leash()
        stream = subprocess.PIPE
        ours: list[IO[bytes]] = []
        try:
            if terminal is not None:
                self._master, stream = pty.openpty()
                _resize(self._master, *terminal)
                for mode in ("wb", "rb"):
                    ours.append(os.fdopen(os.dup(self._master), mode, 0))
            process = self._leash.start(
                argv, stdin=stream, stdout=stream, stderr=stream
            )
        except BaseException:
            self._leash.let_go()
            self._close()
            for end in ours:
                end.close()
            raise
        finally:
            if stream >= 0:
                os.close(stream)
        ours += [end for end in (process.stdin, process.stdout, process.stderr) if end]
        self._input = Input(ours[0], self._grant)
        self._outputs = [
            Output(end, functools.partial(self._say, kind))
            for end, kind in zip(ours[1:], (FrameKind.STDOUT, FrameKind.STDERR))
        ]
        self._process = process
        return process.pid

    async def run(self) -> None:
        """Follow the process to the end of all that it has started; tell its exit code."""
        assert self._process is not None
        pid = self._process.pid
        code = await in_thread(self._process.wait)
        await self._said_all()
        self._close()
        if self._killing is not None:
            self._killing.cancel()
        self.has_exited = True
        self._channel.send(wire.encode_numbers(FrameKind.EXIT, code))
        await in_thread(lambda: kill(_left(pid)))
        self._leash.let_go()
        self._channel.close()

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
            frame = wire.encode_numbers(FrameKind.CREDIT, self._granted)
            self._channel.send(frame)
            self._granted = 0

    async def _said_all(self) -> None:
        """Send what the process wrote before it ended, and wait for no other writer."""
        for output in self._outputs:
            left = LEFT_BYTES
            quiet = self._master < 0  # what is written to a pipe is there at once
            while left > 0 and output.is_open and not self._hung_up:
                if self._full:
                    self._room.clear()
                    await self._room.wait()
                elif count := output.read():
                    left -= count
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
        if self._process is None:
            self._channel.close()
        elif self._process.returncode is None:
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
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signum)

    def _close(self) -> None:
        """Close the process's streams, and with them its terminal."""
        for output in self._outputs:
            output.close()
        if self._process is not None:
            self._input.abort()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1


def _resize(master: int, rows: int, columns: int) -> None:
    """Tell a terminal its size; Linux tells its processes."""
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def _left(leader: int) -> dict[int, int]:
    """Return what is left of the session of a process that has ended."""
    there = session(leader)
    return {} if leader in there else there  # its number is another's by now
