"""The options of a job of OAR's, by the names that oarsub gives them.

What `-l` takes is an option for each of its parts, `nodes`, `gpu`, `core` and `walltime`,
or `resource` for all of it in oarsub's own words. Pure; called by `driver.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from remote_kernels.errors import ConfigError
from remote_kernels.options import (
    UNITS,
    Kind,
    Option,
    in_units,
    matching,
    text,
    texts,
    whole,
    whole_text,
)

PARTS = ("nodes", "gpu", "core", "walltime")


def flags(options: Mapping[str, Any]) -> list[str]:
    """Return them as oarsub takes them."""
    argv = [f"--{name}={options[name]}" for name in _FLAGS if name in options]
    wanted = _resource(options)
    argv += [f"--resource={wanted}"] if wanted else []
    argv += [f"--type={each}" for each in options.get("type", ())]
    return [*argv, *options.get("oarsub_args", ())]


def _resource(options: Mapping[str, Any]) -> str:
    """Return what `-l` takes: a level of the hierarchy counts within the one above it."""
    if "resource" in options:
        return str(options["resource"])
    levels = []
    if {"nodes", "gpu", "core"} & {*options}:
        levels = [f"/nodes={options.get('nodes', 1)}"]
        gpus = options.get("gpu", 0)
        levels += [f"/gpu={gpus}"] if gpus else []
        if "core" in options:
            levels += [f"/core={options['core'] // max(gpus, 1)}"]
    parts = ["".join(levels)] if levels else []
    parts += [f"walltime={options['walltime']}"] if "walltime" in options else []
    return ",".join(parts)


def contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what cannot be together, in a clause each."""
    both = [name for name in PARTS if name in config and "resource" in config]
    if both:
        yield (
            f"options 'resource' and '{both[0]}' exclude each other: 'resource' is all "
            "that -l takes, the walltime, too"
        )
    gpus, cores = config.get("gpu") or 1, config.get("core")
    if isinstance(cores, int) and isinstance(gpus, int) and cores % gpus:
        yield (
            f"{cores} cores cannot be shared out among {gpus} GPUs: OAR counts the "
            "cores of each GPU; ask for a multiple"
        )


_DAYS = re.compile(r"(\d{1,4})-(\d{1,2})((?::\d{1,2}){0,2})", re.ASCII)
_CLOCK = re.compile(r"\d{1,6}(:\d{1,2}){1,2}", re.ASCII)


_WALLTIME = whole_text(
    r"(?=.*[1-9])(\d{1,4}-\d{1,2}(:\d{1,2}){0,2}|\d{1,6}(:\d{1,2}){1,2}"
    rf"|{UNITS})"
)


def _walltime(value: object) -> str:
    """Read H:MM, H:MM:SS, 90m or 2h; days, as elsewhere, become hours."""
    value = in_units(value) or value
    if isinstance(value, int) and not isinstance(value, bool):
        reason = (
            f"{value} alone would be hours for oarsub, but minutes elsewhere; write "
            f"'{value}:00:00' for hours, or '0:{value:02}:00' for minutes"
        )
        raise ConfigError(reason)
    found = text(value)
    if found.isascii() and found.isdigit():
        return _walltime(int(found))
    days = _DAYS.fullmatch(found)
    if days:
        found = f"{24 * int(days[1]) + int(days[2])}{days[3] or ':00'}"
    if not _CLOCK.fullmatch(found):
        raise ConfigError
    if not found.replace(":", "").strip("0"):
        raise ConfigError
    return found


# What oarsub must not be told, and why. It takes any unambiguous beginning of a long
# option, in whatever case (Getopt::Long), so those are refused as well.
_REASONS = {
    "array array-param-file": "a kernel is one job, not an array of jobs",
    "connect -C interactive -I": "the job's script is made here",
    "directory -d": "it is chosen here",
    "help -h version -V resubmit": "it would submit nothing of ours",
    "name -n": "the job is found again by the name that we give it",
    "scanscript -S": "the job's script is made here",
    "stdout -O stderr -E": "the job's log goes to the kernel's own private directory",
    "stagein -s stagein-md5sum": "the job's script is made here",
    "xml -X yaml -Y dumper -D json -J": "the job's number is read as it is",
}
_REFUSED = {name: why for names, why in _REASONS.items() for name in names.split()}
# These make a job that is not one on a node, or another one in its place.
_TYPES = {
    "deploy": "its script would run on a frontend, not on a node",
    "cosystem": "its script would run on a frontend, not on a node",
    "noop": "it would run nothing",
    "desktop_computing": "it would run on no node of the cluster",
    "idempotent": "a job that starts anew has lost its kernel",
}


_OF_A_KERNEL = rf"^(?!(?:{'|'.join(_TYPES)})(?:=|$))[^\x00-\x1f\x7f]+$"


def _types(value: object) -> tuple[str, ...]:
    types = texts([value] if isinstance(value, str) else value)
    for each in types:
        _refuse_type(each)
    return types


def _refuse_type(name: str) -> None:
    why = _TYPES.get(name.partition("=")[0])
    if why:
        reason = f"a job of type '{name}' cannot have a kernel: {why}"
        raise ConfigError(reason)


def _oarsub_args(value: object) -> tuple[str, ...]:
    args = texts(value)
    waiting = ""  # the option that has its value in the next word
    for arg in args:
        if not arg.startswith("-"):
            if not waiting:
                reason = f"{arg!r} is no option; oarsub would take it for a command"
                raise ConfigError(reason)
            name, given = waiting, arg
        else:
            name, given = _parts(arg)
            _refuse(arg, name)
        if name == "t" or _is_beginning(name, "type"):
            _refuse_type(given)
        alone = not name or any(_is_beginning(name, each) for each in _ALONE)
        waiting = "" if given or "=" in arg or alone else name
    return args


_ALONE = ("hold", "use-job-key")


def _parts(arg: str) -> tuple[str, str]:
    """Return an option's name without hyphens, and the value in the same word."""
    if arg.startswith("--"):
        name, _, given = arg[2:].partition("=")
        return (name if len(name) == 1 else name.lower()), given
    letters = arg[1:].lstrip("k")  # which takes no value, so others may follow
    return letters[:1], letters[1:]


def _is_beginning(name: str, whole: str) -> bool:
    return name != "" and whole.startswith(name.lower())


def _refuse(arg: str, name: str) -> None:
    if arg in ("-", "--"):
        reason = f"{arg!r} ends the options of oarsub"
        raise ConfigError(reason)
    why = _REFUSED.get(f"-{name}")
    if not why and arg.startswith("--"):
        found = (why for each, why in _REFUSED.items() if _is_beginning(name, each))
        why = next(found, None)
    if why:
        reason = f"{arg!r} cannot be given to oarsub here: {why}"
        raise ConfigError(reason)


# One row a line, as a table is read.
# fmt: off
_TEXT = Kind(("string",), "text without line breaks", text)
_NAME = Kind(("string",), "letters, digits and . _ : - alone", matching(r"[\w.:-]+"))
_COUNT = Kind(("integer",), "a whole number above 0", whole, bounds=(("minimum", 1),))
_TIME = Kind(("string",), "a walltime: 2h, 90m, H:MM, H:MM:SS or D-HH:MM:SS", _walltime, pattern=_WALLTIME)
_TYPE = Kind(("string", "list"), "a type of job, or a list of them", _types, pattern=_OF_A_KERNEL)
_ARGS = Kind(("list",), "a list of arguments", _oarsub_args)
_RESOURCE = Kind(("string",), "what -l of oarsub takes, without blanks at its ends", text)
OPTIONS = (
    Option("queue", _NAME, "NAME", "default", "Queue to submit to.", portable="queue"),
    Option("project", _NAME, "NAME", "proj42", "Project that pays for the job.", portable="account", title="Project"),
    Option("walltime", _TIME, "TIME", "2:00:00", "Time limit of the job, and so of the kernel: 2h, 90m, or H:MM:SS.", portable="time", instead_of="resource"),
    Option("nodes", _COUNT, "N", 1, "Number of nodes; the kernel runs on the first.", portable="nodes", instead_of="resource"),
    Option("core", _COUNT, "N", 4, "Cores for the kernel, on each node.", portable="cores", instead_of="resource"),
    Option("gpu", _COUNT, "N", 1, "Number of GPUs, on each node.", portable="gpus", instead_of="resource"),
    Option("resource", _RESOURCE, "LIST", "{mem>8000}/nodes=1/core=2,walltime=1:00:00", "All that -l of oarsub takes, in its own words; instead of nodes, core, gpu and walltime.", instead_of="core", title="Resources, in OAR's words"),
    Option("property", _TEXT, "SQL", "mem > 8000", "What the node must have, by its properties: a condition of SQL.", like="properties", title="Properties of the node"),
    Option("type", _TYPE, "TYPE", ["besteffort"], "Type of job, such as besteffort.", title="Type of job"),
    Option("checkpoint", _COUNT, "SECONDS", 120, "How long before its time limit the kernel gets a signal, again and again, to save its state. Without a handler it ends the kernel.", like="signal", title="Signal before the time limit"),
    Option("signal", _COUNT, "NUMBER", 10, "Number of that signal; 12 (SIGUSR2) by default.", title="Number of that signal"),
    Option("oarsub_args", _ARGS, "ARG", ["--notify=mail:me@example.org"], "Further argument for oarsub.", is_plain=False, title="Further arguments of oarsub"),
)
# fmt: on
_FLAGS = ("queue", "project", "property", "checkpoint", "signal")
LACKS = {
    "exclusive": "OAR gives whole nodes to a job that asks for 'nodes' without 'core'",
    "reservation": "a reservation of OAR's is a job; a kernel runs in one of type "
    'container by "type": ["inner=4711"]',
    "hosts": "OAR takes them as 'property', such as \"network_address = 'node7'\"",
    "begin": 'OAR takes it as "oarsub_args": ["--reservation=2030-12-31 18:00:00"]',
    "dependency": 'OAR takes it as "oarsub_args": ["--anterior=4711"]',
    "memory": "OAR has no option for memory: a job gets its cores' share, or all that "
    "its node has. Ask for more 'core', or for nodes that have enough by 'property', "
    'such as "memnode > 64000": the name is the site\'s, `oarnodes` shows it',
}
