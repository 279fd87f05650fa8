"""Work that goes on until somebody ends it: Ctrl-C is its ordinary end.

Called by `ls --watch`, `logs --follow`, `top`, `forward` and `attach --file`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(work: Coroutine[Any, Any, None]) -> int:
    """Run until the work is done, or a signal ends it.

    Returns
    -------
    int
        The exit code: 0 after Ctrl-C, after another signal what a shell makes of it.
    """
    ended = asyncio.run(_until_ended(work))
    return 0 if ended in (None, signal.SIGINT) else 128 + ended


def signalled() -> asyncio.Event:
    """Return an event that is set when a signal asks this program to end."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()
    for signum in _ENDS:
        loop.add_signal_handler(signum, event.set)
    return event


async def _until_ended(work: Coroutine[Any, Any, None]) -> signal.Signals | None:
    task = asyncio.ensure_future(work)
    told: list[signal.Signals] = []

    def end(signum: signal.Signals) -> None:
        told.append(signum)
        task.cancel()

    loop = asyncio.get_running_loop()
    for signum in _ENDS:
        loop.add_signal_handler(signum, end, signum)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    finally:
        for signum in _ENDS:
            loop.remove_signal_handler(signum)
    return told[0] if told else None
