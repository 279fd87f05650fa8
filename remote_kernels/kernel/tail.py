"""The end of a file that another host may write, and what is written to it later.

As with `tail -F`, a file that is renamed to NAME.1 is read to its end, then the new one
from its beginning. NFS does not tell of changes, so each look lists the directory and
opens the file anew, which makes an NFS client ask its server. Called by the command
line, and for the server by following.py.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

_BLOCK = 64 * 1024  # bytes


class Tail:
    """One log file, which may not exist yet.

    `most`: bytes that are returned at once of each file, unless below 0; the rest comes next
    time.
    """

    def __init__(self, path: Path, most: int = -1) -> None:
        self.path = path
        self._most = most
        self._older = path.with_name(f"{path.name}.1")
        self._file: BinaryIO | None = None

    def close(self) -> None:
        """Close the file; no more is wanted."""
        if self._file is not None:
            self._file.close()

    def last(self, lines: int) -> bytes:
        """Return the last lines. What is written from now on is for `more`."""
        self._file = _opened(self.path)
        if self._file is None:
            return b""
        text = _end(self._file, lines, self._most)
        missing = lines - len(text.splitlines())
        older = _opened(self._older) if missing > 0 else None
        if older is not None:
            with older:
                text = _end(older, missing, self._most) + text
        return text

    def more(self) -> bytes:
        """Return what was written since the last call."""
        fresh = _opened(self.path)
        if self._file is None:
            self._file = fresh
            return b"" if fresh is None else fresh.read(self._most)
        if fresh is None:  # removed; it may be written to all the same
            return self._file.read(self._most)
        if os.path.sameopenfile(fresh.fileno(), self._file.fileno()):
            fresh.close()
            if os.fstat(self._file.fileno()).st_size < self._file.tell():
                self._file.seek(0)  # somebody emptied it
            return self._file.read(self._most)
        # The old one got its last byte before it was renamed.
        text = self._file.read(self._most)
        if len(text) == self._most:
            fresh.close()
            return text
        text += self._between()
        self._file.close()
        self._file = fresh
        return text + fresh.read(self._most)

    def _between(self) -> bytes:
        """Return the text of a file that came and went since the last look."""
        assert self._file is not None
        older = _opened(self._older)
        if older is None:
            return b""
        with older:
            is_it = os.path.sameopenfile(older.fileno(), self._file.fileno())
            return b"" if is_it else older.read(self._most)


def _opened(path: Path) -> BinaryIO | None:
    with contextlib.suppress(OSError):
        os.listdir(path.parent)  # noqa: PTH208 -- see above
        return path.open("rb")
    return None


def _end(file: BinaryIO, lines: int, most: int) -> bytes:
    """Return the last lines of what the file holds now, and leave it at its end.

    An incomplete last line counts as a line; `most`: bytes.
    """
    start = end = file.seek(0, os.SEEK_END)
    text, block = b"", _BLOCK
    room = most if most >= 0 else start
    while start > 0 and text.count(b"\n") <= lines and len(text) < room:
        size = min(block, start, room - len(text))
        start, block = start - size, 2 * block
        file.seek(start)
        text = file.read(size) + text
    file.seek(end)
    parts = text[: end - start].split(b"\n")
    kept = lines + (parts[-1] == b"")
    return b"\n".join(parts[-kept:]) if kept else b""
