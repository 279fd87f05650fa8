"""Slurm's launcher: srun starts what runs on the nodes of the kernel's job.

Rules: pure, but for `scontrol show hostnames`, which asks nobody. Called through
`launcher.Launcher`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence

from remote_kernels.cluster.allocation import Allocation, Node
from remote_kernels.cluster.launcher import Launcher
from remote_kernels.errors import CommandError
from remote_kernels.scheduler.slurm.commands import UNCOUNTED
from remote_kernels.scheduler.slurm.driver import is_of_the_job, memory_of_job

PATIENCE = 20.0  # seconds for scontrol, which reads slurm.conf at most


class Srun(Launcher):
    """Steps beside the kernel's, which share with it all that the job has."""

    command = "srun"
    job_variable = "SLURM_JOB_ID"
    node_variable = "SLURMD_NODENAME"
    step_variable = "SLURM_STEP_ID"
    list_mpi = ("srun", "--mpi=list")

    def allocation(self, environ: Mapping[str, str]) -> Allocation | None:
        """Return the enclosing allocation of Slurm's; None if there is none."""
        return parse(environ, hostnames)

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
        """Return the srun that runs a program on some nodes.

        A step gets the job's GPUs by naming none. Before Slurm 22.05 --overlap shares
        only CPUs, so a step that needs no GPU must not have them. One that is not
        counted has one task on each node.
        """
        before = UNCOUNTED if tasks == 1 and mpi == "none" else ()
        # More processes than CPUs would be refused; they share them.
        more = ["--overcommit"] if tasks > 1 else []
        count, each = len(nodes), f"--ntasks-per-node={tasks}"
        return [
            *before,
            *("srun", f"--jobid={allocation.job}", "--overlap", f"--nodes={count}"),
            *(f"--nodelist={','.join(nodes)}", f"--ntasks={count * tasks}"),
            *(each, "--cpu-bind=none", "--mem=0", f"--mpi={mpi}"),
            *("--chdir=/", "--label", "--wait=0", "--kill-on-bad-exit=0", "--quiet"),
            *more,
            *([] if gpus else ["--gres=none"]),
            *program,
        ]

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment without what srun would take for options.

        --mem is refused beside an inherited SLURM_MEM_PER_CPU.
        """
        return {n: value for n, value in environ.items() if not is_of_the_job(n)}

    def cancel_argv(self, allocation: Allocation, step: str) -> list[str]:
        """Return the scancel that ends a step."""
        return ["scancel", f"{allocation.job}.{step}"]


def parse(
    environ: Mapping[str, str], expand: Callable[[str], list[str]]
) -> Allocation | None:
    """Return what Slurm has told the job; None if there is none.

    `expand` makes names of a list such as c[1-2].
    """
    job = environ.get("SLURM_JOB_ID")
    listed = environ.get("SLURM_JOB_NODELIST")
    if not job or not listed:
        return None
    names = expand(listed)
    counts = cpus_per_node(environ.get("SLURM_JOB_CPUS_PER_NODE", ""))
    counts += [1] * (len(names) - len(counts))
    nodes = tuple(
        Node(name, cpus, memory_of_job(environ, cpus))
        for name, cpus in zip(names, counts, strict=False)
    )
    here = environ.get("SLURMD_NODENAME") or os.uname().nodename.partition(".")[0]
    return Allocation(job, here, nodes, Srun())


def cpus_per_node(text: str) -> list[int]:
    """Return the CPUs of each node: `4(x2),8` is 4, 4, 8."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(cpus) for cpus, times in found for _ in range(int(times or 1))]


def hostnames(listed: str) -> list[str]:
    """Return the names that a list of Slurm's stands for. Raises CommandError."""
    if not set("[,") & set(listed):
        return [listed]
    argv = ["scontrol", "show", "hostnames", listed]
    summary = "The names of the allocation's nodes could not be found out."
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        advice = "Slurm's commands must be on the kernel's PATH: see 'prologue'."
        raise CommandError(summary, argv, None, "", str(error), advice) from error
    if done.returncode != 0:
        raise CommandError(summary, argv, done.returncode, done.stdout, done.stderr)
    return done.stdout.split()
