"""What a job that is submitted from a cell inherits.

A kernel runs inside a job, and sbatch takes the variables of that job for options: a
new job would silently get its CPU binding, or be refused for two ways to ask for
memory. Called by `commands.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from remote_kernels.scheduler.slurm.driver import is_of_the_job

# Of the kernel: a script's plots have no notebook to go to.
_INLINE = "matplotlib_inline"


def for_submission(
    environ: Mapping[str, str], born: Mapping[str, str]
) -> dict[str, str]:
    """Return the kernel's environment without what its own job has put there.

    Parameters
    ----------
    environ : mapping of str to str
        The kernel's environment now.
    born : mapping of str to str
        The one that it was started with: what a cell has set since then is meant.
    """
    return {
        name: value
        for name, value in environ.items()
        if not _inherited(name, value, born)
    }


def at_birth() -> dict[str, str]:
    """Return the environment that this process was started with."""
    data = Path("/proc/self/environ").read_bytes()
    rows = (os.fsdecode(row).partition("=") for row in data.split(b"\0") if row)
    return {name: value for name, _, value in rows}


def _inherited(name: str, value: str, born: Mapping[str, str]) -> bool:
    if name == "MPLBACKEND":
        return _INLINE in value
    return is_of_the_job(name) and born.get(name) == value
