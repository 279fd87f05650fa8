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
from .processes import every

LONGEST_LOOK = 60.0  # seconds between two looks
IDLE = 0.02  # CPUs; ipykernel 7 with nothing to do was seen at 0.003
# They sleep while what they started computes on other nodes.
LAUNCHERS = ("mpirun", "mpiexec", "prun")


def cpu_seconds(sessions: Iterable[int]) -> tuple[float, bool]:
    """Return the seconds of CPU of all processes in these sessions.

    The time of a process that has ended is its parent's. The other value is whether a
    launcher is among them.
    """
    wanted, launchers = set(sessions), {*LAUNCHERS, *job_facts.launchers()}
    found = [process for process in every().values() if process.session in wanted]
    used = sum(process.cpu + process.waited for process in found)
    return used, any(process.name in launchers for process in found)


class Culler:
    """Decides when a kernel is forgotten.

    Parameters
    ----------
    silence:
        Seconds.
    record:
        The record's directory.
    attached:
        Whether a login end is there now.
    sessions:
        The process sessions of the kernels (each leads one).
    """

    def __init__(
        self,
        silence: float,
        record: str,
        attached: Callable[[], bool],
        sessions: Callable[[], list[int]],
    ) -> None:
        self._silence = silence
        self._record = record
        self._attached = attached
        self._sessions = sessions

    def _is_recordless(self) -> bool:
        """Return whether the record was removed, rather than its file system is away."""
        above = os.path.dirname(os.path.dirname(self._record))
        return os.path.isdir(above) and not os.path.isdir(self._record)

    async def forgotten(self) -> str:
        """Wait until the kernel is forgotten; return why, in words for the record."""
        look = min(LONGEST_LOOK, self._silence / 10)
        active = before = time.monotonic()
        used, _ = cpu_seconds(self._sessions())
        while True:
            await asyncio.sleep(look)
            if self._is_recordless():
                return "its record was removed"
            now, (total, launcher) = time.monotonic(), cpu_seconds(self._sessions())
            # Less than before: a process ended with its time, which counts as work.
            busy = not 0 <= total - used < IDLE * (now - before)
            suspended = now - before > self._silence / 2  # nor did we look
            used, before = total, now
            if busy or launcher or suspended or self._attached():
                active = now
            elif now - active >= self._silence:
                return f"nobody was attached and it was idle for {self._silence:g} s"
