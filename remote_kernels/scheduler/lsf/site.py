"""What this LSF has, and what of a request no queue of it could give.

Rules: pure. A doubt is a guess that never refuses anything. Called by `driver.py`. Forms
of bqueues, bhosts and lsid as 8 to 10.1.0.15 print them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from remote_kernels.scheduler.free import Queue
from remote_kernels.scheduler.job import Completed, Query
from remote_kernels.scheduler.offered import instead

from . import answers


def version(completed: Completed) -> str:
    """Return the first line of lsid, "" if it is none."""
    said = completed.stdout.strip() if completed.returncode == 0 else ""
    first = said.partition("\n")[0].strip()
    return first if "LSF" in first else ""


def cluster(completed: Completed) -> str | None:
    """Return the cluster's name, as lsid says it."""
    found = re.search(r"^\s*My cluster name is (\S+)", completed.stdout, re.MULTILINE)
    return found[1] if found else None


def doubts(options: Mapping[str, Any]) -> Query[list[str]] | None:
    """Ask what cannot be had; the answer has a sentence each, without a full stop."""
    wanted = str(options.get("q", "")).split()
    if not wanted:
        return None

    def read(completed: Completed) -> list[str]:
        there = _table(completed)
        if completed.returncode != 0 or not there:
            return []
        missing = [
            _missing(name, sorted(there)) for name in wanted if name not in there
        ]
        closed = [
            f"queue '{name}' is {there[name]}; `bqueues` shows those that are open"
            for name in wanted
            if there.get(name, "").startswith("Closed")
        ]
        return missing or (closed if len(closed) == len(wanted) else [])

    return Query(["bqueues", "-w"], read)


def offers(option: str, user: str) -> Query[list[str]] | None:
    """Ask what this option can be, for this user (a login name)."""
    argvs = {"q": ["bqueues", "-w", "-u", user], "m": ["bhosts", "-w"]}
    if option not in argvs:
        return None
    return Query(argvs[option], lambda completed: sorted(_table(completed)))


def queues(user: str) -> Query[list[Queue]]:
    """Ask for the queues of this user (a login name); which hosts are theirs is not told."""

    def listed(completed: Completed) -> list[Queue]:
        if completed.returncode != 0:
            raise answers.no_answer(completed)
        words = {"Open:Active": "up"}
        there = _table(completed).items()
        return [Queue(name, state=words.get(state, state)) for name, state in there]

    return Query(["bqueues", "-w", "-u", user], listed)


def _missing(name: str, there: list[str]) -> str:
    return f"bqueues shows no queue '{name}' on this cluster{instead(name, there)}"


def _table(completed: Completed) -> dict[str, str]:
    """Return the names in the first column, each with its status.

    The columns begin with QUEUE_NAME PRIO STATUS, or HOST_NAME STATUS.
    """
    head, *rows = completed.stdout.splitlines() or [""]
    titles = head.split()
    if not titles or titles[0] not in ("QUEUE_NAME", "HOST_NAME"):
        return {}
    column = titles.index("STATUS")
    cells = [row.split() for row in rows]
    return {row[0]: row[column] for row in cells if len(row) > column}
