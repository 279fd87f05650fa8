"""Which job pam_slurm_adopt put an ssh session into, and whether that job is ending.

It puts all sessions of a user on a node into one of his jobs there, and Slurm ends them
with that job. Who logs in again at once is put into that job again, as it is there until
nothing runs in it: it can't end while sessions keep coming, and slurmd drains the node
(slurm.conf(5), UnkillableStepTimeout). So after such an end we look who adopts, once in
a while and for all sessions of this process together, and stay only with another job.
Given to the ssh carrier, which knows it as base.Adoption.

Source: https://slurm.schedmd.com/pam_slurm_adopt.html; the rest seen with Slurm 22.05.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from remote_kernels import harmless

log = harmless.logger(__name__)

ENDING = 10.0  # seconds; a job that takes longer does not end for our keeping away
APART = 1.0  # seconds between looks; slurmd signals a job that is ending each second

# What the node tells of a session that was adopted: cgroups(7), of either version.
SAYS = "/proc/self/cgroup"
_JOB = re.compile(rb"/job_(\d+)/step_extern")


def adopter(said: bytes) -> str:
    """Return the ID of the job that adopted a session; empty: none."""
    found = _JOB.search(said)
    return found[1].decode() if found else ""


class AdoptingNode:
    """One node, for all sessions of this process."""

    def __init__(self) -> None:
        self._ending: dict[str, float] = {}  # jobs, and until when to believe it
        self._next_look = 0.0

    @property
    def in_doubt(self) -> bool:
        now = _now()
        self._ending = {job: end for job, end in self._ending.items() if now < end}
        return bool(self._ending)

    def ended(self, job: str) -> None:
        """Learn that a job that had adopted a session took it along."""
        self._ending[job] = _now() + ENDING
        self._next_look = _now() + APART

    async def look(self) -> None:
        """Wait until it is one's turn to log in: another may be first each time."""
        while self.in_doubt and _now() < self._next_look:  # noqa: ASYNC110
            await asyncio.sleep(self._next_look - _now())
        self._next_look = _now() + APART

    def keeps(self, job: str) -> bool:
        """Return whether a session that this job adopted may stay."""
        if self.in_doubt and job in self._ending:
            return False
        self._ending.clear()
        return True


class SlurmAdoption:
    """For sessions to one agent: see base.Adoption.

    Parameters
    ----------
    node : AdoptingNode
        The node.
    job : str
        The ID of the job that the agent is.
    """

    command: Sequence[str] = ("cat", SAYS, "-")

    def __init__(self, node: AdoptingNode, job: str) -> None:
        self._node = node
        self._job = job

    async def turn(self) -> None:
        await self._node.look()

    def is_told(self, said: bytes) -> bool:
        """Return whether it is that file's text: `hierarchy:controllers:path`s."""
        return b":/" in said

    @property
    def in_doubt(self) -> bool:
        return self._node.in_doubt

    def keeps(self, said: bytes) -> bool:
        return self._node.keeps(adopter(said))

    def lost(self, said: bytes) -> None:
        job = adopter(said)
        if job and job != self._job:
            log.info("job %s, which adopted this ssh session, ended it", job)
            self._node.ended(job)


def _now() -> float:
    return asyncio.get_running_loop().time()
