"""Waiting with a limit, and between attempts. Used wherever something may never come."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


async def within(awaitable: Awaitable[T], seconds: float | None) -> T:
    """Wait as asyncio.wait_for does since Python 3.12.

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
    """Return between half of it and all: hundreds may have failed at the same moment."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311


def backoff(first: float, last: float) -> Iterator[float]:
    """Yield seconds to wait before each next attempt, without end.

    Parameters
    ----------
    first : float
        Seconds, doubled each time.
    last : float
        Seconds, at most. All are spread.
    """
    while True:
        yield spread(first)
        first = min(first * 2, last)


async def first_of(*awaitables: Awaitable[T]) -> T:
    """Wait until one of them is done, and return its result or raise its exception.

    The others are cancelled, and have ended when this returns. Of those that are done
    at once, the one that was given first counts. A future that must live on is to be
    given as asyncio.shield(future).
    """
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def waited(task: asyncio.Future[Any], patience: float | None) -> None:
    """Wait so many seconds for what goes on all the same; None: for as long as it takes.

    Whoever waits without a limit is alone: cancelled, they end it first.
    """
    try:
        await asyncio.wait((task,), timeout=patience)
    except asyncio.CancelledError:
        if patience is None:
            task.cancel()
            await asyncio.wait((task,))
        raise
