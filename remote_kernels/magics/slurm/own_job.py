"""The Slurm job that this kernel runs in: what is known of it, and what would end it.

Called by `commands.py`, and for `%remote_kernel`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from remote_kernels.errors import CommandError
from remote_kernels.magics.own_job import OwnJob
from remote_kernels.scheduler.job import Completed
from remote_kernels.scheduler.slurm import DRIVER
from remote_kernels.scheduler.slurm.driver import memory_of_job

from .options import Scanned, scan, table

_SCANCEL = table(
    flags="b:batch ctld f:full H:hurry i:interactive me Q:quiet v:verbose",
    valued="A:account M:clusters jobname n:name w:nodelist p:partition q:qos "
    "R:reservation s:signal t:state u:user wckey",
)
# Those that choose jobs, and what squeue calls them.
_CHOOSE = ("account", "name", "nodelist", "partition", "qos", "reservation", "user")
_FILTERS = {
    **dict(zip(_CHOOSE, _CHOOSE, strict=True)),
    "jobname": "name",
    "state": "states",
}


@dataclass(frozen=True)
class SlurmJob(OwnJob):
    """What Slurm told this kernel about its job when it started it.

    Parameters
    ----------
    numbers : frozenset of str
        All the numbers by which `scancel` would take it.
    cluster : str
        The name of its cluster; "" if not told.
    """

    numbers: frozenset[str] = frozenset()
    cluster: str = ""

    driver = DRIVER


def own_job(environ: Mapping[str, str]) -> SlurmJob | None:
    """Return the enclosing job; None outside of one."""
    get = environ.get
    if not get("SLURM_JOB_ID"):
        return None
    names = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_HET_JOB_ID")
    cpus = _number(get("SLURM_CPUS_ON_NODE"))
    return SlurmJob(
        id=environ["SLURM_JOB_ID"],
        numbers=frozenset(environ[name] for name in names if get(name)),
        cluster=get("SLURM_CLUSTER_NAME", ""),
        name=get("SLURM_JOB_NAME", ""),
        partition=get("SLURM_JOB_PARTITION", ""),
        account=get("SLURM_JOB_ACCOUNT", ""),
        node=get("SLURMD_NODENAME", os.uname().nodename),
        cpus=cpus,
        memory=memory_of_job(environ, cpus),
        gpus=get("SLURM_JOB_GPUS", ""),
        promised_end=_number(get("SLURM_JOB_END_TIME")),  # since Slurm 23.02
    )


def asks_back(words: Sequence[str]) -> bool:
    """Return whether scancel would ask for each job.

    Where its input has ended it would ask for ever.
    """
    scanned = scan(words, _SCANCEL)
    if scanned is None:
        return "-i" in words
    return "interactive" in scanned.names


def why_not_cancel(
    words: Sequence[str], job: SlurmJob, ask: Callable[[list[str]], Completed]
) -> str | None:
    """Return why `scancel` with these words may end this kernel; None if it will not.

    Jobs that are chosen by their properties are looked up first: `ask` runs squeue.
    """
    may_end = f"may end job {job.id}, this kernel's own"
    scanned = scan(words, _SCANCEL)
    if scanned is None:
        return f"An option here is unknown, so it {may_end}."
    clusters = scanned.value("clusters")
    if clusters is not None and job.cluster and job.cluster not in clusters.split(","):
        return None if clusters != "all" else _harm(job, [job.id])
    if scanned.others:
        return _harm(job, [w for word in scanned.others for w in _split(word)])
    argv = _lookup(scanned)
    if argv is None:
        return f"This {may_end}."
    try:
        completed = ask(argv)
    except CommandError as error:
        return f"This {may_end}, and {error}"
    if completed.returncode != 0:
        return f"This {may_end}; squeue says: {completed.stderr.strip()}"
    return _harm(job, completed.stdout.split())


def _harm(job: SlurmJob, named: Sequence[str]) -> str | None:
    """Return what to say if this kernel's job is among those named; None if not."""
    others = [word for word in named if not _is_own(word, job)]
    if len(others) == len(named):
        return None
    text = f"This would end job {job.id}, which is this kernel's own."
    if others:
        text += f" To cancel only the others:\n  %scancel {' '.join(others)}"
    return text


def _split(word: str) -> list[str]:
    """Split at commas that are not in brackets: "1,2_[3,4]"."""
    return [part for part in re.split(r",(?![^\[]*\])", word) if part]


def _is_own(word: str, job: SlurmJob) -> bool:
    """Return whether this is the job itself; a numbered step of it is not."""
    head = re.match(r"\d+", word)
    if head is None:
        return True  # nothing that we know
    return head[0] in job.numbers and not re.search(r"\.\d+$", word)


def _lookup(scanned: Scanned) -> list[str] | None:
    """Return a squeue that makes the same choice; None if there is none."""
    if "wckey" in scanned.names:
        return None
    argv = ["squeue", "-a", "-h", "-o", "%i"]
    for name, value in scanned.options:
        if name == "me":
            argv.append(f"--user={os.getuid()}")
        elif name in _FILTERS:
            argv.append(f"--{_FILTERS[name]}={value}")
        elif name == "clusters":
            argv.append(f"--clusters={value}")
    return argv


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
