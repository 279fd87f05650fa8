"""What a kernel uses of its node: CPU, memory, GPUs.

Read from /proc, from the control groups and from nvidia-smi. A sample may take a
while, so the agent takes it in a thread. Called by endpoint.py.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from . import cgroup
from .culling import cpu_seconds
from .gpus import Gpus

Sample = dict[str, Any]

NEARLY = 0.1  # of the greatest process have all others together
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Sampler:
    """Measures some processes.

    Parameters
    ----------
    sessions : callable
        The process sessions to be measured, as of now.
    """

    def __init__(self, sessions: Callable[[], list[int]]) -> None:
        self._sessions = sessions
        self._before: tuple[list[int], float, float] | None = None
        self._gpus = Gpus()

    def sample(self) -> Sample:
        """Measure. Blocks; to be called by one thread at a time.

        cpu_percent:
            Since the sample before; 100.0 is one CPU in full use. None in the first,
            and when processes have ended and taken their time along.
        cpus:
            How many it may use.
        memory, memory_limit:
            Bytes; of the whole job where it has a limit. Without one (None), of the
            processes.
        gpus:
            The job's: index, name, utilization (percent), memory and memory_total
            (bytes); None for what a GPU does not tell.
        """
        sessions = self._sessions()
        used, limit = memory(sessions)
        return {
            "cpu_percent": self._cpu_percent(sessions),
            "cpus": usable_cpus(),
            "memory": used,
            "memory_limit": limit,
            "gpus": self._gpus.now(),
        }

    def _cpu_percent(self, sessions: list[int]) -> float | None:
        now, (used, _) = time.monotonic(), cpu_seconds(sessions)
        before, self._before = self._before, (sessions, now, used)
        if before is None or before[0] != sessions or used < before[2]:
            return None
        return round(100.0 * (used - before[2]) / max(now - before[1], 1e-9), 1)


def usable_cpus() -> int:
    """Return how many CPUs we may use: the control group's quota where it is smaller."""
    allowed = len(os.sched_getaffinity(0))
    quota = cgroup.cpus()
    return allowed if quota is None else min(allowed, quota)


def memory(sessions: Iterable[int]) -> tuple[int, int | None]:
    """Return bytes used, and the limit; of these sessions, where the job has none."""
    return cgroup.memory() or (resident(sessions), None)


def resident(sessions: Iterable[int]) -> int:
    """Return the bytes of memory of all processes in these sessions.

    A page of several processes counts in equal parts (PSS): children of a fork share
    nearly all of theirs, so a sum of resident sizes says a multiple of what is used.
    But Linux walks through all pages for that (10 ms a GiB were seen), so not where one
    process has nearly all.
    """
    wanted, sizes = set(sessions), {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                if os.getsid(int(name)) in wanted:
                    sizes[f"/proc/{name}"] = _resident_size(f"/proc/{name}")
    total, greatest = sum(sizes.values()), max(sizes.values(), default=0)
    if total - greatest <= NEARLY * greatest:
        return total
    return sum(_share(directory, size) for directory, size in sizes.items())


def _resident_size(directory: str) -> int:
    """Source: proc(5), statm. Raises OSError."""
    with open(f"{directory}/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE


def _share(directory: str, size: int) -> int:
    """Its PSS; its `size` where that is not told (a setuid program, Linux < 4.14).

    Source: proc(5), smaps_rollup.
    """
    with contextlib.suppress(OSError), open(f"{directory}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return size
