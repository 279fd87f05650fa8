"""Readers of options: a JSON value in, ours out, ConfigError if it cannot be.

Called by `parse`, as the table in `options.py` says.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from remote_kernels.errors import ConfigError

Value = str | int | bool

LONGEST = 1e10  # seconds
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ENV_NAME = re.compile(r"[\w*?\[\]!-]+")


def text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or _CONTROL.search(value):
        raise ConfigError
    return value.strip()


def matching(pattern: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        found = text(value)
        if not re.fullmatch(pattern, found, re.IGNORECASE):
            raise ConfigError
        return found

    return read


def whole(value: object, least: int = 1) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError
    return value


def whole_or(pattern: str, least: int) -> Callable[[object], Value]:
    """A whole number, or text in the scheduler's own notation."""
    as_text = matching(pattern)

    def read(value: object) -> Value:
        if isinstance(value, str):
            return as_text(value)
        return whole(value, least)

    return read


def number_or(pattern: str) -> Callable[[object], str]:
    """Text that looks like this, or a whole number as such."""
    as_text = matching(pattern)

    def read(value: object) -> str:
        return as_text(str(whole(value, 0)) if isinstance(value, int) else value)

    return read


def job(value: object) -> str:
    """A number, JOB;CLUSTER, or auto."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found = text(value)
    if not re.fullmatch(r"[1-9]\d*(;[\w.-]+)?|auto", found):
        raise ConfigError
    return found


def seconds(value: object, least: float = 0) -> float:
    if isinstance(value, str):
        value = float(value) if re.fullmatch(r"\d+(\.\d+)?", value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError
    if not 0 < value < LONGEST or value < least:
        raise ConfigError
    return float(value)


def spans(value: object) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError
    return tuple(sorted({seconds(item) for item in value}, reverse=True))


def choice(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ConfigError
        return value

    return read


def exclusive(value: object) -> Value:
    if isinstance(value, bool):
        return value
    return choice("user", "mcs", "topo")(value)


def texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError
    for item in value:
        if not isinstance(item, str) or not item or _CONTROL.search(item):
            raise ConfigError
    return tuple(value)


def lines(value: object) -> tuple[str, ...]:
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise ConfigError
    if not all(isinstance(part, str) and "\0" not in part for part in parts):
        raise ConfigError
    # Not splitlines(): only \n ends a line for the shell; \r\n comes from Windows.
    script = "\n".join(parts).replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    return tuple(script.split("\n")) if script.strip() else ()


def names(value: object) -> tuple[str, ...]:
    found = texts([value] if isinstance(value, str) else value)
    if not all(_ENV_NAME.fullmatch(name) for name in found):
        raise ConfigError
    return found


def address(value: object) -> str:
    found = text(value)
    if re.search(r"[{}]", found.replace("{node}", "")):
        raise ConfigError
    return found


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


def sbatch_args(value: object) -> tuple[str, ...]:
    args = texts(value)
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
