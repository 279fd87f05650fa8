"""What a kernel said, kept until nobody needs it any more.

In memory, then in files on the node's disk, to a bound; beyond it the oldest is
dropped, and counted. The newest must survive: it holds the cell's end. The files
have no name, so nothing of them outlives this process, however it ends. The agent
keeps what the login end has not passed on, the login end what its clients have not
come back for.
"""

from __future__ import annotations

import collections
import errno
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Union

from remote_kernels.wire import messages
from remote_kernels.wire.frames import LocalProtocolError

MEMORY = 32 * 1024 * 1024  # bytes of one socket's messages
SEGMENT = 32 * 1024 * 1024  # bytes of one file; its space comes back as a whole

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
AGAIN = 60.0  # seconds for which a full disk counts as such


class _Segment:
    """One nameless file."""

    def __init__(self, directory: str) -> None:
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
        self.size = 0
        self.kept = 0  # messages that somebody may still ask for

    def append(self, data: bytes) -> int:
        """Its offset. Raises OSError; what was written then is overwritten."""
        offset, view = self.size, memoryview(data)
        while view:
            count = os.pwrite(
                self._file.fileno(), view, self.size + len(data) - len(view)
            )
            view = view[count:]
        self.size += len(data)
        self.kept += 1
        return offset

    def read(self, offset: int, size: int) -> bytes:
        parts = []
        while size:
            data = os.pread(self._file.fileno(), size, offset)
            if not data:
                msg = "a spool file on the node was cut short"
                raise OSError(msg)
            parts.append(data)
            offset, size = offset + len(data), size - len(data)
        return b"".join(parts)

    def close(self) -> None:
        self._file.close()


_Place = Union[bytes, tuple[_Segment, int, int]]


class Spool:
    """One socket's messages, numbered from 1.

    Parameters
    ----------
    directory : str
        A private directory on the node's disk.
    disk, memory : int
        Bounds in bytes.
    segment : int
        Bytes of one of its files; default: SEGMENT.
    """

    def __init__(
        self,
        directory: str,
        disk: int,
        memory: int = MEMORY,
        segment: int | None = None,
    ) -> None:
        self._directory = directory
        self._memory = memory
        self._disk = disk
        self._segment_size = segment or SEGMENT
        self._full_at = disk  # bytes at which the disk was full, which passes
        self._full_until = 0.0
        self._told = ""
        # A message's pieces, by its number.
        self._places: collections.OrderedDict[int, list[_Place]]
        self._places = collections.OrderedDict()
        self.last = 0  # the number of the newest message
        self._dropped = 0  # highest number dropped
        self._forgotten = 0  # highest number forgotten
        self._in_memory = 0
        self._on_disk = 0
        self._segment: _Segment | None = None

    @property
    def first(self) -> int:
        """The lowest number that is kept, or that comes next."""
        return next(iter(self._places), self.last + 1)

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return self._in_memory + self._on_disk

    def append(self, parts: Sequence[bytes], offset: int = 0, left: int = 0) -> int:
        """Keep a message, or a piece of the newest one; its number.

        One that is too large for a channel has no frames.
        """
        if not offset:
            self.last += 1
        try:
            data = messages.encode(parts, self.last, 0, offset, left)
        except LocalProtocolError:
            if offset:
                return self.last
            data = messages.encode([], self.last)
        while not self._keep(data):
            if self.first >= self.last:  # larger than the bound: kept all the same
                self._put(data, len(data))
                break
            self._dropped, pieces = self._places.popitem(last=False)
            self._remove(pieces)
        return self.last

    def _put(self, place: _Place, in_memory: int = 0) -> None:
        self._places.setdefault(self.last, []).append(place)
        self._in_memory += in_memory

    def _keep(self, data: bytes) -> bool:
        if self._in_memory + len(data) <= self._memory:
            self._put(data, len(data))
            return True
        if self._on_disk + len(data) > self._bound():
            return False
        try:
            segment = self._writable()
            offset = segment.append(data)
        except OSError as exc:
            self._tell(exc)
            if exc.errno in FULL:  # a lower bound
                self._full_at = min(self._bound(), self._on_disk)
                self._full_until = time.monotonic() + AGAIN
            return False
        self._put((segment, offset, len(data)))
        self._on_disk += len(data)
        return True

    def _bound(self) -> int:
        return self._full_at if time.monotonic() < self._full_until else self._disk

    def _writable(self) -> _Segment:
        """If no other can be opened just now, the one that is. Raises OSError."""
        last = self._segment
        if last is not None and last.size <= self._segment_size:
            return last
        try:
            self._segment = _Segment(self._directory)
        except OSError as exc:
            if last is None:
                raise
            self._tell(exc)
            return last
        self._close(last)
        return self._segment

    def _tell(self, exc: OSError) -> None:
        if self._told != exc.strerror:
            self._told = exc.strerror or ""
            sys.stderr.write(f"agent: cannot spool to {self._directory}: {exc}\n")

    def read(self, number: int, piece: int = 0) -> tuple[int, bytes] | None:
        """Return the first message from `number` on, encoded; None if there is none yet.

        Of that very message from its piece of this number on, counted from 0.
        """
        if number > self.last or not self._places:
            return None
        found = max(number, self.first)
        pieces = self._places[found][piece if found == number else 0 :]
        if not pieces:
            return None
        place = pieces[0]
        data = place if isinstance(place, bytes) else place[0].read(*place[1:])
        lost = min(found - 1, self._dropped) - max(number - 1, self._forgotten)
        if lost > 0:
            data = messages.with_lost(data, lost)
        return found, data

    def read_one(self, number: int) -> list[bytes] | None:
        """Return the parts of this very message; None if it was dropped or removed."""
        if number not in self._places:
            return None
        found = self.read(number)
        if found is None or found[0] != number:
            return None
        (message,) = messages.MessageDecoder().feed(found[1])
        return message.parts

    def move(self, directory: str) -> None:
        """Use another directory from the next file on: the old one is gone."""
        self._directory = directory

    def forget_all(self) -> None:
        """Forget all messages."""
        self.forget(self.last)

    def forget(self, number: int) -> None:
        """Forget `number` and what was before it: nobody will ask for them."""
        while self._places and self.first <= number:
            self._remove(self._places.popitem(last=False)[1])
        self._forgotten = max(self._forgotten, min(number, self.last))

    def remove(self, number: int) -> None:
        """Forget this very message, wherever it is; without effect if it is gone."""
        self._remove(self._places.pop(number, []))

    def _remove(self, pieces: list[_Place]) -> None:
        for place in pieces:
            if isinstance(place, bytes):
                self._in_memory -= len(place)
                continue
            segment, _, size = place
            self._on_disk -= size
            segment.kept -= 1
            if segment is not self._segment:
                self._close(segment)
            elif not self._on_disk:
                self._segment = None
                self._close(segment)

    def _close(self, segment: _Segment | None) -> None:
        """When nothing in it is wanted, its space is the node's again."""
        if segment is not None and not segment.kept:
            segment.close()

    def close(self) -> None:
        """Forget all messages, and give the disk back."""
        self.forget_all()
        if self._segment is not None:
            self._segment.close()
