"""The job that this kernel runs in, whatever batch system it is of.

Each batch system has a package beside this file, with `own_job` and `magics`. Called by
`remote_kernel.py` and `load`.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from remote_kernels import magics
from remote_kernels.errors import CommandError

Magic = Callable[..., Any]


@dataclass(frozen=True)
class OwnJob:
    """What this kernel was told about its job when the job started.

    Parameters
    ----------
    id, node, name, partition, account : str
        What the job is called, and where it runs; "" if not told.
    cpus : int or None
        CPUs that it got on this node; None if not told.
    memory : int or None
        Bytes that it got on this node; None if not told.
    gpus : str
        The GPUs that it got, as the batch system writes them.
    promised_end : float or None
        When it ends, in seconds since the epoch; None if not told.
    """

    id: str
    node: str
    name: str = ""
    partition: str = ""
    account: str = ""
    cpus: int | None = None
    memory: int | None = None
    gpus: str = ""
    promised_end: float | None = None

    def end_time(self) -> float | None:
        """Ask when the job reaches its time limit.

        Returns
        -------
        float or None
            Seconds since the epoch; None without a limit.

        Raises
        ------
        CommandError
            The batch system does not say.
        """
        summary = f"The batch system of job {self.id} cannot be asked from here."
        raise CommandError(summary, [], None)


def systems() -> Iterator[ModuleType]:
    """Yield the packages of the batch systems that have magics."""
    for module in pkgutil.iter_modules(magics.__path__):
        if module.ispkg:
            yield importlib.import_module(f"{magics.__name__}.{module.name}")


def own_job(environ: Mapping[str, str]) -> OwnJob | None:
    """Return the enclosing job; None outside of one."""
    for system in systems():
        job: OwnJob | None = system.own_job(environ)
        if job is not None:
            return job
    if not environ.get("RK_JOB_ID"):
        return None
    return OwnJob(environ["RK_JOB_ID"], environ.get("RK_NODE") or os.uname().nodename)
