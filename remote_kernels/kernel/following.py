"""A log as it is written, for who looks at it in a page.

Rules: the disk is asked every two seconds, in a thread of its own, which may stall; no
more than `MOST` is in memory. Called by the server's REST API.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from remote_kernels.worker import Worker

from .tail import Tail

LOOK = 2.0  # seconds
MOST = 256 * 1024  # bytes at once
STILL = 2  # looks at which nothing is new, after the kernel's end


async def follow(
    path: Path,
    lines: int,
    is_over: Callable[[], Awaitable[bool]],
    pause: float = LOOK,
) -> AsyncGenerator[bytes, None]:
    """Yield the last lines of a log, and what is written to it until nobody does.

    To be closed (contextlib.aclosing) where it is left early.

    Parameters
    ----------
    path:
        The log, which may not exist yet; it may be emptied, and renamed to NAME.1.
    lines:
        How many.
    is_over:
        Whether who writes it has ended.
    pause:
        Seconds between looks.
    """
    worker, tail, still = Worker(), Tail(path, MOST), 0
    try:
        yield await worker.run(lambda: tail.last(lines))
        while still < STILL:
            over = await is_over()
            text = await worker.run(tail.more)
            still = still + 1 if over and not text else 0
            if text:
                yield text
            if len(text) < MOST:
                await asyncio.sleep(pause)
    finally:
        worker.post(tail.close)
