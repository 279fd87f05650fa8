"""The processes of this node, as /proc shows them.

Source of the fields: proc(5). Used by all who look at processes; most of it runs before
the kernel's start, so it imports little.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """A process; times are in seconds of CPU, `memory` is resident, in bytes."""

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
    waited: float = 0.0  # its children's that have ended


def every(owner: int | None = None) -> dict[int, Process]:
    """Return all processes that are there now, by their pid.

    Only those of one user, if it is given: most of a node's are others', and whose one
    is costs a tenth of reading it. Of a setuid program that is root.
    """
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                if owner in (None, os.stat(f"/proc/{name}").st_uid):
                    found[int(name)] = _read(int(name))
    return found


def _read(pid: int) -> Process:
    """Read /proc/PID/stat. Raises OSError."""
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
        waited=(int(fields[13]) + int(fields[14])) / _TICK,
    )


def started(pid: int) -> int:
    """Return when a process was started, in ticks since boot; 0 where it has ended."""
    with contextlib.suppress(OSError):
        return _read(pid).started
    return 0


def argv(pid: int) -> list[str]:
    """Return what a process was started as; empty where it has ended, or hides it."""
    return _strings(f"/proc/{pid}/cmdline")


def environ(pid: int) -> dict[str, str]:
    """Return a process's first variables; empty where it has ended, or hides them."""
    rows = (row.partition("=") for row in _strings(f"/proc/{pid}/environ"))
    return {name: value for name, _, value in rows if name}


def umask(pid: int) -> int | None:
    """Return a process's umask; None where it has ended, hides it, or before Linux 4.7."""
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


def below(roots: Iterable[int], there: dict[int, Process]) -> list[int]:
    """Return these, their children and what is in their sessions; parents first."""
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


def session(leader: int) -> dict[int, int]:
    """Return a session's processes, and when each was started; none if it is ours."""
    if leader == os.getsid(0):
        return {}
    return {p.pid: p.started for p in every().values() if p.session == leader}


def kill(processes: dict[int, int]) -> None:
    """Kill those of them that are the same as when they were looked for."""
    for pid, begun in processes.items():
        with contextlib.suppress(OSError):
            if started(pid) == begun:
                os.kill(pid, signal.SIGKILL)
