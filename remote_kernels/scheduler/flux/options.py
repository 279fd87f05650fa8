"""The options of a job of Flux's, by the names that `flux batch` gives them.

Rules: pure. A node of the job is one slot, so that what is asked for a slot is what the
kernel has on its node. Called by `driver.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remote_kernels.errors import ConfigError
from remote_kernels.options import (
    Kind,
    Option,
    Value,
    matching,
    text,
    texts,
    whole,
    whole_or,
)

_BARE = ("queue", "bank", "time-limit", "requires", "urgency", "signal")
_SLOT = ("cores-per-slot", "gpus-per-slot")


def flags(options: Mapping[str, Any]) -> list[str]:
    """Return them as `flux batch` takes them."""
    nodes = options.get("nodes", 1)
    argv = [f"--nslots={nodes}"]
    if "nodes" in options or options.get("exclusive"):
        argv.append(f"--nodes={nodes}")
    argv += ["--exclusive"] if options.get("exclusive") else []
    given = [name for name in (*_SLOT, *_BARE) if name in options]
    return [*argv, *(f"--{name}={options[name]}" for name in given)]


_LIMIT = whole_or(r"(?=.*[1-9])(\d+(\.\d+)?[smhd]?|\d+:[0-5]?\d:[0-5]?\d)", least=1)


def _time(value: object) -> Value:
    """Read minutes, a number with its unit, or H:MM:SS, which Flux does not know."""
    found = _LIMIT(value)
    hours, minutes, seconds = f"{found}::".split(":")[:3]
    if minutes:
        found = f"{int(hours) * 3600 + int(minutes) * 60 + int(seconds)}s"
    if not float(str(found).rstrip("smhdSMHD")):
        raise ConfigError  # to Flux that is no limit at all
    return found.lower() if isinstance(found, str) else found


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError
    return value


# What `flux batch` must not be told, and why. Some versions take the beginning of a long
# option for it, so these are refused as well.
_REASONS = {
    "job-name": "the job is found again by the name that we give it",
    "output error": "the job's log goes to the kernel's own private directory",
    "input wrap": "the job's script is its standard input",
    "env env-remove env-file": "the job's environment is chosen by env_keep",
    "nslots": "the kernel has one slot on each node; 'nodes' says how many",
    "quiet": "it would hide the job id",
    "dry-run help list-plugins": "it would submit nothing",
    "cc bcc": "a kernel is one job, not several copies",
    "wait wait-event watch": "flux batch would not return before the job ends",
}
_REFUSED = {name: why for names, why in _REASONS.items() for name in names.split()}
_SHORT = {"-n": _REFUSED["nslots"], "-h": _REFUSED["help"], "-w": _REFUSED["wait"]}
_ALONE = ("-x", "-u", "-l", "-v", "--exclusive", "--unbuffered", "--label-io")


def _flux_args(value: object) -> tuple[str, ...]:
    args = texts(value)
    takes_value = False
    for arg in args:
        if not arg.startswith("-") and not takes_value:
            reason = f"{arg!r} is no option; flux batch would take it for a script"
            raise ConfigError(reason)
        _refuse(arg)
        takes_value = arg.startswith("-") and "=" not in arg and arg not in _ALONE
    return args


def _refuse(arg: str) -> None:
    if arg in ("-", "--"):
        reason = f"{arg!r} ends the options of flux batch"
        raise ConfigError(reason)
    why = _SHORT.get(arg[:2])
    if arg.startswith("--"):
        given = arg[2:].partition("=")[0]
        why = next((w for n, w in _REFUSED.items() if n.startswith(given)), None)
    if why:
        reason = f"{arg!r} cannot be given to flux batch here: {why}"
        raise ConfigError(reason)


# One row a line, as a table is read.
# fmt: off
_TEXT = Kind(("string",), "text without line breaks", text)
_TIME = Kind(("string", "integer"), "a time limit: minutes, a number with s, m, h or d, or H:MM:SS", _time, bounds=(("minimum", 1),), pattern=_LIMIT.pattern)
_COUNT = Kind(("integer",), "a whole number above 0", whole, bounds=(("minimum", 1),))
_URGENCY = Kind(("integer", "string"), "a number from 0 to 31, or hold, default or expedite", whole_or(r"[12]?\d|3[01]|hold|default|expedite", least=0, most=31))
_SIGNAL = Kind(("string",), "USR1 or USR2, and how long before: USR1@120s", matching(r"USR[12]@\d+[smh]?"))
_YES = Kind(("boolean",), "true or false", _flag)
_ARGS = Kind(("list",), "a list of arguments", _flux_args)
OPTIONS = (
    Option("queue", _TEXT, "NAME", "pbatch", "Queue to submit to.", portable="queue"),
    Option("bank", _TEXT, "NAME", "proj42", "Bank that pays for the job.", portable="account", title="Bank"),
    Option("time-limit", _TIME, "TIME", "2h", "Time limit of the job, and so of the kernel: minutes, 2h, 90m, or H:MM:SS.", portable="time"),
    Option("nodes", _COUNT, "N", 2, "Number of nodes; the kernel runs on the first.", portable="nodes"),
    Option("cores-per-slot", _COUNT, "N", 4, "Cores for the kernel, and on each further node.", portable="cores"),
    Option("gpus-per-slot", _COUNT, "N", 1, "GPUs for the kernel, and on each further node.", portable="gpus"),
    Option("exclusive", _YES, "", True, "Share the nodes with no other job.", like="exclusive", title="Exclusive use of the nodes"),
    Option("requires", _TEXT, "CONSTRAINT", "host:fluke[1-5]", "Properties or hosts that the nodes must have or be.", like="properties", title="What the nodes must be"),
    Option("urgency", _URGENCY, "N", 15, "How urgent the job is among yours; 0 or hold keeps it waiting."),
    Option("signal", _SIGNAL, "SIG@TIME", "USR1@120s", "Signal that the kernel gets before its time limit, to save its state. Without a handler it ends the kernel.", like="signal", title="Signal before the time limit"),
    Option("flux_args", _ARGS, "ARG", ["--setattr=user.project=x"], "Further argument for flux batch.", is_plain=False, title="Further arguments of flux batch"),
)
# fmt: on
LACKS = {
    "memory": "Flux has no option for memory: ask for more 'cores-per-slot', or for "
    "whole nodes by 'exclusive'",
    "reservation": "Flux has no reservations; where the site has a queue for it, name "
    "that as 'queue'",
    "hosts": 'Flux takes them as "requires": "host:fluke[1-5]"',
    "begin": 'Flux takes it as "flux_args": ["--begin-time=+1h"]',
    "dependency": 'Flux takes it as "flux_args": ["--dependency=afterok:f4711"]',
}
"""What others have, and what to do instead."""
