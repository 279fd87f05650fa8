"""What a kernel uses of its node: CPU, memory, GPUs.

Read from /proc, from the control groups and from nvidia-smi. A sample may take a
while, so the agent takes it in a thread. Called by kernel_session.py and top.py.
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
from .processes import Process, every
from .small_files import text_in

Sample = dict[str, Any]

NEARLY = 0.1  # of the greatest process have all others together


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
        node_memory, node_available:
            Bytes, of the node; None where they are not known.
        gpus:
            The job's: index, name, utilization (percent), memory and memory_total
            (bytes); None for what a GPU does not tell.
        """
        sessions, there = self._sessions(), [*every(os.getuid()).values()]
        speed = self._cpu_percent(sessions, there)
        return {"cpu_percent": speed, **of_job(sessions, self._gpus, there)}

    def _cpu_percent(
        self, sessions: list[int], there: Iterable[Process]
    ) -> float | None:
        now, (used, _) = time.monotonic(), cpu_seconds(sessions, there)
        before, self._before = self._before, (sessions, now, used)
        if before is None or before[0] != sessions or used < before[2]:
            return None
        return round(100.0 * (used - before[2]) / max(now - before[1], 1e-9), 1)


def usable_cpus() -> int:
    """Return how many CPUs we may use: the control group's quota where it is smaller."""
    allowed = len(os.sched_getaffinity(0))
    quota = cgroup.cpus()
    return allowed if quota is None else min(allowed, quota)


def of_job(
    sessions: Iterable[int], gpus: Gpus, there: Iterable[Process] | None = None
) -> Sample:
    """Return what `Sampler.sample` tells besides the use of CPUs, of these sessions.

    `there` are the processes to look at, if they are known.
    """
    used, limit = cgroup.memory() or (resident(sessions, there), None)
    return {
        "cpus": usable_cpus(),
        "memory": used,
        "memory_limit": limit,
        "gpus": gpus.now(),
        **dict(zip(("node_memory", "node_available"), node_memory())),
    }


def node_memory() -> tuple[int | None, int | None]:
    """Return the bytes of memory of this node, and what is available of them."""
    rows = (line.split() for line in text_in("/proc/meminfo").splitlines())
    found = {row[0]: int(row[1]) * 1024 for row in rows if len(row) == 3}
    return found.get("MemTotal:"), found.get("MemAvailable:")


def resident(sessions: Iterable[int], there: Iterable[Process] | None = None) -> int:
    """Return the bytes of memory of all processes in these sessions.

    A page of several processes counts in equal parts (PSS): children of a fork share
    nearly all of theirs, so a sum of resident sizes says a multiple of what is used.
    But Linux walks through all pages for that (10 ms a GiB were seen), so not where one
    process has nearly all.
    """
    wanted = set(sessions)
    there = every().values() if there is None else there
    sizes = {p.pid: p.memory for p in there if p.session in wanted}
    total, greatest = sum(sizes.values()), max(sizes.values(), default=0)
    if total - greatest <= NEARLY * greatest:
        return total
    return sum(_share(f"/proc/{pid}", size) for pid, size in sizes.items())


def _share(directory: str, size: int) -> int:
    """Its PSS; its `size` where that is not told (a setuid program, Linux < 4.14).

    Source: proc(5), smaps_rollup.
    """
    with contextlib.suppress(OSError), open(f"{directory}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return size
