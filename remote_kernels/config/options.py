"""The keys of a kernelspec's `config` that are ours, whatever batch system runs the job.

The command line makes its options from these and the drivers' own, and the help texts
are the documentation. Called by `parse`, and by whoever shows options to people.
"""

from __future__ import annotations

from functools import partial

from remote_kernels.options import (
    LONGEST,
    Kind,
    Option,
    address,
    how_often,
    lines,
    matching,
    names,
    number_or,
    one_of,
    seconds,
    spans,
    text,
    texts,
    whole,
)
from remote_kernels.scheduler.drivers import DRIVERS

# One row a line, as a table is read.
# fmt: off
_LONGEST = ("exclusiveMaximum", LONGEST)
_COUNT = Kind(("integer",), "a whole number above 0", whole, bounds=(("minimum", 1),))
_WORDS = Kind(("list",), "a list of words", texts)
_LINES = Kind(("list", "string"), "lines of shell", lines)
_NAMES = Kind(("list", "string"), "names of variables, or patterns with * and ?", names)
_COMMAND = Kind(("string",), "a command's name or path", text)
_PATH = Kind(("string",), "an absolute path, or one that starts with ~", matching(r"/.*|~[^/]*(/.*)?"))
_NODE_PATH = Kind(("string",), "an absolute path, or one that starts with a variable", matching(r"/.*|\$(\w+|\{\w+\})(/.*)?"))
_ADDRESS = Kind(("string",), "text in which {node} stands for the node's name", address)
_SPANS = Kind(("list", "numbers"), "a list of numbers of seconds above 0", spans, bounds=(("exclusiveMinimum", 0), _LONGEST))
_SPAN = Kind(("number",), "a number of seconds above 0", seconds, bounds=(("exclusiveMinimum", 0), _LONGEST))
_OFTEN = Kind(("number",), "a number of seconds, or 0 for never", how_often, bounds=(("minimum", 0), _LONGEST))
_SILENCE = Kind(("number",), "a number of seconds, at least 10", partial(seconds, least=10), bounds=(("minimum", 10), _LONGEST))
_WHERE = Kind(("string", "integer"), "a node's name, or its number in the job from 0", number_or(r"\w[\w.-]*"))
_WHICH = Kind(("string", "integer"), "numbers of GPUs from 0, such as 0 or 0,1, or none", number_or(r"\d+(,\d+)*|none"))
_NAME = Kind(("string",), "letters, digits, and any of . _ -", matching(r"\w[\w.-]{0,63}"))
_SCHEDULER = one_of("auto", *DRIVERS)
_CARRIER = one_of("auto", *dict.fromkeys(name for driver in DRIVERS.values() for name in driver.carriers))
_TRANSPORT = one_of("auto", "ipc", "tcp")

OPTIONS: tuple[Option, ...] = (
    Option("allocation", _NAME, "NAME", "team", "Share one job with all kernels that name the same allocation. The first one's options make the job.", is_plain=False),
    Option("keep", _SPAN, "SECONDS", 300, "How long a shared job is kept without a kernel.", is_plain=False),
    Option("node", _WHERE, "NODE", 1, "Node of the shared job for this kernel: its name, or its number from 0; default: the first.", is_plain=False),
    Option("visible_gpus", _WHICH, "LIST", "0,1", "Which of the job's GPUs on its node the kernel sees, by their numbers from 0, or none; default: all.", is_plain=False),
    Option("scheduler", _SCHEDULER, "NAME", "slurm", "What runs the job: a batch system, or this machine itself (local). auto: the batch system that is found here.", is_plain=False),
    Option("carrier", _CARRIER, "NAME", "ssh", "How to reach the job: ssh to its node, the batch system's own way into it, or a pipe (scheduler local). auto tries them."),
    Option("transport", _TRANSPORT, "NAME", "tcp", "What the kernel listens on at its node: Unix sockets (ipc) or loopback TCP."),
    Option("python", _COMMAND, "PATH", "/usr/bin/python3.11", "Python 3.9 or later that runs the agent on the node; default: search.", is_plain=False),
    Option("prologue", _LINES, "LINE", ["module load python"], "Shell line to run on the node before the kernel.", is_plain=False),
    Option("prefix", _WORDS, "WORD", ["apptainer", "exec", "image.sif"], "Words to put before the kernel's command, such as a container's.", is_plain=False),
    Option("env_keep", _NAMES, "NAME", ["HTTPS_PROXY", "LAB_*"], "Variable of the notebook server's environment that the job may see.", is_plain=False),
    Option("state_dir", _PATH, "DIR", "/work/me/kernels", "Directory for the kernels' records, shared by login and compute nodes.", is_plain=False),
    Option("runtime_dir", _PATH, "DIR", "/run/user/1000/kernels", "Directory on the login node for the sockets; a short path.", is_plain=False),
    Option("node_dir", _NODE_PATH, "DIR", "/scratch/$USER", "Directory on the compute node for the job's sockets and files; a short path.", is_plain=False),
    Option("address", _ADDRESS, "TEMPLATE", "{node}-ib", "Name to reach a node by, made from the batch system's name for it.", is_plain=False),
    Option("start_timeout", _SPAN, "SECONDS", 300, "How long the kernel may take to start once its job runs."),
    Option("queue_timeout", _SPAN, "SECONDS", 3600, "How long the job may wait in the queue; default: no limit."),
    Option("poll_interval", _SPAN, "SECONDS", 2, "Least time between two questions to the scheduler."),
    Option("dead_after", _SPAN, "SECONDS", 15, "How long a silent connection is waited for before another is made."),
    Option("silence", _SILENCE, "SECONDS", 3600, "How long an idle kernel may be without a server before it ends and gives its job back."),
    Option("spool", _COUNT, "MIB", 512, "Output kept on the node's disk for a server that is away, in MiB for each of the kernel's sockets; beyond it the oldest is dropped."),
    Option("hold", _COUNT, "MIB", 64, "Output kept for pages that come back, in MiB, until one has shown and saved it; beyond it the oldest is dropped."),
    Option("usage", _OFTEN, "SECONDS", 10, "How often to measure the kernel's use of CPU, memory and GPUs, at most once a second; 0: never. Default: 10, and never for scripts."),
    Option("warn_before", _SPANS, "SECONDS", [600, 120], "When to warn before the time limit."),
)
# fmt: on
