"""Measures what a kernel uses of its node: now and then, and when somebody asks.

Made by kernel_session.py, which tells it to the login end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import threads

if TYPE_CHECKING:
    from .usage import Sampler

FRESH = 1.0  # seconds for which a sample is told again to those who ask


class Measuring:
    """One kernel's use.

    Parameters
    ----------
    sessions : callable
        The kernel's process sessions, as of now.
    """

    def __init__(self, sessions: Callable[[], list[int]]) -> None:
        self._sessions = sessions
        self._sampler: Sampler | None = None
        self._last: dict[str, Any] = {}
        self._taken = 0.0
        self._lock = asyncio.Lock()

    async def sample(self, fresh: float = 0.0) -> dict[str, Any]:
        """Return a sample that is no older than so many seconds.

        Raises whatever goes wrong.
        """
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if not self._last or now - self._taken >= fresh:
                if self._sampler is None:
                    from .usage import Sampler  # not before the kernel has started

                    self._sampler = Sampler(self._sessions)
                self._last = await threads.in_thread(self._sampler.sample)
                self._taken = now
            return self._last
