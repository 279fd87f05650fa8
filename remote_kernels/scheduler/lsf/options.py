"""The options of a job of LSF's, by the letters that bsub gives them.

Rules: pure. Sizes come with their unit, as a bare number is in kilobytes on one site and
in gigabytes on the next (LSF_UNIT_FOR_LIMITS). All requirements go into one -R, as some
sites refuse several. Called by `driver.py`.
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
    Value,
    in_units,
    matching,
    text,
    texts,
    whole,
    whole_or,
    whole_text,
)

_OWN_MEMORY = r"rusage\[[^]]*\bmem\s*="
_BARE = ("q", "P", "G", "W", "M", "m", "app", "sla", "U")


def flags(options: Mapping[str, Any]) -> list[str]:
    """Return them as bsub takes them."""
    argv = []
    for name in _BARE:
        if name in options:
            argv += [f"-{name}", str(options[name])]
    if "gpu" in options:
        asked = options["gpu"]
        argv += ["-gpu", f"num={asked}" if isinstance(asked, int) else asked]
    if options.get("x"):
        argv.append("-x")
    if "wa" in options:
        signal, _, before = options["wa"].partition("@")
        argv += ["-wa", signal, "-wt", before]
    cores, nodes = options.get("n", 1), options.get("nodes", 1)
    if {"n", "nodes"} & set(options):
        argv += ["-n", str(cores * nodes)]
    requirements = " ".join(_requirements(options, cores, nodes))
    return [*argv, *(["-R", requirements] if requirements else [])]


def _requirements(options: Mapping[str, Any], cores: int, nodes: int) -> Iterator[str]:
    """Yield the sections of -R: the user's own first, and what they leave open.

    There can be one of each kind, and none beside several in braces ("2*{...}+{...}").
    """
    own = options.get("R", "")
    if "M" in options and "{" not in own and not re.search(_OWN_MEMORY, own):
        kept = f"mem={options['M'].rstrip('!')}"  # -M is a limit, and keeps none
        if "rusage[" in own:
            own = own.replace("rusage[", f"rusage[{kept},", 1)
        else:
            own = f"{own} rusage[{kept}]".strip()
    if own:
        yield own
    if "span[" in own or "{" in own:
        return
    if nodes > 1:
        yield f"span[ptile={cores}]"
    elif cores > 1:
        yield "span[hosts=1]"


def contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what cannot be together."""
    own = str(config.get("R", ""))
    if "nodes" in config and "span[" in own:
        yield "option 'nodes' and the span[] in option 'R' exclude each other"
    if "nodes" in config and "{" in own:
        yield "option 'nodes' and the sections in braces of option 'R' exclude each other"
    has_alternatives = re.search(r"rusage\[[^]]*\|\|", own)
    if "M" in config and has_alternatives and not re.search(_OWN_MEMORY, own):
        yield (
            "option 'M' goes into the rusage[] of option 'R', which has alternatives: "
            "say mem=... in each of those yourself"
        )


_CLOCK = r"(?=.*[1-9])(\d+:[0-5]?\d(:[0-5]?\d)?|\d+)"
_LIMIT = whole_or(_CLOCK, least=1)


def _time(value: object) -> Value:
    """Read minutes, H:MM, H:MM:SS, 90m or 2h; bsub knows no seconds: rounded up."""
    value = in_units(value) or value
    found = _LIMIT(value)
    hours, minutes, seconds = f"{found}::".split(":")[:3]
    if not minutes:
        if int(found) < 1:
            raise ConfigError
        return int(found)
    total = int(hours) * 60 + int(minutes) + (int(seconds or 0) > 0)
    if total < 1:
        raise ConfigError
    return f"{total // 60}:{total % 60:02}"


_WITH_UNIT = matching(r"[1-9]\d*[KMGTPE]B?!?")


def _size(value: object) -> str:
    if re.fullmatch(r"\d+", str(value).strip()):
        reason = (
            f"{value!r} has no unit, and what it would mean differs from site to site "
            "(LSF_UNIT_FOR_LIMITS); write 4GB or 500MB"
        )
        raise ConfigError(reason)
    return _WITH_UNIT(value).upper()


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError
    return value


# What bsub must not be told, and why.
_REASONS = {
    "-J": "the job is found again by the name that we give it",
    "-o -oo -e -eo": "the job's log goes to the kernel's own private directory",
    "-outdir": "the job's log goes to the kernel's own private directory",
    "-i -is -f": "the job's script is its standard input",
    "-env -L": "the job's environment is chosen by env_keep",
    "-I -Ip -Is -IX -IS -ISp -ISs -tty -XF": "a kernel's job is no interactive one",
    "-K": "bsub would not return before the job ends",
    "-r -k": "a job that starts anew has lost its kernel",
    "-pack -json -yaml -jsdl -jsdl_strict": "it would submit something else",
    "-h -help -V": "it would submit nothing",
}
_REFUSED = {name: why for names, why in _REASONS.items() for name in names.split()}
# These letters may have their value in the same word; others begin as they do.
_JOINED = ("-J", "-o", "-e", "-i", "-f", "-L", "-k")
_OTHERS = ("-Jd", "-eptl", "-ext", "-extsched", "-freq", "-Lp")


def _bsub_args(value: object) -> tuple[str, ...]:
    args = texts(value)
    takes_value = False
    for arg in args:
        if not arg.startswith("-") and not takes_value:
            reason = f"{arg!r} is no option; bsub would take it for the job's command"
            raise ConfigError(reason)
        why = _REFUSED.get(arg)
        if not why and arg[:2] in _JOINED and arg not in _OTHERS:
            why = _REFUSED[arg[:2]]
        if why:
            reason = f"{arg!r} cannot be given to bsub here: {why}"
            raise ConfigError(reason)
        takes_value = arg.startswith("-")
    return args


# One row a line, as a table is read.
# fmt: off
_TEXT = Kind(("string",), "text without line breaks", text)
_WORD = Kind(("string",), "a name without blanks", matching(r"\S+"))
_TIME = Kind(("string", "integer"), "a time limit: 2h, 90m, minutes, H:MM, or H:MM:SS", _time, bounds=(("minimum", 1),), pattern=whole_text(f"{_CLOCK}|{UNITS}"))
_SIZE = Kind(("string",), "a size with its unit: 4GB, 500MB", _size, pattern=_WITH_UNIT.pattern)
_COUNT = Kind(("integer",), "a whole number above 0", whole, bounds=(("minimum", 1),))
_GPU = Kind(("integer", "string"), "a number of GPUs, or as bsub's -gpu takes them: num=2:mode=exclusive_process", whole_or(r"\w+=[^\s:]+(:\w+=[^\s:]+)*", least=1))
_SIGNAL = Kind(("string",), "USR1 or USR2, and how many minutes before: USR1@5 or USR1@1:30", matching(r"USR[12]@(\d+:)?[1-9]\d*"))
_YES = Kind(("boolean",), "true or false", _flag)
_ARGS = Kind(("list",), "a list of arguments", _bsub_args)
OPTIONS = (
    Option("q", _TEXT, "QUEUE", "gpu", "Queue to submit to.", portable="queue"),
    Option("P", _WORD, "PROJECT", "proj42", "Project that pays for the job.", portable="account", title="Project"),
    Option("G", _WORD, "GROUP", "chemistry", "Group of users whose share the job uses.", title="Group of users"),
    Option("W", _TIME, "[H:]MM", "2:00", "Run limit of the job, and so of the kernel: 2h, 90m, minutes, H:MM or H:MM:SS.", portable="time"),
    Option("nodes", _COUNT, "N", 2, "Number of hosts; the kernel runs on the first. Each has 'n' slots for it.", portable="nodes", title="Hosts"),
    Option("n", _COUNT, "N", 4, "Slots (CPUs) for the kernel, all on one host.", portable="cores", title="Slots"),
    Option("M", _SIZE, "SIZE", "4GB", "Memory limit, with its unit: 4GB. As much is reserved on the host (on some sites: per slot), unless 'R' says rusage[mem=...].", portable="memory", title="Memory"),
    Option("gpu", _GPU, "N|SPEC", 1, "Number of GPUs, or as bsub's -gpu takes them.", portable="gpus"),
    Option("R", _TEXT, "REQUIREMENTS", "select[avx512]", "Resource requirements: select[], rusage[], order[] and so on.", like="properties", title="Resource requirements"),
    Option("m", _TEXT, "HOSTS", "hostA hostB", "Hosts that the job may run on.", like="hosts", title="Hosts by name"),
    Option("app", _WORD, "PROFILE", "jupyter", "Application profile.", title="Application profile"),
    Option("sla", _WORD, "CLASS", "gold", "Service class.", title="Service class"),
    Option("U", _WORD, "RESERVATION", "course", "Advance reservation to run in.", like="reservation", title="Advance reservation"),
    Option("x", _YES, "", True, "Share the host with no other job.", like="exclusive", title="Exclusive use of the host"),
    Option("wa", _SIGNAL, "SIG@[H:]MM", "USR1@5", "Signal that the kernel gets so many minutes before its run limit (bsub's -wa and -wt), to save its state. Without a handler it ends the kernel.", like="signal", title="Signal before the time limit"),
    Option("bsub_args", _ARGS, "ARG", ["-N"], "Further argument for bsub.", is_plain=False, title="Further arguments of bsub"),
)
# fmt: on
LACKS = {
    "begin": 'LSF takes it as "bsub_args": ["-b", "[[MM:]DD:]hh:mm"]',
    "dependency": 'LSF takes it as "bsub_args": ["-w", "done(4711)"]',
}
"""What others have, and what to do instead."""
