"""The Grid Engine job that this kernel runs in: what is known of it, what would end it.

Called by `commands.py`, and for `%remote_kernel`.
"""

from __future__ import annotations

import fnmatch
import os
import re
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from remote_kernels.errors import CommandError
from remote_kernels.magics import command
from remote_kernels.magics.own_job import PATIENCE, OwnJob
from remote_kernels.scheduler.drivers import environment
from remote_kernels.scheduler.gridengine import DRIVER, told
from remote_kernels.scheduler.job import Completed, login_name


@dataclass(frozen=True)
class GridEngineJob(OwnJob):
    """What Grid Engine told this kernel about its job when it started it."""

    driver = DRIVER

    def end_time(self) -> float | None:
        """Ask when the job ends: by its own time limit, or else by its queue's."""
        status = self.status()
        if status.end_time or not status.start_time or not self.partition:
            return status.end_time
        query = DRIVER.limits([f"{self.partition}@{self.node}"])
        env = environment(DRIVER, os.environ)
        found = query.answer(command.run(query.argv, env=env, timeout=PATIENCE))
        limit = next(iter(found.values()), None)
        return None if limit is None else status.start_time + limit


def own_job(environ: Mapping[str, str]) -> GridEngineJob | None:
    """Return the enclosing job; None outside of one."""
    job = told.number(environ)
    if not job:
        return None
    node, slots = told.here(environ), told.slots(environ)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)  # which h_vmem becomes on a node
    return GridEngineJob(
        id=job,
        name=environ.get("JOB_NAME", ""),
        partition=environ.get("QUEUE", ""),
        node=node,
        cpus=slots.get(node),
        memory=None if limit == resource.RLIM_INFINITY else limit,
        gpus=environ.get("CUDA_VISIBLE_DEVICES", ""),
    )


def why_not_delete(
    words: Sequence[str], job: GridEngineJob, ask: Callable[[Sequence[str]], Completed]
) -> str | None:
    """Return why `qdel` with these words may end this kernel; None if it will not.

    Jobs that are chosen by name or by user are looked up first: `ask` runs qstat.
    """
    may_end = f"may end job {job.id}, this kernel's own"
    named, users = _chosen(words)
    if users is not None and not _are_mine(users):
        return None
    patterns = [word for word in named if not word[:1].isdigit()]
    if users is None and not patterns:
        return _harm(job, named)
    (query,) = DRIVER.own(login_name())
    try:
        found = query.answer(ask(query.argv))
    except CommandError as error:
        return f"This {may_end}, and {error}"
    more = [
        str(status.job_id)
        for status in found
        if users is not None
        or any(fnmatch.fnmatchcase(status.name, pattern) for pattern in patterns)
    ]
    return _harm(job, [*(word for word in named if word not in patterns), *more])


def _chosen(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Return the jobs that are named, and the users, if it is all jobs of some.

    -t chooses tasks of the job before it; every other word is a job, as qdel has it.
    """
    named: list[str] = []
    users: list[str] | None = None
    rest = [*words]
    while rest:
        word = rest.pop(0)
        if word == "-u" and rest:
            users = [*(users or []), *rest.pop(0).split(",")]
        elif word == "-t" and rest:
            rest.pop(0)
        elif word != "-f":
            named += [each for each in word.split(",") if each]
    return named, users


def _are_mine(users: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(login_name(), user) for user in users)


def _harm(job: GridEngineJob, named: Sequence[str]) -> str | None:
    """Return what to say if this kernel's job is among those named; None if not."""
    # qdel reads 059, or 59.1, as 59.
    others = [word for word in named if re.split(r"\D", word.lstrip("0"))[0] != job.id]
    if len(others) == len(named):
        return None
    text = f"This would end job {job.id}, which is this kernel's own."
    if others:
        text += f" To end only the others:\n  %qdel {' '.join(others)}"
    return text
