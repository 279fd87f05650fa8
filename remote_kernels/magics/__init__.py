"""Magics for a notebook whose kernel runs in a job: `%load_ext remote_kernels`.

Rules: runs inside the kernel, on the compute node; IPython is there, pandas perhaps.
Every command is started by `command.py`, so that an interrupt ends it. Called by the
two functions in `remote_kernels/__init__.py` that IPython looks for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from remote_kernels.magics.own_job import Magic, system_here
from remote_kernels.magics.remote_kernel import RemoteKernelMagic

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_loaded: dict[int, tuple[RemoteKernelMagic, dict[tuple[str, str], Magic]]] = {}


def load(shell: InteractiveShell) -> None:
    """Register the magics in this shell: ours, and those of the batch system here."""
    kernel = RemoteKernelMagic()
    functions: dict[tuple[str, str], Magic] = {("line", "remote_kernel"): kernel.magic}
    system = system_here(os.environ)
    functions |= system.magics() if system else {}
    for (kind, name), function in functions.items():
        shell.magics_manager.register_function(function, kind, name)
    _loaded[id(shell)] = kernel, functions


def unload(shell: InteractiveShell) -> None:
    """Remove the magics again, and end the timer of `%remote_kernel --warn`."""
    kernel, functions = _loaded.pop(id(shell))
    kernel.warnings.cancel()
    for (kind, name), function in functions.items():
        magics = shell.magics_manager.magics[kind]
        if magics.get(name) == function:  # another extension may have taken the name
            del magics[name]
