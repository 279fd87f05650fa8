"""The batch systems that the test cluster can have: a file for each.

`named` finds one. A `System` says what the hosts find in /etc and /var for it, which
daemons run where, and how tests do by hand what a user or an administrator does.
"""

from __future__ import annotations

from testbed.layout import ClusterError

from .gridengine import GridEngine
from .htcondor import HTCondor
from .oar import Oar
from .slurm import Slurm, Slurm2411, Slurm2605
from .system import Job, System

__all__ = ["SYSTEMS", "Job", "System", "named"]

SYSTEMS: dict[str, System] = {
    each.name: each
    for each in (Slurm(), Slurm2411(), Slurm2605(), GridEngine(), HTCondor(), Oar())
}


def named(name: str) -> System:
    """The batch system of that name."""
    if name not in SYSTEMS:
        raise ClusterError(f"no batch system {name!r}; there are {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
