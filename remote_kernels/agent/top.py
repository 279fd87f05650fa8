"""What the processes of a kernel's job use on this node, again and again.

Ends when its standard input does: whoever looks has then gone, however he went. Used
by inside.py.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from typing import Any

from . import job_facts, processes
from .gpus import Gpus
from .node_dir import kernel_pid
from .of_job import OfJob
from .processes import Process
from .usage import of_job

FIRST = 1.0  # seconds from the first look, which knows no speeds, to the second


class Look:
    """At the processes of one job, by a child of its agent's."""

    def __init__(self, node_dir: str, kernel: str) -> None:
        self._node_dir = node_dir
        self._kernel = kernel
        self._of_job = OfJob()
        self._before: dict[tuple[int, int], float] = {}
        self._at = time.monotonic()
        self._gpus = Gpus()

    def sample(self) -> dict[str, Any]:
        """Look now; `cpu_percent` is since the look before, 100.0 one CPU in full use.

        Memory is in bytes, a process's `time` in seconds of CPU. The first process is
        the kernel's, if it has one.
        """
        there = processes.every()
        kernel = kernel_pid(self._node_dir, self._kernel, there)
        found = [there[pid] for pid in self._of_job.among(there)]
        now = time.monotonic()
        speeds = [self._speed(process, now) for process in found]
        self._before = {(p.pid, p.started): p.cpu for p in found}
        self._at = now
        rows = [_row(p, speed) for p, speed in zip(found, speeds)]
        rows.sort(key=lambda row: (row["pid"] != kernel, -row["cpu_percent"]))
        return {
            "time": time.time(),
            "node": job_facts.node(),
            "kernel_pid": kernel or None,
            "cpu_percent": round(sum(speeds), 1),
            **of_job({p.session for p in found}, self._gpus),
            "processes": rows,
        }

    def _speed(self, process: Process, now: float) -> float:
        """One that is new has done all of its work since the look before."""
        before = self._before.get((process.pid, process.started), 0.0)
        spent = max(0.0, process.cpu - before)
        return round(100.0 * spent / max(now - self._at, 1e-9), 1)


def _row(process: Process, speed: float) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "parent": process.parent,
        "cpu_percent": speed,
        "memory": process.memory,
        "time": process.cpu,
        "threads": process.threads,
        "state": process.state,
        "command": " ".join(processes.argv(process.pid)) or process.name,
    }


def stream(node_dir: str, kernel: str, options: dict[str, Any]) -> int:
    """Print a line of JSON every `interval` seconds; with `once`, one."""
    look = Look(node_dir, kernel)
    look.sample()
    wait = FIRST
    while not select.select([0], [], [], wait)[0] or os.read(0, 4096):
        try:
            sys.stdout.write(json.dumps(look.sample()) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            sys.stdout = None  # so that nothing is flushed at exit
            return 0
        if options["once"]:
            break
        wait = options["interval"]
    return 0
