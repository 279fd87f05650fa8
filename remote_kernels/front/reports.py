"""Tells the agent, from time to time, what its kernel's clients surely have.

Called with each message's fate.
"""

from __future__ import annotations

import asyncio

from remote_kernels.wire.kernel_sockets import KEPT

from .delivery import SETTLE, Delivery
from .interfaces import OnDelivered

REPORT_AFTER = SETTLE * 1.05  # seconds


class DeliveryReports:
    """The deliveries of one kernel, from all its sockets whose messages are kept."""

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
        loop = asyncio.get_running_loop()
        self.deliveries[target].handed_on(number, loop.time())
        if self._timer is None:
            self._timer = loop.call_later(REPORT_AFTER, self._report)

    def _report(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer, now = None, loop.time()
        for target, delivery in self.deliveries.items():
            positions = delivery.positions(now)
            if positions != self._reported[target]:
                self._reported[target] = positions
                self._on_delivered(target, *positions)
            if delivery.is_unsettled and self._timer is None:
                self._timer = loop.call_later(REPORT_AFTER, self._report)

    def close(self) -> None:
        """Report no more."""
        if self._timer is not None:
            self._timer.cancel()
