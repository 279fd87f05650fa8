"""What clients have asked of a kernel that is not there yet, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from . import jupyter_message
from .interfaces import Request
from .jupyter_message import RUN, Head

HELD_BYTES = 64 * 1024 * 1024  # then clients must wait
LIMITED = ("shell", "stdin")  # interrupts still pass


class HeldRequests:
    """Requests, and those among them that run a cell.

    Parameters
    ----------
    on_change:
        Called with all that is held whenever that changes; and with how many of them,
        from the first on, are those of the call before.
    """

    def __init__(self, on_change: Callable[[list[Request], int], None]) -> None:
        self._on_change = on_change
        self._held: list[Request] = []
        self._bytes = 0
        self._cells: dict[str, Head] = {}  # by ID
        self.restored: set[str] = set()  # that an earlier server held

    def has_room(self, target: str) -> bool:
        """Whether another request may come by that socket."""
        return self._bytes <= HELD_BYTES or target not in LIMITED

    def add(self, target: str, parts: list[bytes]) -> None:
        """Hold a request."""
        self._held.append((target, parts))
        self._bytes += sum(map(len, parts))
        self._on_change(self._held, len(self._held) - 1)

    def add_cell(self, target: str, head: Head, parts: list[bytes]) -> None:
        """Hold a request to run a cell."""
        self.add(target, parts)
        self._cells[head.id] = head

    def restore(self, held: Iterable[Request]) -> None:
        """Hold what clients asked an earlier server."""
        held = [*held]
        for _, parts in held:
            head = jupyter_message.read(parts)
            if head is not None:
                self.restored.add(head.id)
                if head.type == RUN:
                    self._cells[head.id] = head
        self._set([*self._held, *held])

    def is_waiting(self, cell: Head) -> bool:
        """Whether that cell is held."""
        return cell.id in self._cells

    def cells(self) -> list[Head]:
        """Return the cells that are held, in order."""
        return [*self._cells.values()]

    def has_cells(self) -> bool:
        """Whether any cell is held."""
        return bool(self._cells)

    def first_cells(self) -> dict[str, Head]:
        """Return each client's first cell, by session."""
        first: dict[str, Head] = {}
        for head in self._cells.values():
            first.setdefault(head.session, head)
        return first

    def take_cells(self) -> list[Head]:
        """Hold the cells no more, and return them."""
        cells, self._cells = self._cells, {}
        self._take(lambda head: head.id in cells)
        return [*cells.values()]

    def take_all_of(self, kind: str) -> list[tuple[str, Head]]:
        """Hold the requests of one type no more; return their sockets and heads."""
        return self._take(lambda head: head.type == kind)

    def _take(self, is_meant: Callable[[Head], bool]) -> list[tuple[str, Head]]:
        taken, rest = [], []
        for target, parts in self._held:
            head = jupyter_message.read(parts)
            if head is not None and is_meant(head):
                taken.append((target, head))
            else:
                rest.append((target, parts))
        if taken:
            self._set(rest)
        return taken

    def take_all(self) -> list[Request]:
        """Hold nothing more, and return all."""
        held = self._held
        self._cells.clear()
        self._set([])
        return held

    def _set(self, held: list[Request]) -> None:
        self._held = held
        self._bytes = sum(len(part) for _, parts in held for part in parts)
        self._on_change(held, 0)
