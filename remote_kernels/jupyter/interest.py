"""What is asked again and again while somebody looks at it, and told when it changes.

A page asks once (a GET of the REST API); for ten minutes from then on the server asks
by itself, and every page hears of what is new by one event. So no page polls, and ten
of them cost what one does. Made by the server extension for the jobs and the queues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from remote_kernels import harmless
from remote_kernels.errors import RemoteKernelError

EVERY = 30.0  # seconds between two questions, growing while nothing changes to
SLOWEST = 4  # times that
LASTS = 600.0  # seconds after the last GET in which somebody is taken to look

log = harmless.logger(__name__)

Body = dict[str, Any]


class Interest:
    """One thing that is asked for. To be used on one event loop.

    Parameters
    ----------
    ask:
        Asks anew, and returns what a GET answers. Its `asked` (when that was) is no
        news. Raises RemoteKernelError; then it is asked again later.
    emit:
        Emits an event with that. `stale` is false in it; true in a last one, of what
        was told last, when nobody asks any more: a page that still shows it may GET it
        once again.
    every:
        Seconds between two questions, at first.
    lasts:
        Seconds for which it goes on after the last GET.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[Body]],
        emit: Callable[[Body], object],
        every: float = EVERY,
        lasts: float = LASTS,
    ) -> None:
        self._ask = ask
        self._emit = emit
        self._every = every
        self._lasts = lasts
        self._until = float("-inf")  # loop time
        self._last: Body = {}  # what pages know
        self._pause = every
        self._task: asyncio.Task[None] | None = None

    def shown(self, body: Body) -> None:
        """Note that a GET was answered with this; somebody looks at it from now on."""
        loop = asyncio.get_running_loop()
        is_new = self._task is not None and _news(body) != _news(self._last)
        self._last = body
        self._until = loop.time() + self._lasts
        self._pause = self._every
        if is_new:  # other pages have not seen it
            self._emit({**body, "stale": False})
        if self._task is None:
            self._task = loop.create_task(self._go_on())

    def stop(self) -> None:
        """Ask no more: the server stops."""
        if self._task is not None:
            self._task.cancel()

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while (left := self._until - loop.time()) > 0:
                await asyncio.sleep(min(self._pause, left))
                if loop.time() < self._until:
                    await self._look()
            self._emit({**self._last, "stale": True})
        finally:
            self._task = None

    async def _look(self) -> None:
        """Ask, and tell if it is news; while it is none, less and less often."""
        self._pause = min(2 * self._pause, SLOWEST * self._every)
        try:
            body = await self._ask()
        except RemoteKernelError as exc:
            log.info("asked for in vain: %s", exc)
            return
        if _news(body) != _news(self._last):
            self._pause = self._every
            self._emit({**body, "stale": False})
        self._last = body


def _news(body: Body) -> Body:
    return {name: value for name, value in body.items() if name != "asked"}
