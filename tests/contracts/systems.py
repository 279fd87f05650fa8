"""The batch systems that are put through the contract, each for real."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remote_kernels.scheduler.driver import Driver
from remote_kernels.scheduler.drivers import DRIVERS, environment
from remote_kernels.scheduler.job import Completed, JobId

INVENTED = Path(__file__).parent / "invented"
PROGRAMS = ("absub", "abstat", "abdel", "abjoin")


@dataclass(frozen=True)
class System:
    """One of them.

    Parameters
    ----------
    driver
        Its driver.
    environ
        What its commands need to find it.
    asleep
        What they need to find nobody; None where there is always somebody.
    waits
        Options with which a job waits for ever; None where jobs never wait.
    runs
        What it says of the job with this ID, which runs, in a state of this name.
    job_id
        What a job's ID looks like.
    options
        Those of a small job.
    """

    driver: Driver
    environ: Mapping[str, str]
    asleep: Mapping[str, str] | None
    waits: Mapping[str, Any] | None
    runs: Callable[[JobId, str], str]
    job_id: JobId
    options: Mapping[str, Any] = field(default_factory=dict)

    def said(self, job_id: JobId, state: str) -> Completed:
        (query,) = self.driver.status([job_id])
        return Completed(tuple(query.argv), 0, self.runs(job_id, state), "")


def slurm(directory: Path) -> System:
    driver = DRIVERS["slurm"]
    environ = environment(driver, os.environ)
    return System(
        driver,
        environ,
        {**environ, "SLURM_CONF": str(_nobody(directory))},
        {"sbatch_args": ["--hold"]},
        lambda job_id, state: f"{job_id}|{state}|None|c1|c1|N/A|N/A\n",
        JobId("17"),
        {"time": 5},
    )


def _nobody(directory: Path) -> Path:
    """The cluster's configuration, but for a port at which nobody listens."""
    conf = directory / "slurm.conf"
    text = Path("/etc/slurm/slurm.conf").read_text()
    lines = [line for line in text.splitlines() if "slurmctldport" not in line.lower()]
    conf.write_text("\n".join([*lines, "SlurmctldPort=9", "MessageTimeout=2", ""]))
    return conf


def local(directory: Path) -> System:
    driver = DRIVERS["local"]
    return System(
        driver,
        environment(driver, os.environ),
        None,
        None,
        lambda job_id, state: f"{job_id.number};{job_id.where}|{state}||||here\n",
        JobId("17-99", "/log"),
    )


def abacus(directory: Path) -> System:
    """Invented, and found as any package's driver is."""
    if str(INVENTED) not in sys.path:
        sys.path.insert(0, str(INVENTED))
    from abacus import DRIVER

    environ = {**environment(DRIVER, os.environ), **abacus_environ(directory)}
    return System(
        DRIVER,
        environ,
        {**environ, "ABACUS_HOME": "/nowhere"},
        {"patience": 1},
        lambda job_id, state: f"{job_id}/{state}/name/here/\n",
        JobId("ƒ17;b"),
    )


def abacus_environ(directory: Path) -> dict[str, str]:
    """A new abacus there, and how to find it."""
    home, commands = directory / "home", directory / "bin"
    for path in (home, commands):
        path.mkdir(exist_ok=True)
    program = INVENTED / "abacus" / "program.py"
    for name in PROGRAMS:
        words = f'{sys.executable} -I -S {program} {name} "$@"'
        (commands / name).write_text(f"#!/bin/sh\nexec {words}\n")
        (commands / name).chmod(0o700)
    places = f"{commands}:{os.environ['PATH']}"
    return {"ABACUS_HOME": str(home), "PATH": places}


SYSTEMS = {"slurm": slurm, "local": local, "abacus": abacus}
