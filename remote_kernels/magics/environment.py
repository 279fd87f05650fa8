"""What a job that is submitted from a cell inherits.

A kernel runs inside a job, and sbatch takes the variables of that job for wishes: a new
job would silently get its CPU binding, or be refused for two ways to ask for memory.
Called by `slurm.py`.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping
from pathlib import Path

from remote_kernels.scheduler.slurm import SITE

OF_THE_JOB = (
    "SLURM_*",
    "SLURMD_*",
    "SBATCH_*",
    "SALLOC_*",
    "SRUN_*",
    "PMI*",
    "CUDA_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
    "XDG_RUNTIME_DIR",
)
# Of the kernel: a script's plots have no notebook to go to.
_INLINE = "matplotlib_inline"


def for_submission(
    environ: Mapping[str, str], born: Mapping[str, str]
) -> dict[str, str]:
    """The kernel's environment without what its own job has put there.

    Parameters
    ----------
    environ:
        The kernel's environment now.
    born:
        The one that it was started with: what a cell has set since then is meant.
    """
    return {
        name: value
        for name, value in environ.items()
        if name in SITE or not _inherited(name, value, born)
    }


def at_birth() -> dict[str, str]:
    """The environment that this process was started with."""
    data = Path("/proc/self/environ").read_bytes()
    rows = (os.fsdecode(row).partition("=") for row in data.split(b"\0") if row)
    return {name: value for name, _, value in rows}


def _inherited(name: str, value: str, born: Mapping[str, str]) -> bool:
    if name == "MPLBACKEND":
        return _INLINE in value
    of_the_job = any(fnmatch.fnmatchcase(name, pattern) for pattern in OF_THE_JOB)
    return of_the_job and born.get(name) == value
