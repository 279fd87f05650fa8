"""Waiting with a limit, and between attempts. Used wherever something may never come."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(awaitable: Awaitable[T], seconds: float | None) -> T:
    """asyncio.wait_for as it is since Python 3.12.

    The older one forgets a cancellation that comes together with the result: a task
    that was to end then goes on. Raises asyncio.TimeoutError.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait((task,), timeout=seconds)
    finally:
        late = not task.done()
        if late:
            task.cancel()
            await asyncio.wait((task,))
    if late and task.cancelled():
        raise asyncio.TimeoutError
    return task.result()


def spread(seconds: float) -> float:
    """At random from half of it on: hundreds may have failed at the same moment."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311
