"""Calls that may stall, one after the other, off the event loop.

A file server that does not answer stops whoever asks it for as long as that lasts. So
each record has a worker: it stalls alone, and its files are written in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """A thread that is there while there is something to do. Safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[Callable[[], Any]] = deque()
        self._runs = False

    def post(self, call: Callable[[], Any]) -> None:
        """Have this done after all that was asked for before; it must not raise."""
        with self._lock:
            self._calls.append(call)
            if self._runs:
                return
            self._runs = True
        threading.Thread(target=self._work, name="record", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._calls:
                    self._runs = False
                    return
                call = self._calls.popleft()
            call()

    async def run(self, call: Callable[[], T]) -> T:
        """Return what the call returns, once all that was asked for before is done.

        Raises what it raises. It is done also when nobody awaits it any more.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def deliver(settle: Callable[[Any], None], value: Any) -> None:
            if not future.done():
                settle(value)

        def work() -> None:
            settle: Callable[[Any], None] = future.set_result
            value: Any = None
            try:
                value = call()
            except BaseException as exc:  # noqa: BLE001 - raised where it is awaited
                settle, value = future.set_exception, exc
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(deliver, settle, value)

        self.post(work)
        return await future
