"""The options of a job of Torque's, by the names that qsub and its resources have.

Pure; called by `driver.py`. How times, sizes and further arguments are written and read is PBS's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remote_kernels.options import DURATION, SIZE, Kind, Option, texts
from remote_kernels.scheduler.pbs.options import (
    COUNT,
    DELAYS,
    GPUS,
    REFUSED,
    TEXT,
    VALUES,
    WORD,
    further,
    size,
    walltime,
)


def flags(options: Mapping[str, Any]) -> list[str]:
    """Return them as qsub takes them. Its `mem` is the whole job's."""
    argv = []
    for name, flag in (("queue", "-q"), ("account", "-A")):
        argv += [flag, options[name]] if name in options else []
    nodes = options.get("nodes", 1)
    request = [str(nodes)]
    request += [
        f"{name}={options[name]}" for name in ("ppn", "gpus") if options.get(name)
    ]
    request += options.get("properties", ())
    if "nodes" in options or len(request) > 1:
        argv += ["-l", f"nodes={':'.join(request)}"]
    if "mem" in options:
        argv += ["-l", f"mem={size(options['mem'], nodes)}"]
    if "walltime" in options:
        argv += ["-l", f"walltime={walltime(options['walltime'])}"]
    return [*argv, *options.get("qsub_args", ())]


_QSUB = further(
    "qsub",
    {
        **REFUSED,
        "t": "a kernel is one job, not an array of jobs",
        "F": "the job's script is made here, and takes no arguments",
        "x": "a kernel's job is no interactive one",
        "P": "a kernel's job is its user's own",
    },
    "EfhnXz",
    VALUES,
)

# One row a line, as a table is read.
# fmt: off
_PROPERTIES = Kind(("list",), "a list of properties that nodes have", texts)
_ARGS = Kind(("list",), "a list of arguments", _QSUB)
OPTIONS = (
    Option("queue", WORD, "NAME", "batch", "Queue to submit to.", portable="queue"),
    Option("account", TEXT, "NAME", "proj42", "Account that pays for the job.", portable="account"),
    Option("walltime", DURATION, "TIME", "2:00:00", "Time limit of the job, and so of the kernel: H:MM:SS, or with a unit, as in 90m.", portable="time"),
    Option("nodes", COUNT, "N", 2, "Number of nodes; the kernel runs on the first.", portable="nodes"),
    Option("ppn", COUNT, "N", 4, "Processors on each node.", portable="cores", title="Processors on each node"),
    Option("mem", SIZE, "SIZE", "4G", "Memory on each node: 4G, 500M.", portable="memory", title="Memory on each node"),
    Option("gpus", GPUS, "N", 1, "GPUs on each node.", portable="gpus", title="GPUs on each node"),
    Option("properties", _PROPERTIES, "NAME", ["bigmem"], "Property that the nodes must have.", like="properties", title="Properties of the nodes"),
    Option("qsub_args", _ARGS, "ARG", ["-m", "n"], "Further argument for qsub.", is_plain=False, title="Further arguments of qsub"),
)
# fmt: on
LACKS = {
    **DELAYS,
    "reservation": "Torque itself has none; where its scheduler is Moab, give "
    '"qsub_args": ["-l", "advres=NAME"]',
    "exclusive": 'Torque takes it as "qsub_args": ["-n"]',
    "hosts": "Torque has no option for hosts here; ask for what they have by "
    "'properties'",
    "signal": "Torque signals no job before its time limit; 'warn_before' has the "
    "notebook warned",
}
"""What others have, and what to do instead."""
