"""What this process's control groups say: limits and use.

Sources, by the names of the kernel's admin guide: `cgroup-v1/memory` and `cgroup-v2`;
of /proc/self/cgroup and the places in /sys: cgroups(7). A controller is in one
hierarchy, of version 1 or 2. Each `root` is for tests. Used by node_facts.py and usage.py.
"""

from __future__ import annotations

import contextlib
import math
import os

from .small_files import number_in, table_in, text_in

# A v1 group without a limit shows the greatest multiple of the page size that fits
# into 63 bits: 2**63 - 4096 on x86-64, 2**63 - 65536 where pages have 64 KiB.
NO_LIMIT = 2**62


def groups(controller: str, root: str = "/") -> tuple[int, list[str]]:
    """Return a controller's version, our group's directory and those above it.

    The innermost is first; those that we cannot see (a container's) may not exist.
    """
    rows: dict[str, str] = {}
    with contextlib.suppress(OSError):
        path = os.path.join(root, "proc/self/cgroup")
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                _, names, group = line.rstrip("\n").split(":", 2)
                rows.update(dict.fromkeys(names.split(","), group))
    top = os.path.join(root, "sys/fs/cgroup")
    version = 1 if controller in rows else 2
    if version == 1:
        top = os.path.join(top, controller)
    group = rows.get(controller, rows.get("", "")).rstrip("/")
    directories = []
    while group:
        directories.append(top + group)
        group = group.rpartition("/")[0]
    return version, [*directories, top]


def memory(root: str = "/") -> tuple[int, int] | None:
    """Return bytes in use and their limit, of the group whose limit is the tightest.

    None: there is no limit. Of groups with the same limit the outermost counts, as
    Slurm's group of the job around those of its steps: all of them fill it.
    """
    version, directories = groups("memory", root)
    read = _memory_v1 if version == 1 else _memory_v2
    tightest = None
    for directory in directories:
        found = read(directory)
        if found is not None and (tightest is None or found[1] <= tightest[1]):
            tightest = found
    return tightest


# `inactive_file` is page cache that is taken back before anybody is killed: who reads
# a large file has not used up his memory. (v1's plain figure leaves out groups below.)


def _memory_v1(directory: str) -> tuple[int, int] | None:
    """`hierarchical_memory_limit` heeds the groups above, also unseen ones."""
    stat = table_in(os.path.join(directory, "memory.stat"))
    used = number_in(os.path.join(directory, "memory.usage_in_bytes"))
    limit = stat.get("hierarchical_memory_limit")
    if used is None or limit is None or limit >= NO_LIMIT:
        return None
    return max(0, used - stat.get("total_inactive_file", 0)), limit


def _memory_v2(directory: str) -> tuple[int, int] | None:
    """`memory.max` is `max` without a limit; the root group has no such file."""
    used = number_in(os.path.join(directory, "memory.current"))
    limit = number_in(os.path.join(directory, "memory.max"))
    if used is None or limit is None:
        return None
    stat = table_in(os.path.join(directory, "memory.stat"))
    return max(0, used - stat.get("inactive_file", 0)), limit


def cpus(root: str = "/") -> int | None:
    """Return how many CPUs the tightest quota is worth, rounded up; None without one.

    Sources: `scheduler/sched-bwc` (v1: a quota of -1 is none); `cpu.max` in `cgroup-v2`.
    """
    version, directories = groups("cpu", root)
    quotas = []
    for directory in directories:
        if version == 1:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            words = [text_in(os.path.join(directory, name)) for name in names]
        else:
            words = text_in(os.path.join(directory, "cpu.max")).split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
            quotas.append(math.ceil(int(words[0]) / int(words[1])))
    return max(1, min(quotas)) if quotas else None
