"""Which processes of this node are the job's. Used by top.py and servers.py."""

from __future__ import annotations

import os

from . import job_facts, processes
from .processes import Process


class OfJob:
    """To be asked by a child of the job's agent, as often as it likes."""

    def __init__(self) -> None:
        self._mark = job_facts.mark()
        self._ours: dict[tuple[int, int], bool] = {}

    def among(self, there: dict[int, Process]) -> list[int]:
        """Return what the agent started, and what says in its environment whose it is.

        And what these started: a program that changes its title, as Dask's do, writes
        over its environment. Not the process that asks.
        """
        found = processes.below([os.getppid()], there)
        known = set(found)
        said = [pid for pid in there if pid not in known and self._says(there[pid])]
        found += [pid for pid in processes.below(said, there) if pid not in known]
        return [pid for pid in found if pid != os.getpid()]

    def _says(self, process: Process) -> bool:
        """Its environment does not change, and is read once."""
        key = process.pid, process.started
        if key not in self._ours:
            name, value = self._mark
            found = processes.environ(process.pid).get(name, "")
            self._ours[key] = bool(value) and found == value
        return self._ours[key]
