"""Grid Engine's launcher: qrsh -inherit starts what runs on the other nodes of the job.

One qrsh is one task on one node, of which the parallel environment grants as many as
slots. So a step is `spread.py`, which starts a task on each other node, and what is for
the kernel's own node itself; several processes of one node are one task.

Rules: pure, but for `qconf -sp` where other nodes are wanted. Called through
`launcher.Launcher`. Quirks were seen on 8.1.9.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from remote_kernels.cluster import node, spread
from remote_kernels.cluster.allocation import Allocation, Node
from remote_kernels.cluster.launcher import Launcher
from remote_kernels.errors import AllocationError
from remote_kernels.scheduler.gridengine import DRIVER, told
from remote_kernels.scheduler.job import JobId

PATIENCE = 20.0  # seconds for qconf


class Qrsh(Launcher):
    """Tasks of the kernel's job, on nodes that its parallel environment has granted."""

    command = "qrsh"
    job_variable = "JOB_ID"
    node_variable = "RK_NODE"

    def allocation(self, environ: Mapping[str, str]) -> Allocation | None:
        """Return the enclosing allocation of Grid Engine's; None if there is none."""
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)  # what h_vmem becomes
        return parse(environ, None if limit == resource.RLIM_INFINITY else limit)

    def argv(
        self,
        allocation: Allocation,
        nodes: Sequence[str],
        program: Sequence[str],
        *,
        tasks: int = 1,
        mpi: str = "none",
        gpus: bool = True,
    ) -> list[str]:
        """Return the command that runs a program on some nodes."""
        if mpi != "none":
            message = (
                f"mpi={mpi!r}: Grid Engine's launcher starts no MPI programs; mpirun "
                "does, in a cell of its own (!mpirun ...)."
            )
            raise AllocationError(message)
        if {*nodes} - {allocation.here}:
            _check_environment(os.environ.get("PE", ""))
        commands: list[list[str]] = []
        for name in nodes:
            own = ["env", f"RK_NODE={name}"]
            if name == allocation.here:
                own += [] if gpus else ["CUDA_VISIBLE_DEVICES="]
                commands += [[*own, *program]] * tasks
            else:
                one = program if tasks == 1 else _spread([[*program]] * tasks)
                job = JobId(allocation.job)
                commands.append(DRIVER.into(job, name, [*own, *one]))
        return _spread(commands)

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the kernel's environment: it is of the same job on the same node."""
        return dict(environ)

    def carried(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return what a task on another node must be told, as qrsh passes nothing on."""
        return {n: value for n, value in environ.items() if not told.is_of_the_job(n)}

    def advice(self, said: str) -> str:
        """Return what to do about a step that has said that; "" if we do not know it."""
        if "didn't accept task" not in said:
            return ""
        return (
            "A job may have as many tasks on each other node as slots there, and a "
            "helper takes one: close what runs already, or ask for more 'slots'."
        )


def parse(environ: Mapping[str, str], limit: int | None) -> Allocation | None:
    """Return what Grid Engine has told the job; None if there is none.

    `limit` are the bytes that the job may use on this node, if any.
    """
    job = told.number(environ)
    if not job:
        return None
    slots, here = told.slots(environ), told.here(environ)
    if here not in slots:  # the first one is ours, whatever the name is
        here = next(iter(slots))
    each = None if limit is None else limit // slots[here]
    nodes = tuple(
        Node(name, count, None if each is None else each * count)
        for name, count in slots.items()
    )
    return Allocation(job, here, nodes, Qrsh())


def refuses_tasks(described: str) -> bool:
    """Return whether `qconf -sp` describes an environment that starts no tasks."""
    rows = [line.split() for line in described.splitlines()]
    return ["control_slaves", "FALSE"] in rows


def _check_environment(name: str) -> None:
    """Raise AllocationError if tasks cannot be started on other nodes.

    If nobody answers, qrsh will tell.
    """
    if not name:
        return
    argv = ["qconf", "-sp", name]
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if refuses_tasks(done.stdout):
        message = (
            f"The parallel environment {name} of this job starts no tasks on its nodes "
            f"(control_slaves FALSE, says `qconf -sp {name}`). Choose another 'pe' for "
            "the kernel (`qconf -spl` lists them), or only its own node: nodes=[...]."
        )
        raise AllocationError(message)


def _spread(commands: Sequence[Sequence[str]]) -> list[str]:
    order = json.dumps({"commands": commands, "ready": node.READY})
    return [sys.executable, "-I", "-S", str(Path(spread.__file__)), order]
