"""Which of a kernel's messages its clients surely have. Pure; time is an argument.

Nobody tells us what has reached a browser. So a message counts as delivered when it
was handed on SETTLE seconds ago, and the output of a cell is asked for again from its
start as long as the cell's end is not delivered: whoever comes after us clears the
cell's output and repeats all of it, which is right wherever we stopped.
"""

from __future__ import annotations

from collections import deque

SETTLE = 2.0  # seconds for a message to pass through the notebook server


class Delivery:
    """What has been delivered of one channel."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float]] = deque()
        self._open: dict[str, int] = {}  # cell (parent's msg_id): its first message
        self._ends: deque[tuple[int, str]] = deque()  # last messages of cells
        self._held: dict[int, None] = {}  # their client is, or just was, away
        self._through = 0

    def handed_on(self, number: int, now: float) -> None:
        """Note that a message was handed on at this time, in seconds."""
        self._recent.append((number, now))

    def held(self, number: int) -> None:
        """Note that a message waits for its client."""
        self._held[number] = None

    def begins(self, cell: str, number: int) -> None:
        """Note that a cell, by its msg_id, begins with this message."""
        self._open.setdefault(cell, number)

    def ends(self, cell: str, number: int) -> None:
        """Note that a cell ends with this message."""
        if cell in self._open:
            self._ends.append((number, cell))

    @property
    def is_unsettled(self) -> bool:
        """Whether `positions` will change with time alone."""
        return bool(self._recent)

    def positions(self, now: float) -> tuple[int, int]:
        """Return how far the messages are delivered, and how far not needed again.

        Both are numbers of messages, at this time in seconds.
        """
        while self._recent and self._recent[0][1] <= now - SETTLE:
            number, _ = self._recent.popleft()
            self._through = max(self._through, number)
            self._held.pop(number, None)
        through = self._through
        if self._held:
            through = min(through, next(iter(self._held)) - 1)
        while self._ends and self._ends[0][0] <= through:
            self._open.pop(self._ends.popleft()[1], None)
        forget = min([through, *(first - 1 for first in self._open.values())])
        return through, forget
