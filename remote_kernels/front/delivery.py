"""Which of a kernel's messages its clients surely have; the agent is told now and then.

Nobody tells us what has reached a browser. So a message counts as delivered when it
was handed on SETTLE seconds ago, and the output of a cell is asked for again from its
start as long as the cell's end is not delivered: whoever comes after us clears the
cell's output and repeats all of it, which is right wherever we stopped. Of a cell that
is kept for pages (see transcripts.py) it is needed until that is released.
"""

from __future__ import annotations

import asyncio
from collections import deque

from remote_kernels.wire.kernel_sockets import KEPT

from .interfaces import OnDelivered

SETTLE = 2.0  # seconds for a message to pass through the notebook server
REPORT_AFTER = SETTLE * 1.05  # seconds


class Delivery:
    """What has been delivered of one channel. Pure; time is an argument."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float]] = deque()
        self._open: dict[str, int] = {}  # cell (parent's msg_id): its first message
        self._ends: deque[tuple[int, str]] = deque()  # last messages of cells
        self._kept: set[str] = set()  # cells that are needed beyond their end
        self._over: set[str] = set()  # of these, whose end is delivered
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

    def keep(self, cell: str) -> None:
        """Need a cell beyond its end, until it is released."""
        self._kept.add(cell)

    def release(self, cell: str) -> None:
        """Need a cell no more than any other."""
        self._kept.discard(cell)
        if cell in self._over:
            self._over.remove(cell)
            self._open.pop(cell, None)

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
            _, cell = self._ends.popleft()
            if cell in self._kept:
                self._over.add(cell)
            else:
                self._open.pop(cell, None)
        forget = min([through, *(first - 1 for first in self._open.values())])
        return through, forget


class DeliveryReports:
    """The deliveries of one kernel, from all its sockets whose messages are kept.

    Called with each message's fate.
    """

    def __init__(self, on_delivered: OnDelivered) -> None:
        self._on_delivered = on_delivered
        self.deliveries = {target: Delivery() for target in KEPT}
        self._reported = dict.fromkeys(KEPT, (0, 0))
        self._timer: asyncio.TimerHandle | None = None

    def held(self, target: str, number: int) -> None:
        """Note that a message's client is away."""
        self.deliveries[target].held(number)

    def handed_on(self, target: str, number: int) -> None:
        """Note that a message is on its way to its client."""
        now = asyncio.get_running_loop().time()
        self.deliveries[target].handed_on(number, now)
        self._report_later()

    def replied(self, request: str, number: int) -> None:
        """Note that a kept request was answered by this message on shell."""
        self.deliveries["shell"].begins(request, number)
        self.deliveries["shell"].ends(request, number)

    def keep(self, request: str) -> None:
        """Need all that is said of a request beyond its end, until it is released."""
        for delivery in self.deliveries.values():
            delivery.keep(request)

    def release(self, request: str) -> None:
        """Need it no more than any other."""
        for delivery in self.deliveries.values():
            delivery.release(request)
        self._report_later()

    def _report_later(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(REPORT_AFTER, self._report)

    def _report(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer, now = None, loop.time()
        for target, delivery in self.deliveries.items():
            positions = delivery.positions(now)
            if positions != self._reported[target]:
                self._reported[target] = positions
                self._on_delivered(target, *positions)
            if delivery.is_unsettled:
                self._report_later()

    def close(self) -> None:
        """Report no more."""
        if self._timer is not None:
            self._timer.cancel()
