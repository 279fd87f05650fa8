"""The processes of this node, as /proc shows them, and which of them are a kernel's.

Source of the fields: proc(5). Called by inside.py, stack.py and top.py, which run beside
the agent.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .node_dir import noted_session

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """One of them; `cpu` in seconds since its start, `memory` resident, in bytes."""

    pid: int
    parent: int
    session: int
    name: str
    state: str
    cpu: float
    threads: int
    memory: int
    started: int  # with `pid` it names a process for good
    group: int = 0


def every() -> dict[int, Process]:
    """All that are there now, by their pid."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                found[int(name)] = _read(int(name))
    return found


def _read(pid: int) -> Process:
    """Raises OSError."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        head, _, tail = file.read().rpartition(b")")
    fields = tail.split()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        name=head.partition(b"(")[2].decode(errors="replace"),
        state=fields[0].decode(),
        cpu=(int(fields[11]) + int(fields[12])) / _TICK,
        threads=int(fields[17]),
        memory=int(fields[21]) * _PAGE,
        started=int(fields[19]),
        group=int(fields[2]),
    )


def started(pid: int) -> int:
    """When it was started, in ticks since boot; 0 where it has ended, or hides."""
    with contextlib.suppress(OSError):
        return _read(pid).started
    return 0


def argv(pid: int) -> list[str]:
    """What it was started as; empty where it has ended, or hides it."""
    return _strings(f"/proc/{pid}/cmdline")


def environ(pid: int) -> dict[str, str]:
    """What it was started with; empty where it has ended, or hides it."""
    rows = (row.partition("=") for row in _strings(f"/proc/{pid}/environ"))
    return {name: value for name, _, value in rows if name}


def umask(pid: int) -> int | None:
    """What it has now; None where it has ended, hides it, or Linux is before 4.7."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    return None


def _strings(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return []
    return [os.fsdecode(word) for word in data.split(b"\0")[:-1]]


def agent(record: str) -> int:
    """The agent's pid. Raises OSError where it is not to be found."""
    return int(_agent(record)["pid"])


def _agent(record: str) -> dict[str, Any]:
    with open(os.path.join(record, "agent.json"), encoding="utf-8") as file:
        return dict(json.load(file))


def kernel(record: str, kernel_id: str, there: dict[int, Process]) -> int:
    """The pid of a kernel's process, which leads a session; 0: it has none now.

    As the agent has noted it in its directory. Raises OSError where there is no agent.
    """
    directory = os.path.dirname(_agent(record)["socket"])
    pid, started = noted_session(directory, kernel_id)
    return pid if pid in there and there[pid].started == started else 0


def below(roots: Iterable[int], there: dict[int, Process]) -> list[int]:
    """These, their children and what else is in their sessions; parents first."""
    order: list[int] = []
    new = [pid for pid in roots if pid in there]
    while new:
        order += new
        known, sessions = set(order), set(order)
        new = [
            p.pid
            for p in there.values()
            if p.pid not in known and (p.parent in known or p.session in sessions)
        ]
    return order
