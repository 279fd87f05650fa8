"""The options of a job of Slurm's, by the names that sbatch gives them.

Pure; called by `driver.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from remote_kernels.errors import ConfigError
from remote_kernels.options import (
    UNITS,
    Kind,
    Option,
    Value,
    choice,
    in_units,
    matching,
    one_of,
    text,
    texts,
    whole,
    whole_or,
    whole_text,
)


def flags(options: Mapping[str, Any], signal: str) -> list[str]:
    """Return them as sbatch and salloc take them; `signal` begins how that one is said."""
    argv = []
    for name, value in options.items():
        if name in _NOT_FLAGS or value is False:
            continue
        if name == "signal":
            argv.append(f"--{signal}{value}")
        elif value is True:
            argv.append(f"--{name}")
        else:
            argv.append(f"--{name}={value}")
    return argv


def _exclusive(value: object) -> Value:
    if isinstance(value, bool):
        return value
    return choice("user", "mcs", "topo")(value)


_CLOCK = r"\d+(:\d{1,2}){0,2}|\d+-\d{1,2}(:\d{1,2}){0,2}|UNLIMITED|INFINITE"
_LIMIT = whole_or(_CLOCK, least=0)


def _time(value: object) -> Value:
    """Read a time as Slurm writes it, or one with a unit as others do: 90m, 2h."""
    return in_units(value) or _LIMIT(value)


_JOB = "^ *(?:[1-9][0-9]*(?:;[A-Za-z0-9_.\\-]+)?|auto) *$"


def _job(value: object) -> str:
    """Read a number, JOB;CLUSTER, or auto."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found = text(value)
    if not re.search(_JOB, found):
        raise ConfigError
    return found


# What sbatch must not be told, and why. Slurm takes any unambiguous beginning of a
# long option, so those are refused as well.
_REASONS = {
    "array -a": "a kernel is one job, not an array of jobs",
    "error -e output -o": "the job's log goes to the kernel's own private directory",
    "export export-file": "the job's environment is chosen by env_keep",
    "help -h usage version -V test-only": "it would submit nothing",
    "input -i wrap": "the job's script is made here",
    "job-name -J": "the job is found again by the name that we give it",
    "parsable": "it is always given",
    "quiet -Q": "it would hide the job id",
    "requeue": "a job that starts anew has lost its kernel",
    "wait -W": "sbatch would not return before the job ends",
}
_REFUSED = {name: why for names, why in _REASONS.items() for name in names.split()}


def _sbatch_args(value: object) -> tuple[str, ...]:
    args = texts(value)
    takes_value = False
    for arg in args:
        if not arg.startswith("-") and not takes_value:
            reason = f"{arg!r} is no option; sbatch would take it for a script"
            raise ConfigError(reason)
        _refuse(arg)
        takes_value = arg.startswith("-") and "=" not in arg
    return args


def _refuse(arg: str) -> None:
    if arg in ("-", "--"):
        reason = f"{arg!r} ends the options of sbatch"
        raise ConfigError(reason)
    why = _REFUSED.get(arg[:2])
    if arg.startswith("--"):
        given = arg[2:].partition("=")[0]
        found = [why for name, why in _REFUSED.items() if name.startswith(given)]
        why = found[0] if found else None
    if why:
        reason = f"{arg!r} cannot be given to sbatch here: {why}"
        raise ConfigError(reason)


# One row a line, as a table is read.
# fmt: off
_TEXT = Kind(("string",), "text without line breaks", text)
_TIME = Kind(("string", "integer"), "a time limit: 2h, 90m, minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS or UNLIMITED", _time, bounds=(("minimum", 0),), pattern=whole_text(f"{_CLOCK}|{UNITS}"))
_SIZE = Kind(("string", "integer"), "a size: megabytes, or a number with K, M, G or T", whole_or(r"\d+([KMGT]B?)?", least=0))
_COUNT = Kind(("integer",), "a whole number above 0", whole, bounds=(("minimum", 1),))
_NODES = Kind(("integer", "string"), "a whole number above 0, or a range such as 1-2", whole_or(r"[1-9]\d*(-[1-9]\d*)?", least=1))
_GPUS = Kind(("integer", "string"), "a number of GPUs, with a type if wanted", whole_or(r"([^:,\s]+:)?\d+(,([^:,\s]+:)?\d+)*", least=0))
_HOW = Kind(("boolean", "string"), "true, false, user, mcs or topo", _exclusive, pattern="^(user|mcs|topo)$")
_ARGS = Kind(("list",), "a list of arguments", _sbatch_args)
_SIGNAL = Kind(("string",), "USR1 or USR2, and how many seconds before: USR1@120", matching(r"USR[12]@\d+"))
_JOBID = Kind(("string", "integer"), "a job's number, JOB;CLUSTER, or auto", _job, bounds=(("minimum", 1),), pattern=_JOB)
OPTIONS = (
    Option("partition", _TEXT, "NAME", "gpu", "Partition (queue) to submit to.", short="-p", portable="queue", title="Partition"),
    Option("account", _TEXT, "NAME", "proj42", "Account that pays for the job.", short="-A", portable="account"),
    Option("qos", _TEXT, "NAME", "interactive", "Quality of service.", short="-q", title="Quality of service"),
    Option("time", _TIME, "TIME", "2:00:00", "Time limit of the job, and so of the kernel: 2h, 90m, minutes, or D-HH:MM:SS.", short="-t", portable="time"),
    Option("nodes", _NODES, "N", 1, "Number of nodes; the kernel runs on the first.", short="-N", portable="nodes"),
    Option("ntasks", _COUNT, "N", 1, "Number of tasks to allocate for; a kernel is one.", short="-n", title="Tasks"),
    Option("cpus-per-task", _COUNT, "N", 4, "CPUs for the kernel.", short="-c", portable="cores", title="CPUs"),
    Option("mem", _SIZE, "SIZE", "4G", "Memory per node: 4G, 500M, or megabytes.", portable="memory", instead_of="mem-per-cpu"),
    Option("mem-per-cpu", _SIZE, "SIZE", "2G", "Memory per CPU, instead of mem.", instead_of="mem", title="Memory per CPU"),
    Option("gres", _TEXT, "LIST", "gpu:1", "Generic resources, such as gpu:1.", instead_of="gpus", elsewhere="has no generic resources; GPUs are 'gpus' on any batch system", title="Generic resources"),
    Option("gpus", _GPUS, "[TYPE:]N", 1, "Number of GPUs, with a type if wanted: a100:1.", short="-G", portable="gpus", instead_of="gres"),
    Option("constraint", _TEXT, "LIST", "skylake", "Features that the node must have.", short="-C", like="properties", title="Features of the node"),
    Option("reservation", _TEXT, "NAME", "course", "Reservation to run in.", like="reservation"),
    Option("exclusive", _HOW, "HOW", True, "Share the node with no other job, or with none of other users (user).", like="exclusive", title="Exclusive use of the node"),
    Option("signal", _SIGNAL, "SIG@SECONDS", "USR1@120", "Signal that the kernel gets before its time limit, to save its state. Without a handler it ends the kernel.", like="signal", title="Signal before the time limit"),
    Option("nodelist", _TEXT, "LIST", "node[01-02]", "Nodes that the job must get.", short="-w", like="hosts", title="Nodes by name"),
    Option("sbatch_args", _ARGS, "ARG", ["--mail-type=FAIL"], "Further argument for sbatch.", is_plain=False, title="Further arguments of sbatch"),
    Option("jobid", _JOBID, "JOB", "auto", "Job of yours that is running, in which the kernel is to start; auto: your only one; with several, the first cell asks which. The kernel's end leaves the job as it was.", elsewhere="cannot start a kernel in a job that is there already. 'allocation' lets several kernels share one job that the first of them makes", title="Job that is there already"),
    Option("start", one_of("sbatch", "salloc"), "HOW", "salloc", "How to ask for the job. salloc is faster than sbatch where nodes are free, but the kernel ends with the login node's processes of yours.", elsewhere="has one way to ask for a job; leave it out", title="How to ask for the job"),
)
# fmt: on
_NOT_FLAGS = ("sbatch_args", "jobid", "start")
