"""A process in a kernel's job, as this program sees it: its output, signals and end.

Rules: plain blocking calls. Called by the command line, and by look_inside.py.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from remote_kernels.errors import AgentError
from remote_kernels.wire import exec as wire
from remote_kernels.wire.exec import FrameKind, Request
from remote_kernels.wire.frames import ProtocolError

STDOUT, STDERR = 1, 2
_CHUNK = 256 * 1024
_FILES = {FrameKind.STDOUT: STDOUT, FrameKind.STDERR: STDERR}


class RemoteProcess:
    """One process, from its start to its end.

    Parameters
    ----------
    way : Path
        A Unix socket that leads into the job (`kernel.way_in`).
    program : str
        What to start: "exec" for a command, or one of the agent's own programs.
    command : sequence of str
        The command.
    options : mapping
        What the program is to do.
    env : mapping
        Variables that go over the kernel's own.
    terminal : tuple of int, or None
        Rows and columns; None for a process without a terminal.

    Raises
    ------
    AgentError
        Nobody is there any more.
    """

    def __init__(
        self,
        way: Path,
        program: str,
        command: Sequence[str] = (),
        *,
        options: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        terminal: tuple[int, int] | None = None,
    ) -> None:
        request = Request(program, command, options or {}, env or {}, terminal)
        self.has_terminal = terminal is not None
        self.exit_code = 0  # below 0 for a signal; once the output has ended
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

    def output(
        self, signalled: socket.socket | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """Yield what it says, to STDOUT or STDERR, until its end.

        Parameters
        ----------
        signalled : socket.socket, or None
            Can be read once a signal has come (`signal.set_wakeup_fd`). Its handler is
            called by the main thread, which would not know of it before the next
            output if it had just begun to wait, or if another thread was interrupted.

        Raises
        ------
        AgentError
            The process was not started, or the way to it was lost.
        """
        decoder = wire.ExecDecoder()
        try:
            while data := self._received(signalled):
                for kind, payload in decoder.feed(data):
                    if kind is FrameKind.CREDIT:
                        self._grant(*wire.decode_numbers(kind, payload))
                    elif kind is FrameKind.FAILED:
                        msg = f"The process was not started: {payload.decode()}"
                        raise AgentError(msg)
                    elif kind is FrameKind.EXIT:
                        (self.exit_code,) = wire.decode_numbers(kind, payload)
                        return
                    elif kind in _FILES:
                        yield _FILES[kind], payload
        except (OSError, ProtocolError) as exc:
            msg = f"The connection to the process is broken: {exc}"
            raise AgentError(msg) from exc
        msg = (
            "The connection to the process was closed before its end. Has the kernel's "
            "job ended, or its notebook server? `remote-kernels ls` shows it."
        )
        raise AgentError(msg)

    def _received(self, signalled: socket.socket | None) -> bytes:
        """Return what comes next; b"" at the end. Raises OSError."""
        if signalled is not None:
            either = [self._socket, signalled]
            while self._socket not in select.select(either, [], [])[0]:
                signalled.recv(_CHUNK)
        return self._socket.recv(_CHUNK)

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
                except BlockingIOError:  # somebody has made it so for all who have it
                    select.select([fd], [], [])
                    continue
                except OSError:  # EIO: the terminal has hung up
                    data = b""
                if not data:
                    self.end_input()
                    return
                with self._more:
                    self._credit -= len(data)
                self._send(wire.encode(FrameKind.STDIN, data))

    def end_input(self) -> None:
        """Tell it that there is no more to read. Raises OSError."""
        self._send(wire.encode(FrameKind.STDIN_END))

    def _send(self, frame: bytes) -> None:
        """Send a whole frame. Raises OSError."""
        with self._lock:
            self._socket.sendall(frame)

    def signal(self, signum: int) -> None:
        """Send a signal to its process group; without effect once it has ended."""
        with contextlib.suppress(OSError):
            self._send(wire.encode_numbers(FrameKind.SIGNAL, signum))

    def resize(self, rows: int, columns: int) -> None:
        """Tell it the size of its terminal."""
        with contextlib.suppress(OSError):
            size = (min(it, wire.LARGEST_SIZE) for it in (rows, columns))
            self._send(wire.encode_numbers(FrameKind.RESIZE, *size))

    def close(self) -> None:
        """Let go of it, which ends it if it has not ended."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def told_by(process: RemoteProcess, job: str, node: str) -> Iterator[bytes]:
    """Yield what a program of ours in this job, on this node, writes.

    Raises AgentError if it fails, with what it wrote on standard error.
    """
    errors = b""
    for file, payload in process.output():
        if file == STDOUT:
            yield payload
        else:
            errors += payload
    if code := process.exit_code:
        lines = errors.decode(errors="replace").splitlines()
        said = "".join(f"\n  {line}" for line in lines) or " nothing"
        msg = (
            f"Looking into job {job} on {node} failed.\nIt ended with exit "
            f"code {code} and said:{said}\n"
            "Has the job just ended? `remote-kernels ls` shows it. `remote-kernels "
            "doctor` tries each stage."
        )
        raise AgentError(msg)
