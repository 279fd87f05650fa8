"""Work that may take long, in a thread of its own. Called by the agent's other files."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_thread(work: Callable[[], T]) -> Awaitable[T]:
    """Return what `work` returns; neither the event loop waits, nor the agent's end."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # who cancels it only waits no longer

    def do() -> None:
        try:
            done.set_result(work())
        except Exception as exc:  # noqa: BLE001 - raised where it is awaited
            done.set_exception(exc)

    threading.Thread(target=do, daemon=True).start()
    return asyncio.wrap_future(done)
