"""The job that this kernel runs in, for `%remote_kernel`, whatever batch system it is.

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
    """What this kernel was told about its job when that started.

    `memory` is what the job got on this node, in bytes; `promised_end` when it ends, in
    seconds since the epoch. None: not told.
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
        """Ask when the job reaches its time limit; None without a limit.

        CommandError if nobody tells.
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
