"""What a kernel's process writes, in kernel.log of its record. Called by kernel_process.py."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import IO

LOG_BYTES = 8 * 1024 * 1024  # of kernel.log, then it becomes kernel.log.1
TAIL_BYTES = 8 * 1024  # of output told to the login end
LAST_WORDS = 1.0  # seconds: a child of the kernel may hold the pipe open


class _File:
    """kernel.log and kernel.log.1: bounded on the disk, and one descriptor at most."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append. Raises OSError; the next one tries anew."""
        if self._size > LOG_BYTES:
            self._rotate()
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._fd = os.open(self._path, flags, 0o600)
            self._size = os.fstat(self._fd).st_size
        self._size += os.write(self._fd, data)

    def _rotate(self) -> None:
        """Begin anew, closed before: what has no name any more would stay on the disk."""
        self.close()
        self._size = 0
        try:
            os.replace(self._path, f"{self._path}.1")
        except OSError:
            os.truncate(self._path, 0)  # the bound holds all the same

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class KernelLog:
    """What the kernel process writes: into kernel.log, its end kept for errors.

    A thread of its own, because the record's file system may stall. It reads until
    the last writer has gone, whatever becomes of the file: a full pipe would stop the
    kernel.
    """

    def __init__(self, pipe: IO[bytes], path: str) -> None:
        self._pipe = pipe
        self._path = path
        self._tail = b""
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def _copy(self) -> None:
        with self._pipe as pipe, contextlib.closing(_File(self._path)) as file:
            while data := os.read(pipe.fileno(), 64 * 1024):
                self._tail = (self._tail + data)[-TAIL_BYTES:]
                # A full disk, no descriptor, a record that is gone: no kernel's end.
                with contextlib.suppress(OSError):
                    file.write(data)

    def wait(self) -> None:
        """Block until all that an ended process wrote has been read."""
        self._thread.join(LAST_WORDS)

    def tail(self) -> str:
        """Return the end of what was written."""
        return self._tail.decode(errors="replace")
