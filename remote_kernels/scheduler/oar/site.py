"""What nodes here have, for who completes an option. Pure; called by `driver.py`.

oarsub itself refuses what no node could ever give, so nothing is doubted here.
"""

from __future__ import annotations

import json

from remote_kernels.scheduler.job import Completed, Query

from .commands import bounded

# Those of OAR itself, of which no user needs any.
_OWN = (
    *("state", "state_num", "next_state", "finaud_decision", "next_finaud_decision"),
    *("scheduler_priority", "suspended_jobs", "last_job_date", "available_upto"),
    *("last_available_upto", "expiry_date", "desktop_computing", "drain", "cpuset"),
    *("resource_id", "besteffort", "deploy", "type"),
)
_MOST = 12  # values of a property of which each is offered


def offers(option: str) -> Query[list[str]] | None:
    """Ask what the option can be; None if nobody knows."""
    if option == "property":
        return Query(bounded("oarnodes", "-J"), _properties)
    return None


def _properties(completed: Completed) -> list[str]:
    """Conditions that some of the nodes meet: those whose property has few values."""
    if completed.returncode != 0 or not completed.stdout.strip():
        return []
    values: dict[str, set[str]] = {}
    for resource in json.loads(completed.stdout).values():
        for name, value in resource.items():
            if name not in _OWN and value not in (None, ""):
                values.setdefault(name, set()).add(str(value))
    return [
        f"{name}='{value}'"
        for name in sorted(values)
        if 1 < len(values[name]) <= _MOST
        for value in sorted(values[name])
    ]
