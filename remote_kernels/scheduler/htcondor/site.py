"""What this pool has, and what of a request no machine of it could give.

Rules: pure; argv out, text in. A doubt is a guess that never refuses anything: a pool may
get machines as jobs ask for them. Called by `driver.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from remote_kernels.options import as_bytes
from remote_kernels.scheduler.job import Completed, Query

# What a whole machine, or a slot of a fixed size, has; not what is left of it.
_ARGV = (
    *("condor_status", "-json", "-constraint", 'SlotType =!= "Dynamic"'),
    *("-attributes", "TotalSlotCpus,TotalSlotMemory,TotalSlotGPUs"),
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


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
