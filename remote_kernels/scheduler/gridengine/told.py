"""What a job of Grid Engine's is told by its environment, and by the file that this names.

Called by what runs in the job: its magics, and its launcher of helpers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from remote_kernels.scheduler import environment

from .driver import SITE, GridEngine

# GPUs are of one node; RK_* is what our batch script has told.
_OF_THE_JOB = (*GridEngine.guarded, "RK_*", "XDG_RUNTIME_DIR", "CUDA_VISIBLE_DEVICES")


def is_of_the_job(name: str) -> bool:
    """Return whether a variable speaks of the job that it was found in."""
    return name not in SITE and environment.matches(name, _OF_THE_JOB)


def number(environ: Mapping[str, str]) -> str:
    """Return the number of the enclosing job; "" outside of one.

    JOB_ID alone may be anybody's.
    """
    return environ.get("JOB_ID", "") if environ.get("SGE_TASK_ID") else ""


def here(environ: Mapping[str, str]) -> str:
    """Return the name of this node, as Grid Engine has it."""
    return environ.get("HOSTNAME") or os.uname().nodename


def slots(environ: Mapping[str, str]) -> dict[str, int]:
    """Return how many slots the job has on each of its nodes; this one is the first.

    Without a parallel environment there is no file of them, and one node.
    """
    count = environ.get("NSLOTS", "")
    alone = {here(environ): int(count) if count.isdigit() else 1}
    try:
        listed = Path(environ["PE_HOSTFILE"]).read_text()
    except (KeyError, OSError):
        return alone
    found: dict[str, int] = {}
    for line in listed.splitlines():
        host, slots, *_ = line.split()
        found[host] = found.get(host, 0) + int(slots)  # a line for each queue
    return found or alone
