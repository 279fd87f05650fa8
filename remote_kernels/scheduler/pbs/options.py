"""The options of a job of PBS's, by the names that qsub and its resources have.

Pure; called by `driver.py`. How times, sizes and further arguments are written and read
serves Torque's driver, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from remote_kernels.errors import ConfigError
from remote_kernels.options import (
    DURATION,
    SIZE,
    Kind,
    Option,
    as_bytes,
    as_seconds,
    clock,
    matching,
    text,
    texts,
    whole,
)

_BYTES = {"kb": 2**10, "mb": 2**20, "gb": 2**30}


def walltime(time: str) -> str:
    """Return a time as qsub takes it."""
    return clock(as_seconds(time))


def size(memory: str, times: int = 1) -> str:
    """Return a size, or some times that, as qsub takes it: whole numbers with a unit."""
    total = as_bytes(memory) * times
    for unit in ("gb", "mb"):
        number, rest = divmod(total, _BYTES[unit])
        if not rest:
            return f"{number}{unit}"
    return f"{total // _BYTES['kb']}kb"


def chunks(options: Mapping[str, Any]) -> list[str]:
    """Return what asks for nodes, and for CPUs, memory and GPUs on each."""
    if "select" in options:
        return ["-l", f"select={options['select']}"]
    parts = [
        f"{name}={options[name]}" for name in ("ncpus", "ngpus") if name in options
    ]
    parts += [f"mem={size(options['mem'])}"] if "mem" in options else []
    if not parts and not {"nodes", "place"} & options.keys():
        return []  # but a place needs something to be placed (pbs_resources(7B))
    parts = parts or ["ncpus=1"]
    return ["-l", ":".join([f"select={options.get('nodes', 1)}", *parts])]


def place(options: Mapping[str, Any]) -> list[str]:
    """Return how chunks are placed: of several, each on a node of its own by default."""
    given = str(options.get("place", ""))
    is_arranged = re.match(r"(free|pack|scatter|vscatter)\b", given)
    if options.get("nodes", 1) > 1 and not is_arranged:
        given = f"scatter:{given}".rstrip(":")
    return ["-l", f"place={given}"] if given else []


def further(
    command: str, refused: Mapping[str, str], alone: str, values: Mapping[str, str]
) -> Callable[[object], tuple[str, ...]]:
    """Return a reader of further arguments for qsub.

    Parameters
    ----------
    command : str
        Its name, for people.
    refused : mapping
        Letters that it must not be given, and why.
    alone : str
        The letters that take no value.
    values : mapping
        Patterns of values that it must not be given, and why.
    """

    def refuse(arg: str, why: str) -> None:
        reason = f"{arg!r} cannot be given to {command} here: {why}"
        raise ConfigError(reason)

    def read(value: object) -> tuple[str, ...]:
        args, takes_value = texts(value), False
        for arg in args:
            if takes_value or not arg.startswith("-"):
                if not takes_value:
                    refuse(arg, "it would be taken for a script")
                for pattern, why in values.items():
                    if re.search(pattern, arg):
                        refuse(arg, why)
                takes_value = False
                continue
            if arg in ("-", "--") or arg.startswith("--"):
                refuse(arg, "it would submit nothing, or not the kernel's script")
            for place, letter in enumerate(arg[1:], 2):
                if letter in refused:
                    refuse(arg, refused[letter])
                if letter in alone:
                    continue
                takes_value = place == len(arg)
                for pattern, why in values.items():
                    if re.search(pattern, arg[place:]):
                        refuse(arg, why)
                break
        return args

    return read


REFUSED = {
    "N": "the job is found again by the name that we give it",
    "o": "the job's log goes to the kernel's own private directory",
    "e": "the job's log goes to the kernel's own private directory",
    "j": "the job's log goes to the kernel's own private directory",
    "k": "the job's log goes to the kernel's own private directory",
    "S": "the job's script is made here, for bash",
    "C": "the job's script is made here, and has no directives",
    "I": "a kernel's job is no interactive one",
    "X": "a kernel's job is no interactive one",
    "r": "a job that starts anew has lost its kernel",
    "V": "the job's environment is chosen by env_keep",
    "v": "the job's environment is chosen by env_keep",
    "z": "it would hide the job id",
}
VALUES = {
    r"(^|,)\s*block\s*(=|,|$)": "qsub would not return before the job ends",
    r"(^|,)\s*interactive\s*(=|,|$)": "a kernel's job is no interactive one",
}
_QSUB = further(
    "qsub",
    {
        **REFUSED,
        "J": "a kernel is one job, not an array of jobs",
        "G": "a kernel's job is no interactive one",
    },
    "fhz",
    VALUES,
)

# One row a line, as a table is read.
# fmt: off
TEXT = Kind(("string",), "text without line breaks", text)
WORD = Kind(("string",), "a name without blanks and commas", matching(r"[^\s,]+"))
COUNT = Kind(("integer",), "a whole number above 0", whole, bounds=(("minimum", 1),))
GPUS = Kind(("integer",), "a whole number", lambda value: whole(value, 0), bounds=(("minimum", 0),))
_SELECT = Kind(("string",), "chunks such as 1:ncpus=4:mem=8gb", matching(r"[^\s,]+"))
_PLACE = Kind(("string",), "how chunks are placed, such as scatter or pack:excl", matching(r"[^\s,]+"))
_ARGS = Kind(("list",), "a list of arguments", _QSUB)
OPTIONS = (
    Option("queue", WORD, "NAME", "workq", "Queue to submit to; a reservation is one, too.", portable="queue"),
    Option("account", TEXT, "NAME", "proj42", "Account that pays for the job.", portable="account"),
    Option("project", TEXT, "NAME", "proj42", "Project that the job belongs to, where the site tells it from the account."),
    Option("walltime", DURATION, "TIME", "2:00:00", "Time limit of the job, and so of the kernel: H:MM:SS, or with a unit, as in 90m.", portable="time"),
    Option("nodes", COUNT, "N", 2, "Number of nodes (chunks, each on a node of its own); the kernel runs on the first.", portable="nodes", instead_of="select"),
    Option("ncpus", COUNT, "N", 4, "CPUs on each node.", portable="cores", instead_of="select", title="CPUs on each node"),
    Option("mem", SIZE, "SIZE", "4G", "Memory on each node: 4G, 500M.", portable="memory", instead_of="select", title="Memory on each node"),
    Option("ngpus", GPUS, "N", 1, "GPUs on each node.", portable="gpus", instead_of="select", title="GPUs on each node"),
    Option("select", _SELECT, "CHUNKS", "1:ncpus=4:mem=8gb", "The whole request in PBS's words, instead of nodes, ncpus, mem and ngpus.", title="Chunks"),
    Option("place", _PLACE, "HOW", "excl", "How chunks are placed: pack, scatter, free, with :excl to share nodes with no other job.", title="Placement"),
    Option("qsub_args", _ARGS, "ARG", ["-m", "n"], "Further argument for qsub.", is_plain=False, title="Further arguments of qsub"),
)
# fmt: on
DELAYS = {
    "begin": 'qsub takes it as "qsub_args": ["-a", "MMDDhhmm"]',
    "dependency": 'qsub takes it as "qsub_args": ["-W", "depend=afterok:4711"]',
}
"""The same of Torque's."""
LACKS = {
    **DELAYS,
    "reservation": "a reservation of PBS's is a queue: give its name as 'queue'",
    "exclusive": 'PBS Professional takes it as "place": "excl"',
    "properties": "PBS Professional takes resources that nodes must have in 'select', "
    "such as 1:ncpus=4:arch=linux",
    "hosts": "PBS Professional takes them in 'select', such as 1:host=node7",
    "signal": "PBS Professional signals no job before its time limit; 'warn_before' has "
    "the notebook warned",
}
"""What others have, and what to do instead."""
CHUNKED = ("nodes", "ncpus", "mem", "ngpus")
