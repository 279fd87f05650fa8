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
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Option:
    """One key of the kernelspec's config.

    `kinds` are JSON's words for what the value may be: string, integer, number,
    boolean, list. `scheduler` says that the key goes to the scheduler, under
    this very name. `read` turns a JSON value into ours, or raises ConfigError
    (with a reason, where `expected` does not say it all).
    """

    name: str
    kinds: tuple[str, ...]
    help: str
    metavar: str
    example: Any
    expected: str
    read: Callable[[object], Any]
    scheduler: bool = False
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
    return (
        f"{text}; known are {', '.join(names)}. Any other option of sbatch goes "
        f'into sbatch_args: "sbatch_args": ["--{key.strip("-")}=..."]'
    )


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

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TIME = re.compile(
    r"\d+(:\d{1,2}){0,2}|\d+-\d{1,2}(:\d{1,2}){0,2}|UNLIMITED|INFINITE", re.IGNORECASE
)
_MEMORY = re.compile(r"\d+[KMGT]?", re.IGNORECASE)
_NODES = re.compile(r"[1-9]\d*(-[1-9]\d*)?")
_GPUS = re.compile(r"([^:,\s]+:)?\d+(,([^:,\s]+:)?\d+)*")
_ENV_NAME = re.compile(r"[\w*?\[\]!-]+")
_HOME_PATH = re.compile(r"/.*|~[^/]*(/.*)?")
_NODE_PATH = re.compile(r"/.*|\$(\w+|\{\w+\})(/.*)?")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or _CONTROL.search(value):
        raise ConfigError
    return value.strip()


def _matching(pattern: re.Pattern[str]) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = _text(value)
        if not pattern.fullmatch(text):
            raise ConfigError
        return text

    return read


def _whole(value: object, least: int = 1) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError
    return value


def _whole_or(pattern: re.Pattern[str], least: int) -> Callable[[object], Value]:
    """A whole number, or text in the scheduler's own notation."""
    as_text = _matching(pattern)

    def read(value: object) -> Value:
        if isinstance(value, str):
            return as_text(value)
        return _whole(value, least)

    return read


def _seconds(value: object) -> float:
    if isinstance(value, str):
        value = float(value) if re.fullmatch(r"\d+(\.\d+)?", value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError
    if not 0 < value < float("inf"):
        raise ConfigError
    return float(value)


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
    lines = "\n".join(parts).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return tuple(line for line in lines if line.strip())


def _names(value: object) -> tuple[str, ...]:
    names = _texts([value] if isinstance(value, str) else value)
    if not all(_ENV_NAME.fullmatch(name) for name in names):
        raise ConfigError
    return names


def _address(value: object) -> str:
    text = _text(value)
    fields = [name for _, name, _, _ in string.Formatter().parse(text)]
    if any(name not in (None, "node") for name in fields):
        raise ConfigError
    return text


# What sbatch must not be told, and why. Slurm takes any unambiguous beginning of a
# long option, so those are refused as well.
_REFUSED = {
    "array": "a kernel is one job, not an array of jobs",
    "error": "the job's log goes to the kernel's own private directory",
    "export": "the job's environment is chosen by env_keep",
    "export-file": "the job's environment is chosen by env_keep",
    "help": "it would only print sbatch's help",
    "input": "the job's script comes on standard input",
    "job-name": "the job is found again by the name that we give it",
    "output": "the job's log goes to the kernel's own private directory",
    "parsable": "it is always given",
    "quiet": "it would hide the job id",
    "requeue": "a job that starts anew has lost its kernel",
    "test-only": "it would submit nothing",
    "usage": "it would only print sbatch's usage",
    "version": "it would only print sbatch's version",
    "wait": "sbatch would not return before the job ends",
    "wrap": "the job's script is made here",
}
_REFUSED_SHORT = {
    "-a": "array",
    "-e": "error",
    "-h": "help",
    "-i": "input",
    "-J": "job-name",
    "-o": "output",
    "-Q": "quiet",
    "-V": "version",
    "-W": "wait",
}


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
    name = _REFUSED_SHORT.get(arg[:2], "")
    if arg.startswith("--"):
        given = arg[2:].partition("=")[0]
        name = next((known for known in _REFUSED if known.startswith(given)), "")
    if name:
        reason = f"{arg!r} cannot be given to sbatch here: {_REFUSED[name]}"
        raise ConfigError(reason)


# --- the table ----------------------------------------------------------------------


def _scheduler_text(name: str, metavar: str, example: str, help: str) -> Option:
    expected = "text without line breaks"
    return Option(name, ("string",), help, metavar, example, expected, _text, True)


def _path(name: str, example: str, help: str) -> Option:
    expected = "an absolute path, or one that starts with ~"
    read = _matching(_HOME_PATH)
    return Option(name, ("string",), help, "DIR", example, expected, read)


def _one_of(name: str, help: str, *choices: str) -> Option:
    expected = f"one of {', '.join(choices)}"
    read = _choice(*choices)
    return Option(
        name, ("string",), help, "WHICH", choices[1], expected, read, False, choices
    )


def _time_span(name: str, example: int, help: str) -> Option:
    expected = "a number of seconds above 0"
    return Option(name, ("number",), help, "SECONDS", example, expected, _seconds)


_SIZE = "a size: megabytes, or a number with K, M, G or T"
_COUNT = "a whole number above 0"

OPTIONS: tuple[Option, ...] = (
    _scheduler_text("partition", "NAME", "gpu", "Partition (queue) to submit to."),
    _scheduler_text("account", "NAME", "proj42", "Account that pays for the job."),
    _scheduler_text("qos", "NAME", "interactive", "Quality of service."),
    Option(
        name="time",
        kinds=("string", "integer"),
        help="Time limit of the job, and so of the kernel: minutes or D-HH:MM:SS.",
        metavar="TIME",
        example="2:00:00",
        expected="a time limit: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS "
        "or UNLIMITED",
        read=_whole_or(_TIME, least=0),
        scheduler=True,
    ),
    Option(
        name="nodes",
        kinds=("integer", "string"),
        help="Number of nodes; the kernel runs on the first.",
        metavar="N",
        example=1,
        expected="a whole number above 0, or a range such as 1-2",
        read=_whole_or(_NODES, least=1),
        scheduler=True,
    ),
    Option(
        name="ntasks",
        kinds=("integer",),
        help="Number of tasks to allocate for (a kernel is one).",
        metavar="N",
        example=1,
        expected=_COUNT,
        read=_whole,
        scheduler=True,
    ),
    Option(
        name="cpus-per-task",
        kinds=("integer",),
        help="CPUs for the kernel.",
        metavar="N",
        example=4,
        expected=_COUNT,
        read=_whole,
        scheduler=True,
    ),
    Option(
        name="mem",
        kinds=("string", "integer"),
        help="Memory per node: 4G, 500M, or megabytes.",
        metavar="SIZE",
        example="4G",
        expected=_SIZE,
        read=_whole_or(_MEMORY, least=0),
        scheduler=True,
    ),
    Option(
        name="mem-per-cpu",
        kinds=("string", "integer"),
        help="Memory per CPU, instead of mem.",
        metavar="SIZE",
        example="2G",
        expected=_SIZE,
        read=_whole_or(_MEMORY, least=1),
        scheduler=True,
    ),
    _scheduler_text("gres", "LIST", "gpu:1", "Generic resources, as in gpu:1."),
    Option(
        name="gpus",
        kinds=("integer", "string"),
        help="Number of GPUs, with a type if wanted: a100:1.",
        metavar="[TYPE:]N",
        example=1,
        expected="a number of GPUs, with a type if wanted",
        read=_whole_or(_GPUS, least=0),
        scheduler=True,
    ),
    _scheduler_text("constraint", "LIST", "skylake", "Features the node must have."),
    _scheduler_text("reservation", "NAME", "course", "Reservation to run in."),
    Option(
        name="exclusive",
        kinds=("boolean", "string"),
        help="Share the node with no other job (true), or none of others (user, mcs).",
        metavar="HOW",
        example=True,
        expected="true, false, user, mcs or topo",
        read=_exclusive,
        scheduler=True,
    ),
    _scheduler_text("nodelist", "LIST", "node[01-02]", "Nodes that must be used."),
    Option(
        name="sbatch_args",
        kinds=("list",),
        help="Further arguments for sbatch, one option each.",
        metavar="ARG",
        example=["--mail-type=FAIL"],
        expected="a list of arguments",
        read=_sbatch_args,
    ),
    _one_of(
        "scheduler",
        "What runs the job: Slurm, or this machine itself. auto: Slurm where sbatch "
        "is on PATH.",
        "auto",
        "slurm",
        "local",
    ),
    _one_of(
        "carrier",
        "How to reach the job: ssh to its node, srun into the job, or a pipe "
        "(scheduler local). auto tries them.",
        "auto",
        "ssh",
        "srun",
        "pipe",
    ),
    _one_of(
        "transport",
        "What the kernel listens on at its node: Unix sockets (ipc) or loopback TCP.",
        "auto",
        "ipc",
        "tcp",
    ),
    Option(
        name="python",
        kinds=("string",),
        help="Python 3.9 or later that runs the agent on the node; default: search.",
        metavar="PATH",
        example="/usr/bin/python3.11",
        expected="a command's name or path",
        read=_text,
    ),
    Option(
        name="prologue",
        kinds=("list", "string"),
        help="Shell lines to run on the node before the kernel.",
        metavar="LINE",
        example=["module load python"],
        expected="lines of shell",
        read=_lines,
    ),
    Option(
        name="prefix",
        kinds=("list",),
        help="Words to put before the kernel's command, such as a container's.",
        metavar="WORD",
        example=["apptainer", "exec", "image.sif"],
        expected="a list of words",
        read=_texts,
    ),
    Option(
        name="env_keep",
        kinds=("list", "string"),
        help="Variables of the notebook server's environment that the job may see.",
        metavar="NAME",
        example=["HTTPS_PROXY", "MYLAB_*"],
        expected="names of variables, or patterns with * and ?",
        read=_names,
    ),
    _path(
        "state_dir",
        "/work/me/kernels",
        "Directory for the kernels' records, shared by login and compute nodes.",
    ),
    _path(
        "runtime_dir",
        "/run/user/1000/kernels",
        "Directory on the login node for the sockets; a short path.",
    ),
    Option(
        name="node_dir",
        kinds=("string",),
        help="Directory on the compute node for the job's sockets and files.",
        metavar="DIR",
        example="/scratch/$USER",
        expected="an absolute path, or one that starts with a variable",
        read=_matching(_NODE_PATH),
    ),
    Option(
        name="address",
        kinds=("string",),
        help="Name to reach a node by, made from Slurm's name for it.",
        metavar="TEMPLATE",
        example="{node}-ib",
        expected="text in which {node} stands for the node's name",
        read=_address,
    ),
    _time_span("start_timeout", 300, "How long the kernel may take once the job runs."),
    _time_span(
        "queue_timeout", 3600, "How long the job may wait in the queue; default: ever."
    ),
    _time_span(
        "poll_interval", 2, "Least time between two questions to the scheduler."
    ),
)

_BY_KEY = {option.name.replace("-", "_"): option for option in OPTIONS}
