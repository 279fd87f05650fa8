"""Every way in which a start can fail once its job is submitted.

Each is a kernelspec, what is done meanwhile, and what must be said of it. Used by the
tests of failed starts, over a websocket and in a browser.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from on_cluster.system import SYSTEM
from testbed.api import Cluster

FOR_AGES = {"start_timeout": 120}
# Of a user for whom not every job's login shell lives: jobs are told by their memory.
PROFILE = """\
[ "$SLURM_MEM_PER_NODE" != 101 ] || exit 3
[ "$SLURM_MEM_PER_NODE" != 102 ] || exec true
"""


@dataclass(frozen=True)
class Failure:
    """One of them.

    `words`: what is said. `config`, `argv`: of the kernelspec. `act`: done to the job
    by root, once its kernel is starting. `is_slurm_s`: others have no such means.
    """

    words: str
    config: dict[str, Any] = field(default_factory=dict)
    argv: list[str] | None = None
    act: tuple[str, ...] = ()
    is_slurm_s: bool = False


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def stands_still(seconds: int) -> list[str]:
    """Never a kernel. Another figure for each, so that they are told apart."""
    return ["sleep", str(seconds)]


EVERY = {
    "interpreter": Failure(
        r"cannot start /nonexistent/python .*No such file",
        argv=[
            "/nonexistent/python",
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
        ],
    ),
    "prologue": Failure(
        r"the prologue failed with exit code 1 at: false", {"prologue": ["false"]}
    ),
    "module": Failure(
        r"the prologue failed with exit code 127 at: module load nosuch",
        {"prologue": ["module load nosuch/9.9"]},
    ),
    "container": Failure(
        r"cannot start nosuch-container .*Is that program there",
        {"prefix": ["nosuch-container", "exec", "image.sif"]},
    ),
    "start-up file that exits": Failure(
        r"\.bash_profile", {"prologue": ["true"], "mem": "101M"}, is_slurm_s=True
    ),
    "start-up file that is another shell": Failure(
        r"\.bash_profile", {"prologue": ["true"], "mem": "102M"}, is_slurm_s=True
    ),
    "no Python on the node": Failure(
        r"No Python 3\.9 or later was found", {"python": "python-nosuch"}
    ),
    "sockets": Failure(
        r"did not listen on all its sockets within 3 s(?s:.*)'start_timeout'",
        {"start_timeout": 3},
        stands_still(601),
    ),
    "crash at import": Failure(
        r"ended on c\d before it was ready, with exit code 1\. .*No module named 'nosuch'",
        argv=python("import nosuch"),
    ),
    "cancelled": Failure(
        SYSTEM.cancelled_words,
        FOR_AGES,
        stands_still(602),
        act=(*SYSTEM.cancel("{job}"),),
    ),
    "time limit": Failure(
        r"time limit\. Ask for more with 'time'",
        FOR_AGES,
        stands_still(603),
        act=("scontrol", "update", "JobId={job}", "EndTime=now+3"),
        is_slurm_s=True,
    ),
    "node_dir": Failure(
        r"No private directory could be made", {"node_dir": "/proc/nosuch"}
    ),
}
FAILURES = {
    name: failure
    for name, failure in EVERY.items()
    if SYSTEM.scheduler == "slurm" or not failure.is_slurm_s
}
assert all(re.compile(failure.words) for failure in FAILURES.values())


@contextmanager
def start_up_file(cluster: Cluster, user: str) -> Iterator[None]:
    """The user has PROFILE."""
    path = cluster.layout.home / user / ".bash_profile"
    path.write_text(PROFILE)
    try:
        yield
    finally:
        path.unlink()


def starting(cluster: Cluster, user: str, failure: Failure) -> bool:
    """Whether the process of its kernel is there."""
    return any(
        process.cmdline == failure.argv
        for host in ("c1", "c2")
        for process in cluster.processes(host, user)
    )


def act(cluster: Cluster, failure: Failure, kernel_id: str) -> None:
    """What befalls the kernel's job."""
    (job,) = [j for j in cluster.jobs() if j.name.endswith(kernel_id[:8])]
    cluster.run("ctl", "root", [word.format(job=job.id) for word in failure.act])


def ended(cluster: Cluster, records: Path, kernel_id: str) -> float:
    """When the reason was known that is on record; 0 while there is none."""
    path = cluster.path("login1", str(records / kernel_id / "record.json"))
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError):
        return 0
    return float(facts["times"].get("ended", 0)) if "end" in facts else 0
