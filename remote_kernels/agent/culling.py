"""A kernel that everybody has forgotten must not hold its node.

It ends when for the configured silence no login end was there and its processes were
idle by CPU use: computing is never interrupted, however long nobody looks. It ends,
too, when its record is gone: then nobody can find it any more.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable

from . import job_facts
from .processes import Process, every

LONGEST_LOOK = 60.0  # seconds between two looks
IDLE = 0.02  # CPUs; ipykernel 7 with nothing to do was seen at 0.003
# They sleep while what they started computes on other nodes.
LAUNCHERS = ("mpirun", "mpiexec", "prun")


def cpu_seconds(
    sessions: Iterable[int], there: Iterable[Process] | None = None
) -> tuple[float, bool]:
    """Return the seconds of CPU of all processes in these sessions.

    The time of a process that has ended is its parent's. The other value is whether a
    launcher is among them. `there` are the processes to look at, if they are known.
    """
    there = every().values() if there is None else there
    wanted, launchers = set(sessions), {*LAUNCHERS, *job_facts.launchers()}
    found = [process for process in there if process.session in wanted]
    used = sum(process.cpu + process.waited for process in found)
    return used, any(process.name in launchers for process in found)


def _is_recordless(record: str) -> bool:
    """Return whether the record was removed, rather than that its file system is away."""
    above = os.path.dirname(os.path.dirname(record))
    return os.path.isdir(above) and not os.path.isdir(record)


async def forgotten(
    silence: float,
    record: str,
    attached: Callable[[], bool],
    sessions: Callable[[], list[int]],
) -> str:
    """Wait until a kernel is forgotten; return why, in words for its record.

    Parameters
    ----------
    silence : float
        Seconds.
    record : str
        The record's directory.
    attached : callable
        Whether a login end is there now.
    sessions : callable
        The process sessions of the kernels (each leads one).
    """
    look = min(LONGEST_LOOK, silence / 10)
    active = before = time.monotonic()
    used, _ = cpu_seconds(sessions())
    while True:
        await asyncio.sleep(look)
        if _is_recordless(record):
            return "its record was removed"
        now, (total, launcher) = time.monotonic(), cpu_seconds(sessions())
        # Less than before: a process ended with its time, which counts as work.
        busy = not 0 <= total - used < IDLE * (now - before)
        suspended = now - before > silence / 2  # nor did we look
        used, before = total, now
        if busy or launcher or suspended or attached():
            active = now
        elif now - active >= silence:
            return f"nobody was attached and it was idle for {silence:g} s"
