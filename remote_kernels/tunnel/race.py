"""Attempts side by side: each has a head start before the next, and the first wins.

In the manner of RFC 8305 (happy eyeballs), section 5. Used for carriers and, within
one, for the addresses of a node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class Outcome(Generic[T]):
    """What came of it, by the number of the attempt.

    Parameters
    ----------
    winner : tuple or None
        The first that succeeded, and what it returned; None: none did.
    errors : dict
        Why others failed before.
    losers : dict
        Those that had begun and were cancelled; they may still be putting away what
        they had made.
    """

    winner: tuple[int, T] | None = None
    errors: dict[int, Exception] = field(default_factory=dict)
    losers: dict[asyncio.Task[T], int] = field(default_factory=dict)


async def race(
    attempts: Iterable[Callable[[], Coroutine[Any, Any, T]]],
    head_start: Callable[[int], Coroutine[Any, Any, None]],
    discard: Callable[[T], None],
    final: type[Exception] | tuple[()] = (),
) -> Outcome[T]:
    """Wait until one succeeds or all have failed.

    Cancelled, or with a final error, it leaves when all attempts have come to their end.

    Parameters
    ----------
    attempts : iterable of callable
        Each tries one way. An exception says that it is none.
    head_start : callable
        How long the next attempt waits for the one of that number; not at all once that
        has failed.
    discard : callable
        Gets what another has made in the same moment as the winner.
    final : exception type
        An error of this kind is raised at once.
    """
    outcome: Outcome[T] = Outcome()
    running = outcome.losers
    waiting = list(enumerate(attempts))
    pause: asyncio.Task[None] | None = None
    try:
        while (waiting or running) and outcome.winner is None:
            if waiting and (pause is None or pause.done()):
                number, attempt = waiting.pop(0)
                running[asyncio.ensure_future(attempt())] = number
                pause = asyncio.ensure_future(head_start(number))
            pauses = [pause] if pause and not pause.done() else []
            await asyncio.wait({*running, *pauses}, return_when=asyncio.FIRST_COMPLETED)
            newest = max(running.values())
            for task, number in list(running.items()):
                if not task.done() or outcome.winner is not None:
                    continue
                del running[task]
                error = task.exception()
                if error is None:
                    outcome.winner = number, task.result()
                elif isinstance(error, final) or not isinstance(error, Exception):
                    raise error
                else:
                    outcome.errors[number] = error
                    if number == newest:
                        await end(pauses)
    except BaseException:
        await end(running)
        for task in running:  # one may have succeeded at this very moment
            _put_away(task, discard)
        raise
    finally:
        await end([pause] if pause else [])
    for task in running:
        task.add_done_callback(lambda task: _put_away(task, discard))
        task.cancel()
    return outcome


def _put_away(task: asyncio.Task[T], discard: Callable[[T], None]) -> None:
    if not task.cancelled() and task.exception() is None:
        discard(task.result())


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end; what they say is of no interest any more."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending)
    for task in ending:
        if not task.cancelled():
            task.exception()
