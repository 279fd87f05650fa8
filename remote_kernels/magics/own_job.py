"""The job that this kernel runs in, whatever batch system it is of.

Each batch system has a package beside this file, with `own_job` and `magics`. Called by
`remote_kernel.py` and `load`.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from remote_kernels import magics
from remote_kernels.errors import CommandError, ControllerError
from remote_kernels.magics import command
from remote_kernels.scheduler.driver import Driver
from remote_kernels.scheduler.drivers import DRIVERS, environment
from remote_kernels.scheduler.here import detected
from remote_kernels.scheduler.job import Completed, JobId, JobStatus

PATIENCE = 20.0  # seconds for an answer about the job
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

    driver: ClassVar[Driver | None] = None
    """Whose job it is; None where only asking tells."""

    def end_time(self) -> float | None:
        """Ask when the job reaches its time limit, which may have been moved.

        Returns
        -------
        float or None
            Seconds since the epoch; None without a limit.

        Raises
        ------
        CommandError
            The batch system does not say.
        """
        return self.status().end_time

    def status(self) -> JobStatus:
        """Ask the batch system about the job. Raises CommandError if it does not say."""
        driver = self.driver or detected()
        if driver.is_fallback:
            summary = f"The batch system of job {self.id} cannot be asked from here."
            raise CommandError(summary, [], None)
        env = environment(driver, os.environ)
        said = Completed((), 0, "", "")
        for query in driver.status([JobId(self.id)]):
            said = command.run(query.argv, env=env, timeout=PATIENCE)
            for status in query.answer(said).values():
                if status.job_id.number == self.id:
                    return status
        raise said.error(
            ControllerError, f"{driver.title} does not list job {self.id}."
        )


def systems() -> dict[str, ModuleType]:
    """Return the packages of the batch systems that have magics, by their names."""
    return {
        module.name: importlib.import_module(f"{magics.__name__}.{module.name}")
        for module in pkgutil.iter_modules(magics.__path__)
        if module.ispkg
    }


def enclosing(environ: Mapping[str, str]) -> tuple[str, OwnJob] | None:
    """Return the batch system of the enclosing job, and the job; None if there is none.

    A job that another one has submitted may have that one's variables, too, if it is of
    another batch system: RK_JOB_ID is its own.
    """
    jobs = ((name, system.own_job(environ)) for name, system in systems().items())
    found: list[tuple[str, OwnJob]] = [(name, job) for name, job in jobs if job]
    number = environ.get("RK_JOB_ID")
    own = [(name, job) for name, job in found if job.id == number]
    return next(iter(own or found), None)


def own_job(environ: Mapping[str, str]) -> OwnJob | None:
    """Return the enclosing job; None outside of one."""
    found = enclosing(environ)
    if found is not None:
        return found[1]
    if not environ.get("RK_JOB_ID"):
        return None
    return OwnJob(environ["RK_JOB_ID"], environ.get("RK_NODE") or os.uname().nodename)


def system_here(environ: Mapping[str, str]) -> ModuleType | None:
    """Return the package of the batch system whose commands are meant here, if any.

    It is that of the enclosing job. Outside of one the batch systems are asked, as
    several have commands of the same names; where none is here, it is the one that most
    sites have, so that its magics can say what is missing.
    """
    found, packages = enclosing(environ), systems()
    if found is not None:
        return packages[found[0]]
    driver = detected()
    if not driver.is_fallback:
        return packages.get(driver.name)
    return next(packages[name] for name in DRIVERS if name in packages)
