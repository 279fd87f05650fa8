"""The batch systems that are put through the contract, each real or played by a stand-in."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.standins import installed
from contracts.standins.flux import COMMANDS as FLUX_COMMANDS
from contracts.standins.lsf import COMMANDS as LSF_COMMANDS
from remote_kernels.scheduler.driver import Driver
from remote_kernels.scheduler.drivers import DRIVERS, environment
from remote_kernels.scheduler.job import Completed, JobId

INVENTED = Path(__file__).parent / "invented"
PBS_COMMANDS = (
    *("qsub", "qstat", "qselect", "qdel", "qalter", "qhold", "qrls", "qsig"),
    "pbsnodes",
)
PROGRAMS = ("absub", "abstat", "abdel", "abjoin")


WRONG = ("queue", "size", "time", "account", "nobody")
"""What can be wrong with a request: there is no such queue, no node has so much, no queue
allows so much time, the account is another's; or nobody answers."""


@dataclass(frozen=True)
class Wrong:
    """A request that cannot be met.

    Parameters
    ----------
    options
        What it asks for.
    words
        A pattern of what is said of it.
    """

    options: Mapping[str, Any]
    words: str


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
    lets_go
        The command that ends that wait of {job}.
    runs
        What it says of the job with this ID, which runs, in a state of this name.
    job_id
        What a job's ID looks like.
    options
        Those of a small job.
    limited
        Options without a time limit, and the seconds of the queue's; None where no queue
        is asked for its own.
    wrong
        What must be said of each in `WRONG`; a text says why it cannot be.
    kind
        "real", or "stand-in", or "invented" where there is no such batch system.
    """

    driver: Driver
    environ: Mapping[str, str]
    asleep: Mapping[str, str] | None
    waits: Mapping[str, Any] | None
    lets_go: Sequence[str]
    runs: Callable[[JobId, str], str]
    job_id: JobId
    options: Mapping[str, Any] = field(default_factory=dict)
    wrong: Mapping[str, Wrong | str] = field(default_factory=dict)
    limited: tuple[Mapping[str, Any], float] | None = None
    kind: str = "real"

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
        ["scontrol", "release", "{job}"],
        lambda job_id, state: f"{job_id}|{state}|None|c1|c1|N/A|N/A\n",
        JobId("17"),
        {"time": 5},
        wrong={
            "queue": Wrong({"partition": "nosuch"}, r"Change 'partition': `sinfo -s`"),
            "size": Wrong({"mem": 99999}, "No node has what is asked for"),
            "time": Wrong({"time": 600}, "never start .* Ask for less with 'time'"),
            "account": "the test cluster has no slurmdbd, and takes any account",
            "nobody": Wrong({}, "controller did not answer"),
        },
    )


def _nobody(directory: Path) -> Path:
    """The cluster's configuration, but for a port at which nobody listens."""
    conf, site = directory / "slurm.conf", Path("/etc/slurm/slurm.conf")
    text = site.read_text() if site.exists() else ""
    lines = [line for line in text.splitlines() if "slurmctldport" not in line.lower()]
    conf.write_text("\n".join([*lines, "SlurmctldPort=9", "MessageTimeout=2", ""]))
    return conf


def htcondor(directory: Path) -> System:
    driver = DRIVERS["htcondor"]
    environ = environment(driver, os.environ)
    return System(
        driver,
        environ,
        {**environ, "_CONDOR_SCHEDD_HOST": "nosuch.invalid"},
        {"submit_commands": ("hold = true",)},
        ["condor_release", "{job}"],
        _ad,
        JobId("17.0", "/log.script"),
        {"allowed_job_duration": "5m", "request_memory": "100M"},
        wrong={
            "queue": Wrong({"queue": "nosuch"}, "has no option queue"),
            "size": Wrong(
                {"request_memory": "900T"},
                "no machine of this pool has what it asks for",
            ),
            "time": "HTCondor takes any time limit",
            "account": "HTCondor takes any accounting group",
            "nobody": Wrong({}, "schedd did not answer"),
        },
    )


def _ad(job_id: JobId, state: str) -> str:
    cluster, _, process = job_id.number.partition(".")
    numbers = {"ClusterId": int(cluster), "ProcId": int(process)}
    return json.dumps([{**numbers, "JobStatus": state, "RemoteHost": "slot1@c1"}])


def gridengine(directory: Path) -> System:
    driver = DRIVERS["gridengine"]
    environ = environment(driver, os.environ)
    row = (
        "<job_list><JB_job_number>{}</JB_job_number><JB_name>n</JB_name><state>{}</state>"
        "<queue_name>a.q@c1</queue_name></job_list>"
    )
    return System(
        driver,
        environ,
        {**environ, "SGE_QMASTER_PORT": "9"},
        {"qsub_args": ["-h"]},
        ["qrls", "{job}"],
        lambda job_id, state: f"<a>{row.format(job_id, state)}</a>",
        JobId("17"),
        {"h_rt": "5m"},
        wrong={
            "queue": Wrong({"q": "nosuch.q"}, r"Change 'queue' \(`qconf -sql`"),
            "size": Wrong({"gpu": 99}, "can never start as asked"),
            "time": Wrong({"h_rt": "900h"}, "can never start as asked"),
            "account": Wrong({"P": "bobs"}, "Set 'account' to a project of yours"),
            "nobody": Wrong({}, "qmaster"),
        },
        limited=({"q": "debug.q"}, 3600.0),
    )


def local(directory: Path) -> System:
    driver = DRIVERS["local"]
    return System(
        driver,
        environment(driver, os.environ),
        None,
        None,
        [],
        lambda job_id, state: f"{job_id.number};{job_id.where}|{state}||||here\n",
        JobId("17-99", "/log"),
        wrong={
            "queue": Wrong({"queue": "nosuch"}, "no batch system obeys that"),
            "size": Wrong({"memory": "900T"}, "no batch system obeys that"),
            "time": Wrong({"time": "900h"}, "no batch system obeys that"),
            "account": Wrong({"account": "bobs"}, "no batch system obeys that"),
            "nobody": "there is always this machine",
        },
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
        ["touch", str(directory / "home" / "let-in")],
        lambda job_id, state: f"{job_id}/{state}/name/here/\n",
        JobId("ƒ17;b"),
        wrong={
            "queue": Wrong({"queue": "nosuch"}, "has no option"),
            "size": Wrong({"beads": 100, "patience": 1}, "There are no such beads"),
            "time": Wrong({"time": "900h"}, "has no option"),
            "account": Wrong({"account": "bobs"}, "has no option"),
            "nobody": Wrong({}, "The abacus sleeps"),
        },
        kind="invented",
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


def oar(directory: Path) -> System:
    """Its commands ask a database; libpq (15) looks for that where PGHOSTADDR says."""
    driver = DRIVERS["oar"]
    environ = environment(driver, os.environ)
    row = '{{"{}": {{"state": "{}", "assigned_network_address": ["c1"]}}}}'
    return System(
        driver,
        environ,
        {**environ, "PGHOSTADDR": "127.0.0.1"},
        {"oarsub_args": ["--hold"]},
        ["oarresume", "{job}"],
        lambda job_id, state: row.format(job_id, state),
        JobId("17"),
        {"walltime": "0:05:00"},
        wrong={
            "queue": Wrong({"queue": "nosuch"}, "shows the queues of all jobs"),
            "size": Wrong({"nodes": 99}, "No nodes of this cluster, busy or not"),
            "time": "OAR limits the time of interactive jobs alone",
            "account": "a project is a word of the user's for OAR",
            "nobody": Wrong({}, "OAR's server or its database does not answer"),
        },
    )


def pbs(directory: Path) -> System:
    """Played by a stand-in."""
    driver = DRIVERS["pbs"]
    environ = {**environment(driver, os.environ), **pbs_environ(directory)}
    return System(
        driver,
        environ,
        {**environ, "STANDIN_HOME": "/nowhere"},
        {"qsub_args": ["-h"]},
        ["qrls", "{job}"],
        lambda job_id, state: f'{{"Jobs":{{"{job_id}":{{"job_state":"{state}"}}}}}}',
        JobId("17.standin"),
        {"walltime": "0:05:00"},
        wrong={
            "queue": Wrong({"queue": "nosuch"}, "Change 'queue': `qstat -Q`"),
            "size": Wrong({"ncpus": 1000}, "can never start as asked .* so many CPUs"),
            "time": Wrong({"walltime": "900h"}, "No queue takes a job of that size"),
            "account": Wrong({"account": "bobs"}, "Change 'account' or 'project'"),
            "nobody": Wrong({}, "server did not answer"),
        },
        kind="stand-in",
    )


def pbs_environ(directory: Path) -> dict[str, str]:
    """A new stand-in for PBS there, and how to find it."""
    return installed("pbs", PBS_COMMANDS, directory)


def torque(directory: Path) -> System:
    """Played by a stand-in."""
    driver = DRIVERS["torque"]
    environ = {**environment(driver, os.environ), **torque_environ(directory)}
    return System(
        driver,
        environ,
        {**environ, "STANDIN_HOME": "/nowhere"},
        {"qsub_args": ["-h"]},
        ["qrls", "{job}"],
        lambda job_id, state: (
            f"<Data><Job><Job_Id>{job_id}</Job_Id><job_state>{state}</job_state></Job>"
            "</Data>"
        ),
        JobId("17.standin.torque"),
        {"walltime": "0:05:00"},
        wrong={
            "queue": Wrong({"queue": "nosuch"}, "Change 'queue': `qstat -Q`"),
            "size": Wrong({"ppn": 1000}, "No queue takes a job of that size"),
            "time": Wrong({"walltime": "900h"}, "No queue takes a job of that size"),
            "account": Wrong({"account": "bobs"}, "Change 'account'"),
            "nobody": Wrong({}, "server did not answer"),
        },
        kind="stand-in",
    )


def torque_environ(directory: Path) -> dict[str, str]:
    """A new stand-in for Torque there, and how to find it."""
    return installed("torque", PBS_COMMANDS, directory)


def lsf(directory: Path) -> System:
    """A stand-in, as we have no LSF."""
    driver = DRIVERS["lsf"]
    environ = {**environment(driver, os.environ), **lsf_environ(directory)}

    def runs(job_id: JobId, state: str) -> str:
        row = {"JOBID": str(job_id), "STAT": state, "JOB_NAME": "a", "EXEC_HOST": "b"}
        return json.dumps({"COMMAND": "bjobs", "JOBS": 1, "RECORDS": [row]})

    return System(
        driver,
        environ,
        {**environ, "STANDIN_HOME": "/nowhere"},
        {"bsub_args": ["-H"]},
        ["bresume", "{job}"],
        runs,
        JobId("17"),
        {"W": 5},
        wrong={
            "queue": Wrong({"q": "nosuch"}, "Change 'q': `bqueues`"),
            "size": Wrong({"n": 1000}, "Ask for fewer with 'n'"),
            "time": Wrong({"W": "900:00"}, "Ask for less with 'W'"),
            "account": "a project is a word of the user's for LSF",
            "nobody": Wrong({}, "LSF did not answer"),
        },
        kind="stand-in",
    )


def lsf_environ(directory: Path) -> dict[str, str]:
    """A new stand-in for LSF there, and how to find it."""
    return installed("lsf", LSF_COMMANDS, directory)


def flux(directory: Path) -> System:
    """A stand-in, as we have no Flux."""
    driver = DRIVERS["flux"]
    environ = {**environment(driver, os.environ), **flux_environ(directory)}
    numbers = {"fiFkbMhFM": 91088924704768}
    return System(
        driver,
        environ,
        {**environ, "STANDIN_HOME": "/nowhere"},
        {"urgency": 0},
        ["flux", "job", "urgency", "{job}", "16"],
        lambda job_id, state: json.dumps({"id": numbers[str(job_id)], "state": state}),
        JobId("fiFkbMhFM"),
        {"time-limit": 5},
        wrong={
            "queue": Wrong({"queue": "nosuch"}, "Change 'queue': `flux queue list`"),
            "size": Wrong({"cores-per-slot": 1000}, "No nodes have what is asked for"),
            "time": Wrong({"time-limit": "900h"}, "Ask for less with 'time-limit'"),
            "account": Wrong({"bank": "bobs"}, "Change 'bank' to one that you may use"),
            "nobody": Wrong({}, "Flux did not answer"),
        },
        kind="stand-in",
    )


def flux_environ(directory: Path) -> dict[str, str]:
    """A new stand-in for Flux there, and how to find it."""
    return installed("flux", FLUX_COMMANDS, directory)


SYSTEMS = {
    "slurm": slurm,
    "gridengine": gridengine,
    "htcondor": htcondor,
    "oar": oar,
    "pbs": pbs,
    "torque": torque,
    "lsf": lsf,
    "flux": flux,
    "local": local,
    "abacus": abacus,
}
ON_CLUSTERS = ("slurm", "gridengine", "htcondor", "oar")
"""Those that only the test cluster has; the one that is up is tested."""
