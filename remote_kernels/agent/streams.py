"""A process's streams on the event loop. Called by exec.py."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import IO

from remote_kernels.wire.exec import HEAD_BYTES
from remote_kernels.wire.frames import MAX_DATA

CHUNK = MAX_DATA - HEAD_BYTES  # bytes at a time; with a head they fill a frame


class Output:
    """What a process writes, read as fast as it is taken.

    Parameters
    ----------
    end : file
        Our end, which is closed with it; nothing is buffered in it.
    say : callable
        Takes what was read.
    """

    def __init__(self, end: IO[bytes], say: Callable[[bytes], None]) -> None:
        self._end = end
        self._fd = end.fileno()
        self._say = say
        self._loop = asyncio.get_running_loop()
        self.is_open = True
        os.set_blocking(self._fd, False)
        self._loop.add_reader(self._fd, self.read)

    def read(self) -> int:
        """Pass on what is there; returns how many bytes that were."""
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: nobody has the terminal any more
            data = b""
        if data:
            self._say(data)
        else:
            self.close()
        return len(data)

    def pause(self) -> None:
        """Read no more for now."""
        if self.is_open:
            self._loop.remove_reader(self._fd)

    def go_on(self) -> None:
        """Read on."""
        if self.is_open:
            self._loop.add_reader(self._fd, self.read)

    def close(self) -> None:
        """Read no more, and close the descriptor."""
        if self.is_open:
            self._loop.remove_reader(self._fd)
            self.is_open = False
            self._end.close()


class Input:
    """A process's standard input: bounded, as its writer has a credit.

    Parameters
    ----------
    end : file
        Our end, which is closed with it; nothing is buffered in it.
    taken : callable
        Called with how many bytes the process has taken, or will never take.
    """

    def __init__(self, end: IO[bytes], taken: Callable[[int], None]) -> None:
        self._end = end
        self._fd = end.fileno()
        self._taken = taken
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._ends = False
        self._is_open = True
        os.set_blocking(self._fd, False)

    def write(self, data: bytes) -> None:
        """Hand data to the process; what nobody reads any more is dropped."""
        if not self._is_open or self._ends:
            self._taken(len(data))
            return
        self._buffer += data
        self._flush()

    def close(self) -> None:
        """Let it end behind what was written."""
        self._ends = True
        self._flush()

    def _flush(self) -> None:
        if not self._is_open:
            return
        try:
            while self._buffer:
                count = os.write(self._fd, self._buffer[:CHUNK])
                del self._buffer[:count]
                self._taken(count)
        except BlockingIOError:
            self._loop.add_writer(self._fd, self._flush)
            return
        except OSError:  # its reader has gone
            self.abort()
            return
        self._loop.remove_writer(self._fd)
        if self._ends:
            self.abort()

    def abort(self) -> None:
        """Let it end now."""
        if self._is_open:
            self._loop.remove_writer(self._fd)
            self._is_open = False
            self._end.close()
            count = len(self._buffer)
            self._buffer.clear()
            self._taken(count)
