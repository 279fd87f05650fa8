"""A process in a kernel's job, joined to this program's streams, signals and terminal.

Rules: plain blocking calls and one thread, so that a signal is passed on whatever this
program waits for. Called by `shell`, `exec`, `stack` and `top`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

from remote_kernels.errors import AgentError
from remote_kernels.wire import exec as wire
from remote_kernels.wire.exec import FrameKind, Request
from remote_kernels.wire.frames import ProtocolError

PASSED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
ENDS = (signal.SIGTERM, signal.SIGHUP)  # of this program, where a terminal is joined
_CHUNK = 256 * 1024


class RemoteProcess:
    """One process, from its start to its end.

    Parameters
    ----------
    way : Path
        A Unix socket that leads into the job (`kernel.way_in`).
    request : Request
        What to start.

    Raises
    ------
    AgentError
        Nobody is there any more.
    """

    def __init__(self, way: Path, request: Request) -> None:
        self._lock = threading.RLock()  # a signal may come within a signal's handler
        self._credit = wire.WINDOW
        self._more = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(way))
            self._socket.sendall(request.encode())
        except (OSError, ProtocolError) as exc:
            self._socket.close()
            msg = f"The process could not be asked for: {exc}"
            raise AgentError(msg) from exc

    def output(self) -> Iterator[tuple[FrameKind, bytes]]:
        """Yield STDOUT, STDERR, and EXIT as the last. Raises AgentError."""
        decoder = wire.ExecDecoder()
        try:
            while data := self._socket.recv(_CHUNK):
                for kind, payload in decoder.feed(data):
                    if kind is FrameKind.CREDIT:
                        self._grant(wire.decode_credit(payload))
                    elif kind is FrameKind.FAILED:
                        msg = f"The process was not started: {payload.decode()}"
                        raise AgentError(msg)
                    elif kind in (FrameKind.STDOUT, FrameKind.STDERR, FrameKind.EXIT):
                        yield kind, payload
                        if kind is FrameKind.EXIT:
                            return
        except (OSError, ProtocolError) as exc:
            msg = f"The connection to the process is broken: {exc}"
            raise AgentError(msg) from exc
        msg = (
            "The connection to the process was closed before its end. Has the kernel's "
            "job ended, or its notebook server? `remote-kernels ls` shows it."
        )
        raise AgentError(msg)

    def _grant(self, count: int) -> None:
        with self._more:
            self._credit += count
            self._more.notify()

    def feed(self, fd: int) -> None:
        """Send what can be read there, in a thread of its own, as the process takes it."""
        threading.Thread(target=self._feed, args=(fd,), daemon=True).start()

    def _feed(self, fd: int) -> None:
        with contextlib.suppress(OSError):  # the socket is closed
            while True:
                with self._more:
                    self._more.wait_for(lambda: self._credit > 0)
                    room = min(self._credit, _CHUNK)
                try:
                    data = os.read(fd, room)
                except OSError:  # EIO: the terminal has hung up
                    data = b""
                if not data:
                    self.send(wire.encode(FrameKind.STDIN_END))
                    return
                with self._more:
                    self._credit -= len(data)
                self.send(wire.encode(FrameKind.STDIN, data))

    def send(self, frame: bytes) -> None:
        """Send a frame, whole. Raises OSError."""
        with self._lock:
            self._socket.sendall(frame)

    def signal(self, signum: int) -> None:
        """Send a signal to its process group; without effect once it has ended."""
        with contextlib.suppress(OSError):
            self.send(wire.encode_signal(signum))

    def resize(self) -> None:
        """Tell it the size of this program's terminal."""
        with contextlib.suppress(OSError):
            self.send(wire.encode_resize(*terminal_size()))

    def close(self) -> None:
        """Let go of it, which ends it if it has not ended."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def terminal_size() -> tuple[int, int]:
    """Return rows and columns of this program's terminal."""
    size = os.get_terminal_size(sys.stdin.fileno())
    return size.lines, size.columns


def run(way: Path, request: Request) -> int:
    """Run a process with this program's streams, and terminal if the request has one.

    Returns
    -------
    int
        Its exit code, as a shell says it.

    Raises
    ------
    AgentError
        The process was not started, or the way to it was lost.
    """
    process = RemoteProcess(way, request)
    try:
        joined = _terminal if request.terminal else _signals
        with joined(process):
            if sys.stdin is None:  # closed, and its number may be our socket's
                process.send(wire.encode(FrameKind.STDIN_END))
            else:
                process.feed(sys.stdin.fileno())
            return _copied(process)
    finally:
        process.close()


def _copied(process: RemoteProcess) -> int:
    for kind, payload in process.output():
        if kind is FrameKind.STDOUT:
            try:
                _write(1, payload)
            except BrokenPipeError:
                return 128 + signal.SIGPIPE
        elif kind is FrameKind.STDERR:
            with contextlib.suppress(OSError):  # nobody reads it
                _write(2, payload)
        else:
            code = wire.decode_exit(payload)
            return code if code >= 0 else 128 - code
    raise AssertionError


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@contextlib.contextmanager
def _signals(process: RemoteProcess) -> Iterator[None]:
    """Pass signals on, of a terminal's keys, too."""
    before = {
        signum: signal.signal(signum, lambda number, _: process.signal(number))
        for signum in PASSED
    }
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def _terminal(process: RemoteProcess) -> Iterator[None]:
    """Give this program's terminal away: each key and each size is the process's."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    handlers = {signum: signal.signal(signum, end) for signum in ENDS}
    resized = signal.signal(signal.SIGWINCH, lambda *_: process.resize())
    tty.setraw(fd, termios.TCSADRAIN)  # what was typed already is for it, too
    process.resize()  # it may have changed before the handler was there
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # it has hung up
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
        for signum, handler in {**handlers, signal.SIGWINCH: resized}.items():
            signal.signal(signum, handler)
