"""Work that may take long, in a thread of its own. Called by the agent's other files."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def in_thread(work: Callable[[], T]) -> Awaitable[T]:
    """Return what `work` returns; neither the event loop waits, nor the agent's end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def finish(result: T | Exception) -> None:
        if done.done():  # cancelled
            return
        if isinstance(result, Exception):
            done.set_exception(result)
        else:
            done.set_result(result)

    def do() -> None:
        result: T | Exception
        try:
            result = work()
        except Exception as exc:  # noqa: BLE001 - raised where it is awaited
            result = exc
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(finish, result)

    threading.Thread(target=do, daemon=True).start()
    return done
