"""What this pool has, and what of a request no machine of it could give.

Rules: pure; argv out, text in. A doubt is a guess that never refuses anything: a pool may
get machines as jobs ask for them. Called by `driver.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from remote_kernels.options import as_bytes
from remote_kernels.scheduler.free import FreeGpus, NodeGroup, Queue, with_nodes
from remote_kernels.scheduler.job import Completed, Query

from . import answers

# What a whole machine, or a slot of a fixed size, has; not what is left of it.
_ARGV = (
    *("condor_status", "-json", "-constraint", 'SlotType =!= "Dynamic"'),
    *("-attributes", "TotalSlotCpus,TotalSlotMemory,TotalSlotGPUs"),
)
_SLOTS = (
    *_ARGV[:-1],
    "SlotType,State,TotalSlotCpus,Cpus,TotalSlotMemory,TotalSlotGPUs,GPUs",
)
_SHOW = "`condor_status -compact -af Machine {}` shows what the machines have"


def doubts(options: Mapping[str, Any]) -> Query[list[str]]:
    """Ask what cannot be had; the answer has a sentence each, without a full stop."""
    return Query(_ARGV, lambda completed: _doubts(completed, options))


def _doubts(completed: Completed, options: Mapping[str, Any]) -> list[str]:
    said = completed.stdout.strip() if completed.returncode == 0 else ""
    slots = json.loads(said) if said else []
    memory = options.get("request_memory")
    if memory is not None:
        memory = as_bytes(memory) / 1024**2
    asked = (
        ("TotalSlotCpus", options.get("request_cpus"), "CPUs"),
        ("TotalSlotMemory", memory, "MB of memory"),
        ("TotalSlotGPUs", options.get("request_gpus"), "GPUs"),
    )
    found = []
    for attribute, wanted, what in asked:
        most = max((_number(slot.get(attribute)) for slot in slots), default=None)
        if wanted is not None and most is not None and wanted > most:
            text = f"no machine has {wanted:.0f} {what}; the largest has {most:.0f}"
            found.append(f"{text}. {_SHOW.format(attribute)}")
    return found


def queues() -> Query[list[Queue]]:
    """Ask for the machines of the pool, which is all that stands for a queue."""
    return Query(_SLOTS, _pool)


def _pool(completed: Completed) -> list[Queue]:
    if completed.returncode != 0:
        raise answers.no_answer(completed)
    said = completed.stdout.strip()
    slots = json.loads(said) if said else []
    return [with_nodes(Queue("", True, note="all machines"), map(_slot, slots))]


def _slot(ad: Mapping[str, Any]) -> NodeGroup:
    """Read one that is cut up for jobs, and has what is left, or one of a fixed size.

    `State` is Owner where the machine's owner has it, Drained where it gets no jobs.
    """
    is_away = ad.get("State") in ("Owner", "Drained", "Matched", "Preempting")
    cut = ad.get("SlotType") == "Partitionable"
    is_free = not is_away and (cut or ad.get("State") != "Claimed")
    cores = int(_number(ad.get("TotalSlotCpus")))
    left = int(_number(ad.get("Cpus"))) if is_free else 0
    gpus = int(_number(ad.get("TotalSlotGPUs")))
    free = int(_number(ad.get("GPUs"))) if is_free else 0
    return NodeGroup(
        1,
        int(is_free and left == cores),
        cores,
        left,
        int(_number(ad.get("TotalSlotMemory"))) << 20,
        (FreeGpus("", gpus, free),) if gpus else (),
        is_away,
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
