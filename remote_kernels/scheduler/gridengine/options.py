"""The options of a job of Grid Engine's, by the names that qsub and its sites give them.

Pure; called by `driver.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from remote_kernels.errors import ConfigError
from remote_kernels.options import (
    DURATION,
    SIZE,
    Kind,
    Option,
    as_bytes,
    as_seconds,
    matching,
    text,
    texts,
    whole,
)


def resources(options: Mapping[str, Any]) -> list[str]:
    """Return the words of `-l`: NAME=VALUE."""
    asked = []
    for name in ("h_rt", "s_rt"):
        if name in options:
            asked.append(f"{name}={as_seconds(options[name])}")
    memory = each_slot(options)
    if memory is not None:
        asked.append(f"h_vmem={memory}")
    return [*asked, *options.get("l", "").split(",")] if "l" in options else asked


def slots(options: Mapping[str, Any]) -> int:
    """Return how many slots the job has on each of its nodes."""
    return int(options.get("slots", 1))


def each_slot(options: Mapping[str, Any]) -> str | None:
    """Return the memory of a slot, as Grid Engine writes it; None if none is asked for."""
    if "h_vmem" in options:
        return f"{as_bytes(options['h_vmem']) // 1024}K"
    if "mem" in options:
        return f"{as_bytes(options['mem']) // slots(options) // 1024}K"
    return None


def contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what cannot be together, in a clause each."""
    if "mem" in config and "h_vmem" in config:
        yield "options 'mem' and 'h_vmem' exclude each other; give one of them"
    further = {each.partition("=")[0] for each in str(config.get("l", "")).split(",")}
    for option, name in _LIMITS.items():
        if option in config and name in further:
            yield (
                f"option '{option}' and {name} in option 'l' exclude each other; give "
                "one of them"
            )


# Options, and the resources that they ask for.
_LIMITS = {"h_rt": "h_rt", "s_rt": "s_rt", "h_vmem": "h_vmem", "mem": "h_vmem"}

# What qsub must not be told, and why.
_REASONS = {
    "-t -tc": "a kernel is one job, not an array of jobs",
    "-e -o -j": "the job's log goes to the kernel's own private directory",
    "-V -v": "the job's environment is chosen by env_keep",
    "-help -verify": "it would submit nothing",
    "-b -C -S -shell -i": "the job's script is made here",
    "-N": "the job is found again by the name that we give it",
    "-terse": "it is always given",
    "-notify": "it is always given, so that a kernel can end cleanly",
    "-r -ckpt": "a job that starts anew has lost its kernel",
    "-sync": "qsub would not return before the job ends",
    "-now": "qsub would wait for the job's start",
    "-wd -cwd": "the kernel starts in its notebook's directory",
    "-clear -clearp -clears": "it would take away options that are given here",
    "- --": "it ends the options of qsub",
    "-@": "the file may hold any of those that cannot be given",
}
_REFUSED = {name: why for names, why in _REASONS.items() for name in names.split()}


# How many words follow an option, where it is not one.
_VALUES = {"-h": 0, "-hard": 0, "-soft": 0, "-pe": 2, "-adds": 3, "-mods": 3}


def _qsub_args(value: object) -> tuple[str, ...]:
    args = texts(value)
    option, left = "", 0  # how many values of that option are still to come
    for arg in args:
        if left and (not arg.startswith("-") or re.fullmatch(r"-\d+", arg)):
            if option == "-w" and arg in ("v", "p"):
                _refuse(f"-w {arg}", _REFUSED["-verify"])
            if option != "-binding" or arg not in ("env", "pe", "set"):
                left -= 1
            continue
        if not arg.startswith("-"):
            reason = f"{arg!r} is no option; qsub would take it for a script"
            raise ConfigError(reason)
        if re.search(r"\s", arg):
            two = ", ".join(f'"{word}"' for word in arg.split(None, 1))
            _refuse(arg, f"an option and its value are two words: {two}")
        if arg in _REFUSED:
            _refuse(arg, _REFUSED[arg])
        option, left = arg, _VALUES.get(arg, 1)
    return args


def _refuse(arg: str, why: str) -> None:
    reason = f"{arg!r} cannot be given to qsub here: {why}"
    raise ConfigError(reason)


_ONE = r"[^\s=,]+(=[^\s,]+)?"  # of the words of -l
# One row a line, as a table is read.
# fmt: off
_TEXT = Kind(("string",), "text without line breaks", text)
_NAME = Kind(("string",), "a name", matching(r"[\w.@*?!|&,-]+"))
_LIST = Kind(("string",), "resources: NAME=VALUE,...", matching(rf"{_ONE}(,{_ONE})*"))
_COUNT = Kind(("integer",), "a whole number above 0", whole, bounds=(("minimum", 1),))
_NONE_TOO = Kind(("integer",), "a whole number", lambda value: whole(value, 0), bounds=(("minimum", 0),))
_ARGS = Kind(("list",), "a list of arguments", _qsub_args)
OPTIONS = (
    Option("q", _NAME, "QUEUE", "long.q", "Queue to wait for, or several with commas.", portable="queue"),
    Option("P", _NAME, "PROJECT", "proj42", "Project that pays for the job.", portable="account", title="Project"),
    Option("h_rt", DURATION, "TIME", "2:00:00", "Time limit of the job, and so of the kernel: H:MM:SS, or with a unit, as in 90m.", portable="time"),
    Option("s_rt", DURATION, "TIME", "1:50:00", "Time after which the kernel gets SIGUSR1, to save its state. Without a handler it ends the kernel.", like="signal", title="Time until a signal"),
    Option("slots", _COUNT, "N", 4, "Slots (cores) for the kernel, on one node.", portable="cores", title="Slots"),
    Option("nodes", _COUNT, "N", 2, "Number of nodes, each with as many slots; the kernel runs on the first.", portable="nodes"),
    Option("pe", _NAME, "NAME", "smp", "Parallel environment; without it one that fits is chosen where more than one slot is asked for.", title="Parallel environment"),
    Option("mem", SIZE, "SIZE", "4G", "Memory on each node, divided among its slots as h_vmem. Grid Engine limits addresses, of which a kernel has 1 GB before it does anything.", portable="memory", instead_of="h_vmem"),
    Option("h_vmem", SIZE, "SIZE", "2G", "Memory of each slot, instead of mem.", instead_of="mem", title="Memory of each slot"),
    Option("gpu", _NONE_TOO, "N", 1, "GPUs on each node, by the name that the site has for them.", portable="gpus"),
    Option("l", _LIST, "LIST", "arch=lx-amd64", "Further resources.", like="properties", title="Further resources"),
    Option("ar", _TEXT, "ID", "12", "Advance reservation to run in.", like="reservation", title="Advance reservation"),
    Option("qsub_args", _ARGS, "ARG", ["-m", "a"], "Further argument for qsub.", is_plain=False, title="Further arguments of qsub"),
)
# fmt: on
LACKS = {
    "exclusive": "Grid Engine has no option for whole nodes; where the site has a "
    "resource for that, ask for it by 'l', as in exclusive=true: `qconf -sc` lists all",
    "hosts": 'Grid Engine takes hosts as parts of queues, "q": "*@node7", or as a '
    'resource, "l": "hostname=node7"',
    "begin": 'Grid Engine takes it as "qsub_args": ["-a", "MMDDhhmm"]',
    "dependency": 'Grid Engine takes it as "qsub_args": ["-hold_jid", "4711"]',
}
"""What others have, and what to do instead."""
