"""The allocation that this kernel runs in: its nodes, and what the job has on each.

Rules: pure, but for `scontrol show hostnames`, which asks nobody. Called by the file of
each library.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from remote_kernels.errors import AllocationError, CommandError

MIB = 1024 * 1024
PATIENCE = 20.0  # seconds for scontrol, which reads slurm.conf at most


@dataclass(frozen=True)
class Node:
    """One node: what the job has there. `memory` is in bytes, None: not told."""

    name: str
    cpus: int
    memory: int | None


@dataclass(frozen=True)
class Allocation:
    """A job, the node that the kernel is on, and the nodes to use."""

    job: str
    here: str
    nodes: tuple[Node, ...]

    @property
    def names(self) -> list[str]:
        return [node.name for node in self.nodes]

    def only(self, wanted: Sequence[str] | None) -> Allocation:
        """With these nodes alone; all of them if None."""
        if wanted is None:
            return self
        unknown = sorted(set(wanted) - set(self.names))
        if unknown or not wanted:
            message = (
                f"nodes={list(wanted)} asks for {', '.join(unknown) or 'none'}; job "
                f"{self.job} has {', '.join(self.names)}."
            )
            raise AllocationError(message)
        nodes = tuple(node for node in self.nodes if node.name in wanted)
        return replace(self, nodes=nodes)

    def address(self) -> str:
        """Of this node, as the other nodes reach it."""
        found = socket.gethostbyname(self.here)
        others = [name for name in self.names if name != self.here]
        if not found.startswith("127.") or not others:
            return found
        # Some hosts call themselves 127.0.1.1. Nothing is sent.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((others[0], 9))
            return str(probe.getsockname()[0])


def allocation(environ: Mapping[str, str] | None = None) -> Allocation:
    """The enclosing one; AllocationError outside of any."""
    return parse(os.environ if environ is None else environ, hostnames)


def parse(environ: Mapping[str, str], expand: Callable[[str], list[str]]) -> Allocation:
    """What Slurm has told the job; `expand` makes names of a list such as c[1-2]."""
    job = environ.get("SLURM_JOB_ID")
    listed = environ.get("SLURM_JOB_NODELIST")
    if not job or not listed:
        message = (
            "This kernel is in no Slurm allocation: SLURM_JOB_ID and "
            "SLURM_JOB_NODELIST are not set. Choose a kernel that runs in a job; "
            "`remote-kernels install python-compute --nodes 2` makes one with two nodes."
        )
        raise AllocationError(message)
    names = expand(listed)
    counts = cpus_per_node(environ.get("SLURM_JOB_CPUS_PER_NODE", ""))
    counts += [1] * (len(names) - len(counts))
    nodes = tuple(
        Node(name, cpus, _memory(environ, cpus))
        for name, cpus in zip(names, counts, strict=False)
    )
    here = environ.get("SLURMD_NODENAME") or os.uname().nodename.partition(".")[0]
    return Allocation(job, here, nodes)


def cpus_per_node(text: str) -> list[int]:
    """`4(x2),8` is 4, 4, 8."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(cpus) for cpus, times in found for _ in range(int(times or 1))]


def hostnames(listed: str) -> list[str]:
    """The names that a list of Slurm's stands for."""
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


def share(node: Node, parts: int, fraction: float) -> int | None:
    """Bytes for each of so many processes that together get this part of the node."""
    return None if node.memory is None else int(node.memory * fraction / parts)


def _memory(environ: Mapping[str, str], cpus: int) -> int | None:
    """Slurm counts in MiB; 0 means all that the node has."""
    whole = environ.get("SLURM_MEM_PER_NODE", "")
    each = environ.get("SLURM_MEM_PER_CPU", "")
    if whole.isdigit() and int(whole):
        return int(whole) * MIB
    return int(each) * cpus * MIB if each.isdigit() and int(each) else None
