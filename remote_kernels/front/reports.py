"""Tells the agent, from time to time, what its kernel's clients surely have.

Called by clients.py with each message's fate.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from remote_kernels.wire.kernel_sockets import KEPT

from .progress import SETTLE, Progress


class Told(Protocol):
    """Called with what has been delivered; see wire.control.Delivered."""

    def __call__(self, target: str, through: int, forget: int) -> None: ...


class Reports:
    """For one kernel, of all its sockets whose messages are kept."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._progress = {target: Progress() for target in KEPT}
        self._reported: dict[str, tuple[int, int]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begins(self, cell: str, number: int) -> None:
        """With this message on iopub."""
        self._progress["iopub"].begins(cell, number)

    def ends(self, cell: str, number: int) -> None:
        """With this message on iopub."""
        self._progress["iopub"].ends(cell, number)

    def held(self, target: str, number: int) -> None:
        self._progress[target].held(number)

    def handed_on(self, target: str, number: int) -> None:
        self._progress[target].handed_on(number, _now())

    def report_later(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(SETTLE * 1.05, self._report)

    def _report(self) -> None:
        self._timer = None
        for target, progress in self._progress.items():
            positions = progress.positions(_now())
            if positions != self._reported.get(target, (0, 0)):
                self._reported[target] = positions
                self._told(target, *positions)
            if progress.unsettled:
                self.report_later()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _now() -> float:
    return asyncio.get_running_loop().time()
