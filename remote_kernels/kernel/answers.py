"""Answers that are good for a while: one question, however many want to know.

Rules: who asks while the question is on its way waits for the same answer; who leaves
does not take it from the others. Failures are answers, too: a batch system that is down
is not asked by every page. Belongs to one event loop. Called by `runtime.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Answers(Generic[T]):
    """The last answers to some questions.

    Parameters
    ----------
    fresh : float
        Seconds for which one is good, from when it came.
    """

    def __init__(self, fresh: float) -> None:
        self._fresh = fresh
        self._asked: dict[object, _Asked[T]] = {}

    async def get(
        self, key: object, ask: Callable[[], Coroutine[Any, Any, T]]
    ) -> tuple[float, T]:
        """Return when the question was asked (since the epoch), and the answer.

        Raises what `ask` raises.
        """
        self._asked = {k: each for k, each in self._asked.items() if each.is_good}
        if key not in self._asked:
            self._asked[key] = _Asked(ask(), self._fresh)
        found = self._asked[key]
        return found.at, await asyncio.shield(found.task)


class _Asked(Generic[T]):
    """A question that was asked."""

    def __init__(self, asking: Coroutine[Any, Any, T], fresh: float) -> None:
        self.at = time.time()
        self._until = float("inf")
        self._fresh = fresh
        self.task = asyncio.ensure_future(asking)
        self.task.add_done_callback(self._came)

    @property
    def is_good(self) -> bool:
        return time.monotonic() < self._until

    def _came(self, task: asyncio.Future[T]) -> None:
        self._until = time.monotonic() + self._fresh
        if not task.cancelled():
            task.exception()  # seen: who asked may have gone
