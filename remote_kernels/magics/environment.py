"""What a job that is submitted from a cell inherits.

A kernel runs inside a job, and what submits another one may take the variables of that
job for options, or pass them on: the new job would silently get its CPU binding, be
refused for two ways to ask for memory, or believe to be where it is not. Called by the
`commands.py` of each batch system.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

# Of the kernel: a script's plots have no notebook to go to.
_INLINE = "matplotlib_inline"


def for_submission(
    environ: Mapping[str, str],
    born: Mapping[str, str],
    is_of_the_job: Callable[[str], bool],
) -> dict[str, str]:
    """Return the kernel's environment without what its own job has put there.

    Parameters
    ----------
    environ : mapping of str to str
        The kernel's environment now.
    born : mapping of str to str
        The one that it was started with: what a cell has set since then is meant.
    is_of_the_job : callable
        Whether a variable of this name speaks of the job that it was found in.
    """

    def is_inherited(name: str, value: str) -> bool:
        if name == "MPLBACKEND":
            return _INLINE in value
        return is_of_the_job(name) and born.get(name) == value

    return {
        name: value for name, value in environ.items() if not is_inherited(name, value)
    }


def of_this_kernel(is_of_the_job: Callable[[str], bool]) -> dict[str, str]:
    """Return what a job that this kernel submits now inherits; see `for_submission`."""
    return for_submission(os.environ, at_birth(), is_of_the_job)


def at_birth() -> dict[str, str]:
    """Return the environment that this process was started with."""
    data = Path("/proc/self/environ").read_bytes()
    rows = (os.fsdecode(row).partition("=") for row in data.split(b"\0") if row)
    return {name: value for name, _, value in rows}
