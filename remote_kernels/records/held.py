"""What clients asked while the job waited: held.json."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

from remote_kernels import shapes
from remote_kernels.errors import RecordError

from .directory import Directory
from .files import parsed
from .trouble import tell_once

NAME = "held.json"
HELD_BYTES = 4 * 1024 * 1024  # of requests; more than that is not kept


class HeldFile:
    """The requests of clients that wait for one kernel.

    Parameters
    ----------
    directory:
        The kernel's record.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._size: int | None = None  # bytes in the file, as far as it is ours

    def write(
        self, held: Sequence[tuple[str, Sequence[bytes]]], known: int = 0
    ) -> None:
        """Write the requests of clients that wait for the kernel. Raises RecordError.

        The first `known` were written by the call before: the others are added, so
        that many cells take no longer each than few.
        """
        if not known or self._size is None:
            known = self._size = 0
        added = held[known:]
        size = self._size + sum(len(part) for _, parts in added for part in parts)
        if size <= HELD_BYTES:
            self._size = None  # until that is done
            lines = [
                [target, *(base64.b64encode(part).decode() for part in parts)]
                for target, parts in added
            ]
            put = self._directory.append if known else self._directory.write
            try:
                put(NAME, {"held": lines})
            except RecordError as exc:
                if not (known and isinstance(exc.__cause__, FileNotFoundError)):
                    raise
                self.write(held)  # the record was made anew
                return
        self._size = size

    def read(self) -> list[tuple[str, list[bytes]]]:
        """Return what `write` wrote; if that is damaged, nothing."""
        try:
            bodies = self._read_lines()
        except RecordError as exc:
            tell_once(exc)
            return []
        return [
            (target, [base64.b64decode(part) for part in parts])
            for body in bodies
            for target, *parts in body["held"]
        ]

    def _read_lines(self) -> list[dict[str, Any]]:
        """Objects below each other; without the last of several if it is half there."""
        data = self._directory.data(NAME)
        if data is None:
            return []
        lines, found = re.split(rb"\n(?=\{)", data), []
        for number, line in enumerate(lines, 1):
            try:
                found.append(shapes.shaped(NAME, parsed(line)))
            except ValueError as exc:
                if 1 < number == len(lines):
                    break
                msg = f"Cannot read {self._directory.path / NAME}: {exc}"
                raise RecordError(msg) from exc
        return found
