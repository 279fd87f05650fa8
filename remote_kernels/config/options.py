"""The one table of the keys that a kernelspec's `config` may hold.

The command line makes its options from it, and the help texts are the documentation.
Called by `parse`, and by whoever shows options to people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import readers


@dataclass(frozen=True)
class Option:
    """One key of the kernelspec's config.

    `kinds` are JSON's words for what the value may be: string, integer, number,
    boolean, list; and numbers for what is in a list. `scheduler` says that the key
    goes to the scheduler, under this very name. `read` turns a JSON value into ours,
    or raises ConfigError (with a reason, where `expected` does not say it all).
    """

    name: str
    help: str
    metavar: str
    example: Any
    scheduler: bool
    kinds: tuple[str, ...]
    expected: str
    read: Callable[[object], Any]
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Kind:
    kinds: tuple[str, ...]
    expected: str
    read: Callable[[object], Any]
    choices: tuple[str, ...] = ()


def _one_of(*choices: str) -> _Kind:
    expected = f"one of {', '.join(choices)}"
    return _Kind(("string",), expected, readers.choice(*choices), choices)


# One row a line, as a table is read.
# fmt: off
_TEXT = _Kind(("string",), "text without line breaks", readers.text)
_TIME = _Kind(("string", "integer"), "a time limit: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS or UNLIMITED", readers.whole_or(r"\d+(:\d{1,2}){0,2}|\d+-\d{1,2}(:\d{1,2}){0,2}|UNLIMITED|INFINITE", least=0))
_SIZE = _Kind(("string", "integer"), "a size: megabytes, or a number with K, M, G or T", readers.whole_or(r"\d+([KMGT]B?)?", least=0))
_COUNT = _Kind(("integer",), "a whole number above 0", readers.whole)
_NODES = _Kind(("integer", "string"), "a whole number above 0, or a range such as 1-2", readers.whole_or(r"[1-9]\d*(-[1-9]\d*)?", least=1))
_GPUS = _Kind(("integer", "string"), "a number of GPUs, with a type if wanted", readers.whole_or(r"([^:,\s]+:)?\d+(,([^:,\s]+:)?\d+)*", least=0))
_HOW = _Kind(("boolean", "string"), "true, false, user, mcs or topo", readers.exclusive)
_ARGS = _Kind(("list",), "a list of arguments", readers.sbatch_args)
_WORDS = _Kind(("list",), "a list of words", readers.texts)
_LINES = _Kind(("list", "string"), "lines of shell", readers.lines)
_NAMES = _Kind(("list", "string"), "names of variables, or patterns with * and ?", readers.names)
_COMMAND = _Kind(("string",), "a command's name or path", readers.text)
_PATH = _Kind(("string",), "an absolute path, or one that starts with ~", readers.matching(r"/.*|~[^/]*(/.*)?"))
_NODE_PATH = _Kind(("string",), "an absolute path, or one that starts with a variable", readers.matching(r"/.*|\$(\w+|\{\w+\})(/.*)?"))
_ADDRESS = _Kind(("string",), "text in which {node} stands for the node's name", readers.address)
_SIGNAL = _Kind(("string",), "USR1 or USR2, and how many seconds before: USR1@120", readers.matching(r"USR[12]@\d+"))
_SPANS = _Kind(("list", "numbers"), "a list of numbers of seconds above 0", readers.spans)
_SPAN = _Kind(("number",), "a number of seconds above 0", readers.seconds)
_LONG_SPAN = _Kind(("number",), "a number of seconds, at least 1", partial(readers.seconds, least=1))
# Its tenth is how often the agent looks at all processes of the node.
_SILENCE = _Kind(("number",), "a number of seconds, at least 10", partial(readers.seconds, least=10))
_JOBID = _Kind(("string", "integer"), "a job's number, JOB;CLUSTER, or auto", readers.job)
_WHERE = _Kind(("string", "integer"), "a node's name, or its number in the job from 0", readers.number_or(r"\w[\w.-]*"))
_WHICH = _Kind(("string", "integer"), "numbers of GPUs from 0, such as 0 or 0,1, or none", readers.number_or(r"\d+(,\d+)*|none"))
_NAME = _Kind(("string",), "letters, digits, and any of . _ -", readers.matching(r"\w[\w.-]{0,63}"))
_START = _one_of("sbatch", "salloc")
_SCHEDULER = _one_of("auto", "slurm", "local")
_CARRIER = _one_of("auto", "ssh", "srun", "pipe")
_TRANSPORT = _one_of("auto", "ipc", "tcp")

# Name, kind, metavar, example, help. The first go to the scheduler under their names.
_Rows = tuple[tuple[str, _Kind, str, Any, str], ...]
_ROWS: _Rows = (
    ("partition", _TEXT, "NAME", "gpu", "Partition (queue) to submit to."),
    ("account", _TEXT, "NAME", "proj42", "Account that pays for the job."),
    ("qos", _TEXT, "NAME", "interactive", "Quality of service."),
    ("time", _TIME, "TIME", "2:00:00", "Time limit of the job, and so of the kernel: minutes, or D-HH:MM:SS."),
    ("nodes", _NODES, "N", 1, "Number of nodes; the kernel runs on the first."),
    ("ntasks", _COUNT, "N", 1, "Number of tasks to allocate for; a kernel is one."),
    ("cpus-per-task", _COUNT, "N", 4, "CPUs for the kernel."),
    ("mem", _SIZE, "SIZE", "4G", "Memory per node: 4G, 500M, or megabytes."),
    ("mem-per-cpu", _SIZE, "SIZE", "2G", "Memory per CPU, instead of mem."),
    ("gres", _TEXT, "LIST", "gpu:1", "Generic resources, such as gpu:1."),
    ("gpus", _GPUS, "[TYPE:]N", 1, "Number of GPUs, with a type if wanted: a100:1."),
    ("constraint", _TEXT, "LIST", "skylake", "Features that the node must have."),
    ("reservation", _TEXT, "NAME", "course", "Reservation to run in."),
    ("exclusive", _HOW, "HOW", True, "Share the node with no other job, or with none of other users (user)."),
    ("signal", _SIGNAL, "SIG@SECONDS", "USR1@120", "Signal that the kernel gets before its time limit, to save its state. Without a handler it ends the kernel."),
    ("nodelist", _TEXT, "LIST", "node[01-02]", "Nodes that the job must get."),
)
_OUR_ROWS: _Rows = (
    ("sbatch_args", _ARGS, "ARG", ["--mail-type=FAIL"], "Further argument for sbatch."),
    ("jobid", _JOBID, "JOB", "auto", "Job of yours that is running, in which the kernel is to start; auto: your only one; with several, the first cell asks which. The kernel's end leaves the job as it was."),
    ("allocation", _NAME, "NAME", "team", "Share one job with all kernels that name the same allocation. The first one's options make the job."),
    ("keep", _SPAN, "SECONDS", 300, "How long a shared job is kept without a kernel."),
    ("node", _WHERE, "NODE", 1, "Node of the shared job for this kernel: its name, or its number from 0; default: the first."),
    ("visible_gpus", _WHICH, "LIST", "0,1", "Which of the job's GPUs on its node the kernel sees, by their numbers from 0, or none; default: all."),
    ("start", _START, "HOW", "salloc", "How to ask for the job. salloc is faster than sbatch where nodes are free, but the kernel ends with the login node's processes of yours."),
    ("scheduler", _SCHEDULER, "NAME", "slurm", "What runs the job: Slurm, or this machine itself (local). auto: slurm where sbatch is on PATH."),
    ("carrier", _CARRIER, "NAME", "ssh", "How to reach the job: ssh to its node, srun into it, or a pipe (scheduler local). auto tries them."),
    ("transport", _TRANSPORT, "NAME", "tcp", "What the kernel listens on at its node: Unix sockets (ipc) or loopback TCP."),
    ("python", _COMMAND, "PATH", "/usr/bin/python3.11", "Python 3.9 or later that runs the agent on the node; default: search."),
    ("prologue", _LINES, "LINE", ["module load python"], "Shell line to run on the node before the kernel."),
    ("prefix", _WORDS, "WORD", ["apptainer", "exec", "image.sif"], "Words to put before the kernel's command, such as a container's."),
    ("env_keep", _NAMES, "NAME", ["HTTPS_PROXY", "LAB_*"], "Variable of the notebook server's environment that the job may see."),
    ("state_dir", _PATH, "DIR", "/work/me/kernels", "Directory for the kernels' records, shared by login and compute nodes."),
    ("runtime_dir", _PATH, "DIR", "/run/user/1000/kernels", "Directory on the login node for the sockets; a short path."),
    ("node_dir", _NODE_PATH, "DIR", "/scratch/$USER", "Directory on the compute node for the job's sockets and files; a short path."),
    ("address", _ADDRESS, "TEMPLATE", "{node}-ib", "Name to reach a node by, made from Slurm's name for it."),
    ("start_timeout", _SPAN, "SECONDS", 300, "How long the kernel may take to start once its job runs."),
    ("queue_timeout", _SPAN, "SECONDS", 3600, "How long the job may wait in the queue; default: no limit."),
    ("poll_interval", _SPAN, "SECONDS", 2, "Least time between two questions to the scheduler."),
    ("dead_after", _SPAN, "SECONDS", 15, "How long a silent connection is waited for before another is made."),
    ("silence", _SILENCE, "SECONDS", 3600, "How long an idle kernel may be without a server before it ends and gives its job back."),
    ("spool", _COUNT, "MIB", 512, "Output kept on the node's disk for a server that is away, in MiB for each of the kernel's sockets; beyond it the oldest is dropped."),
    ("usage", _LONG_SPAN, "SECONDS", 10, "How often to measure the kernel's use of CPU, memory and GPUs; default: never."),
    ("warn_before", _SPANS, "SECONDS", [600, 120], "When to warn before the time limit."),
)
# fmt: on


def _option(
    name: str, kind: _Kind, metavar: str, example: Any, help: str, *, scheduler: bool
) -> Option:
    return Option(name, help, metavar, example, scheduler, **vars(kind))


OPTIONS: tuple[Option, ...] = (
    *(_option(*row, scheduler=True) for row in _ROWS),
    *(_option(*row, scheduler=False) for row in _OUR_ROWS),
)
BY_KEY = {option.name.replace("-", "_"): option for option in OPTIONS}
