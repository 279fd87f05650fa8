"""Every launcher there is, and the allocation of whichever this kernel is in.

Called by the file of each library.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from remote_kernels.cluster.allocation import Allocation
from remote_kernels.cluster.gridengine import Qrsh
from remote_kernels.cluster.launcher import Launcher
from remote_kernels.cluster.slurm import Srun
from remote_kernels.errors import AllocationError

LAUNCHERS: tuple[Launcher, ...] = (Srun(), Qrsh())


def allocation(environ: Mapping[str, str] | None = None) -> Allocation:
    """Return the enclosing allocation. Raises AllocationError outside of any.

    A job that another batch system's has submitted may have that one's variables, too:
    RK_JOB_ID is its own.
    """
    environ = os.environ if environ is None else environ
    own = environ.get("RK_JOB_ID")
    for launcher in sorted(
        LAUNCHERS, key=lambda each: environ.get(each.job_variable) != own
    ):
        found = launcher.allocation(environ)
        if found is not None:
            return found
    message = (
        "This kernel is in no allocation of a batch system that can start programs on "
        "its nodes. Choose a kernel that runs in a job; `remote-kernels install "
        "python-compute --nodes 2` makes one with two nodes."
    )
    raise AllocationError(message)


def nodes() -> list[str]:
    """Return the names of this kernel's nodes. Raises AllocationError outside of a job."""
    return allocation().names
