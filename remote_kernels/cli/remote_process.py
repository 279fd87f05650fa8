"""A process in a kernel's job, joined to this program's streams, signals and terminal.

Rules: one thread, and plain blocking calls, as in `kernel.remote_process`. Called by
`shell` and `exec`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping

from remote_kernels.errors import AgentError
from remote_kernels.kernel.remote_process import STDOUT, RemoteProcess

PASSED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
ENDS = (signal.SIGTERM, signal.SIGHUP)  # of this program, where a terminal is joined


def terminal_size() -> tuple[int, int]:
    """Return rows and columns of this program's terminal."""
    size = os.get_terminal_size(sys.stdin.fileno())
    return size.lines, size.columns


def run(process: RemoteProcess) -> int:
    """Join a process to this program's streams, and terminal if it has one.

    Returns
    -------
    int
        Its exit code, as a shell says it.

    Raises
    ------
    AgentError
        The process was not started, or the way to it was lost.
    """
    try:
        joined = _terminal if process.has_terminal else _signals
        with _signals_wake() as signalled, joined(process):
            if sys.stdin is None:  # closed, and its number may be our socket's
                process.end_input()
            else:
                process.feed(sys.stdin.fileno())
            return _copied(process, signalled)
    finally:
        process.close()


def _copied(process: RemoteProcess, signalled: socket.socket) -> int:
    for file, payload in process.output(signalled):
        if file == STDOUT:
            try:
                _write(1, payload)
            except BrokenPipeError:
                return 128 + signal.SIGPIPE
            except OSError as exc:
                msg = f"Its output cannot be written here: {exc.strerror}"
                raise AgentError(msg) from exc
        else:
            with contextlib.suppress(OSError):  # nobody reads it
                _write(2, payload)
    code = process.exit_code
    return code if code >= 0 else 128 - code


def _write(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # somebody has made it so for all who have it
            select.select([], [fd], [])


@contextlib.contextmanager
def _signals_wake() -> Iterator[socket.socket]:
    """Have a socket that can be read once a signal has come, inside the block."""
    read, written = socket.socketpair()
    with read, written:
        written.setblocking(False)
        before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        try:
            yield read
        finally:
            signal.set_wakeup_fd(before)


@contextlib.contextmanager
def _handled(handlers: Mapping[int, Callable[[int, object], None]]) -> Iterator[None]:
    """Have signals handled in this way, inside the block."""
    before = {number: signal.signal(number, it) for number, it in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _signals(process: RemoteProcess) -> Iterator[None]:
    """Pass signals on to the process, those of the terminal's keys included."""
    with _handled(dict.fromkeys(PASSED, lambda number, _: process.signal(number))):
        yield


@contextlib.contextmanager
def _terminal(process: RemoteProcess) -> Iterator[None]:
    """Hand this program's terminal to the process: its keys and its size."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    def resize(*_: object) -> None:
        process.resize(*terminal_size())

    with _handled({**dict.fromkeys(ENDS, end), signal.SIGWINCH: resize}):
        tty.setraw(fd, termios.TCSADRAIN)  # what was typed already is for it, too
        resize()  # the size may have changed before the handler was there
        try:
            yield
        finally:
            with contextlib.suppress(termios.error):  # it has hung up
                termios.tcsetattr(fd, termios.TCSADRAIN, before)
