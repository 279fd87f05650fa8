"""The kernelspec's `config` as one frozen `Settings`; every key that it may hold.

Rules: parsed once, at the door (`parse`); an unknown key is an error with a
suggestion; all problems are told in one `ConfigError`; nothing is read from the
environment or the disk here. `OPTIONS` is the one table of the keys: the command
line makes its options from it, and the help texts are the documentation.
Called by the kernel's story, the command line and the provisioner.
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from remote_kernels.errors import ConfigError

Value = str | int | bool


@dataclass(frozen=True)
class Settings:
    """What one kernelspec asks for. The fields are documented in `OPTIONS`."""

    scheduler: str = "auto"
    carrier: str = "auto"
    options: Mapping[str, Value] = field(default_factory=dict)
    sbatch_args: tuple[str, ...] = ()
    python: str | None = None
    prologue: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    env_keep: tuple[str, ...] = ()
    transport: str = "auto"
    state_dir: str | None = None
    runtime_dir: str | None = None
    node_dir: str | None = None
    address: str | None = None
    start_timeout: float = 300.0
    queue_timeout: float | None = None
    poll_interval: float = 2.0
    dead_after: float = 15.0
    silence: float = 3600.0
    spool: int = 512
    usage: float | None = None
    warn_before: tuple[float, ...] = (600.0, 120.0)


@dataclass(frozen=True)
class Option:
    """One key of the kernelspec's config.

    `kinds` are JSON's words for what the value may be: string, integer, number,
    boolean, list; and numbers for what is in a list. `scheduler` says that the key goes to the scheduler, under
    this very name. `read` turns a JSON value into ours, or raises ConfigError
    (with a reason, where `expected` does not say it all).
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


def parse(config: Mapping[str, object]) -> Settings:
    """Settings from the kernelspec's config, or one ConfigError with all problems."""
    problems: list[str] = []
    values: dict[str, Any] = {}
    options: dict[str, Value] = {}
    for option, value in _known(config, problems):
        try:
            (options if option.scheduler else values)[option.name] = option.read(value)
        except ConfigError as error:
            problems.append(_wrong(option, value, str(error)))
    options = {name: value for name, value in options.items() if value is not False}
    problems += _contradictions(values, options)
    if problems:
        raise ConfigError(_told(problems))
    return Settings(options=options, **values)


def resolve_scheduler(
    settings: Settings, which: Callable[[str], str | None] = shutil.which
) -> str:
    """The scheduler that "auto" stands for here: slurm where sbatch is on PATH."""
    if settings.scheduler != "auto":
        return settings.scheduler
    return "slurm" if which("sbatch") else "local"


def _known(
    config: Mapping[str, object], problems: list[str]
) -> Iterator[tuple[Option, object]]:
    """The options that are given, in the table's words; null means not given."""
    seen: set[str] = set()
    for key, value in config.items():
        option = _BY_KEY.get(key.replace("-", "_"))
        if option is None:
            problems.append(_unknown(key))
        elif option.name in seen:
            problems.append(f"option '{option.name}' is given twice")
        elif value is not None:
            seen.add(option.name)
            yield option, value


def _unknown(key: str) -> str:
    names = [option.name for option in OPTIONS]
    text = f"unknown option '{key}' in the kernelspec's config"
    close = difflib.get_close_matches(key.strip("-").replace("_", "-"), names, 1)
    close = close or difflib.get_close_matches(key.replace("-", "_"), names, 1)
    if close:
        return f"{text}; did you mean '{close[0]}'?"
    further = json.dumps({"sbatch_args": [f"--{key.strip('-')}=..."]})[1:-1]
    return f"{text}; an option of sbatch is given as {further}"


def _wrong(option: Option, value: object, reason: str) -> str:
    if reason:
        return f"option '{option.name}': {reason}"
    example = json.dumps({option.name: option.example})[1:-1]
    return (
        f"option '{option.name}' is {_shown(value)}; expected {option.expected}, "
        f"for example {example}"
    )


def _shown(value: object) -> str:
    kinds = {str: "text", bool: "a boolean", list: "a list", dict: "an object"}
    kind = kinds.get(type(value), "a number")
    text = json.dumps(value, default=repr)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kind})"


def _contradictions(
    values: Mapping[str, Any], options: Mapping[str, Value]
) -> Iterator[str]:
    if "mem" in options and "mem-per-cpu" in options:
        yield "options 'mem' and 'mem-per-cpu' exclude each other; give one of them"
    scheduler, carrier = values.get("scheduler"), values.get("carrier")
    if scheduler == "local" and carrier in ("ssh", "srun"):
        yield f"carrier '{carrier}' needs scheduler 'slurm'; for 'local' it is 'pipe'"
    if scheduler == "slurm" and carrier == "pipe":
        yield "carrier 'pipe' is for scheduler 'local'; for 'slurm': ssh, srun or auto"


def _told(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    lines = "".join(f"\n  - {problem}" for problem in problems)
    return f"{len(problems)} problems in the kernelspec's config:{lines}"


# --- readers: a JSON value in, ours out, ConfigError if it cannot be -----------------

LONGEST = 1e10  # seconds
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ENV_NAME = re.compile(r"[\w*?\[\]!-]+")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or _CONTROL.search(value):
        raise ConfigError
    return value.strip()


def _matching(pattern: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = _text(value)
        if not re.fullmatch(pattern, text, re.IGNORECASE):
            raise ConfigError
        return text

    return read


def _whole(value: object, least: int = 1) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError
    return value


def _whole_or(pattern: str, least: int) -> Callable[[object], Value]:
    """A whole number, or text in the scheduler's own notation."""
    as_text = _matching(pattern)

    def read(value: object) -> Value:
        if isinstance(value, str):
            return as_text(value)
        return _whole(value, least)

    return read


def _seconds(value: object, least: float = 0) -> float:
    if isinstance(value, str):
        value = float(value) if re.fullmatch(r"\d+(\.\d+)?", value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError
    if not 0 < value < LONGEST or value < least:
        raise ConfigError
    return float(value)


def _spans(value: object) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError
    return tuple(sorted({_seconds(item) for item in value}, reverse=True))


def _choice(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ConfigError
        return value

    return read


def _exclusive(value: object) -> Value:
    if isinstance(value, bool):
        return value
    return _choice("user", "mcs", "topo")(value)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError
    for item in value:
        if not isinstance(item, str) or not item or _CONTROL.search(item):
            raise ConfigError
    return tuple(value)


def _lines(value: object) -> tuple[str, ...]:
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise ConfigError
    if not all(isinstance(part, str) and "\0" not in part for part in parts):
        raise ConfigError
    # Not splitlines(): only \n ends a line for the shell; \r\n comes from Windows.
    text = "\n".join(parts).replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    return tuple(text.split("\n")) if text.strip() else ()


def _names(value: object) -> tuple[str, ...]:
    names = _texts([value] if isinstance(value, str) else value)
    if not all(_ENV_NAME.fullmatch(name) for name in names):
        raise ConfigError
    return names


def _address(value: object) -> str:
    text = _text(value)
    if re.search(r"[{}]", text.replace("{node}", "")):
        raise ConfigError
    return text


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
    args = _texts(value)
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


# --- the table ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
    kinds: tuple[str, ...]
    expected: str
    read: Callable[[object], Any]
    choices: tuple[str, ...] = ()


def _one_of(*choices: str) -> _Kind:
    expected = f"one of {', '.join(choices)}"
    return _Kind(("string",), expected, _choice(*choices), choices)


# One row a line, as a table is read.
# fmt: off
_TEXT = _Kind(("string",), "text without line breaks", _text)
_TIME = _Kind(("string", "integer"), "a time limit: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS or UNLIMITED", _whole_or(r"\d+(:\d{1,2}){0,2}|\d+-\d{1,2}(:\d{1,2}){0,2}|UNLIMITED|INFINITE", least=0))
_SIZE = _Kind(("string", "integer"), "a size: megabytes, or a number with K, M, G or T", _whole_or(r"\d+([KMGT]B?)?", least=0))
_COUNT = _Kind(("integer",), "a whole number above 0", _whole)
_NODES = _Kind(("integer", "string"), "a whole number above 0, or a range such as 1-2", _whole_or(r"[1-9]\d*(-[1-9]\d*)?", least=1))
_GPUS = _Kind(("integer", "string"), "a number of GPUs, with a type if wanted", _whole_or(r"([^:,\s]+:)?\d+(,([^:,\s]+:)?\d+)*", least=0))
_HOW = _Kind(("boolean", "string"), "true, false, user, mcs or topo", _exclusive)
_ARGS = _Kind(("list",), "a list of arguments", _sbatch_args)
_WORDS = _Kind(("list",), "a list of words", _texts)
_LINES = _Kind(("list", "string"), "lines of shell", _lines)
_NAMES = _Kind(("list", "string"), "names of variables, or patterns with * and ?", _names)
_COMMAND = _Kind(("string",), "a command's name or path", _text)
_PATH = _Kind(("string",), "an absolute path, or one that starts with ~", _matching(r"/.*|~[^/]*(/.*)?"))
_NODE_PATH = _Kind(("string",), "an absolute path, or one that starts with a variable", _matching(r"/.*|\$(\w+|\{\w+\})(/.*)?"))
_ADDRESS = _Kind(("string",), "text in which {node} stands for the node's name", _address)
_SIGNAL = _Kind(("string",), "USR1 or USR2, and how many seconds before: USR1@120", _matching(r"USR[12]@\d+"))
_SPANS = _Kind(("list", "numbers"), "a list of numbers of seconds above 0", _spans)
_SPAN = _Kind(("number",), "a number of seconds above 0", _seconds)
_LONG_SPAN = _Kind(("number",), "a number of seconds, at least 1", partial(_seconds, least=1))
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
    ("silence", _SPAN, "SECONDS", 3600, "How long an idle kernel may be without a server before it ends and gives its job back."),
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
_BY_KEY = {option.name.replace("-", "_"): option for option in OPTIONS}
