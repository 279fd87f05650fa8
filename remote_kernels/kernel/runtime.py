"""What all kernels of a process have in common: one object, which is handed down.

Rules: no module of kernel/, nor of the parts below it, keeps such state by itself.
Whoever begins makes a runtime and hands it to all that it calls: for Jupyter, that is
jupyter/process.py, once in a process; for the command line, each command for its event
loop. A runtime belongs to that loop, and is of no use after it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from remote_kernels.scheduler.driver import Driver
from remote_kernels.scheduler.free import Queue
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.tunnel.carriers.shared_ssh import SshPool
from remote_kernels.worker import Worker

from .answers import Answers

if TYPE_CHECKING:
    from remote_kernels.front.transcripts import Transcripts

    from .choice import Outlook
    from .watchdog import Watchdog


class Left(NamedTuple):
    """What pages must still show of a kernel whose job has ended, and of which notebooks."""

    transcripts: Transcripts
    notebooks: frozenset[str]


class Runtime:
    """What the kernels that live on one event loop share.

    Attributes
    ----------
    ssh : SshPool
        The SSH connections to nodes that are used together.
    housekeeping : Worker
        What may stall, and nobody waits for.
    readings : dict
        The last look at all records in some state directories, and when it began.
    notices : set of str
        What the site has said of jobs, and people have been told.
    queues, estimates : Answers
        What batch systems have said of what is free, and of when a job would start.
    estimating : asyncio.Lock
        One such question at a time.
    watchdogs : weakref.WeakSet of Watchdog
        What happens if this process dies; a forked child must let go of it.
    left : dict of str to Left
        What pages must still show of kernels whose jobs have ended, by their IDs.
    """

    def __init__(self) -> None:
        self.ssh = SshPool()
        self.housekeeping = Worker()
        self.notices: set[str] = set()
        self.readings: dict[tuple[Path, ...], tuple[float, asyncio.Future[Any]]] = {}
        self.watchdogs: weakref.WeakSet[Watchdog] = weakref.WeakSet()
        self.queues: Answers[list[Queue]] = Answers(fresh=30.0)
        self.estimates: Answers[Outlook] = Answers(fresh=5.0)
        self.estimating = asyncio.Lock()
        self.left: dict[str, Left] = {}
        self._jobs: dict[str, Jobs] = {}
        self._turns: weakref.WeakValueDictionary[Path, asyncio.Lock]
        self._turns = weakref.WeakValueDictionary()

    def jobs(self, driver: Driver, poll_interval: float = 2.0) -> Jobs:
        """Return the one `Jobs` of a driver.

        Parameters
        ----------
        driver : Driver
            The batch system's driver.
        poll_interval : float
            The least time between two questions, in seconds; the longest one that
            anybody has named holds for all.
        """
        jobs = self._jobs.setdefault(driver.name, Jobs(driver))
        jobs.ask_no_more_than_every(poll_interval)
        return jobs

    def leave(
        self, kernel_id: str, transcripts: Transcripts, notebooks: Collection[str] = ()
    ) -> None:
        """Keep what pages of these notebooks must still show of a kernel that ended."""
        for id, left in [*self.left.items()]:
            if not left.transcripts or id == kernel_id:
                self.left.pop(id).transcripts.close()
        self.left[kernel_id] = Left(transcripts, frozenset(notebooks))

    def turn(self, place: Path) -> asyncio.Lock:
        """Return the lock of an allocation's directory: one kernel at a time joins or leaves."""
        return self._turns.setdefault(place, asyncio.Lock())

    def forked(self) -> None:
        """Let go of what is the parent's alone; to be called in a forked child."""
        for watchdog in self.watchdogs:
            watchdog.forked()
