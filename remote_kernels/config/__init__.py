"""The kernelspec's `config` as one frozen `Settings`.

Rules: parsed once, at the door (`parse`); an unknown key is an error with a
suggestion; all problems are told in one `ConfigError`; nothing is read from the
environment or the disk here. The keys are in `options.py`, what reads their values in
`readers.py`. Called by the kernel's story, the command line and the provisioner.
"""

from __future__ import annotations

import difflib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from remote_kernels.errors import ConfigError

from .options import BY_KEY, OPTIONS, Option
from .readers import Value

__all__ = ["OPTIONS", "Option", "Settings", "parse", "resolve_scheduler"]


@dataclass(frozen=True)
class Settings:
    """What one kernelspec asks for. The fields are documented in `OPTIONS`."""

    jobid: str | None = None
    start: str = "sbatch"
    allocation: str | None = None
    keep: float = 300.0
    node: str | None = None
    visible_gpus: str | None = None
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
        option = BY_KEY.get(key.replace("-", "_"))
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
    if "jobid" in values and values.get("start") == "salloc":
        yield "options 'jobid' and 'start' exclude each other: the job is there already"
    if "jobid" in values and "allocation" in values:
        yield "options 'jobid' and 'allocation' exclude each other; give one of them"
    if "node" in values and "allocation" not in values:
        yield "option 'node' is about a shared job: give 'allocation', too"
    asked = [f"'{name}'" for name in ("jobid", "start") if name in values]
    if scheduler == "local" and asked:
        yield f"{' and '.join(asked)} need scheduler 'slurm': 'local' has no jobs of others"
    if scheduler == "local" and carrier in ("ssh", "srun"):
        yield f"carrier '{carrier}' needs scheduler 'slurm'; for 'local' it is 'pipe'"
    if scheduler == "slurm" and carrier == "pipe":
        yield "carrier 'pipe' is for scheduler 'local'; for 'slurm': ssh, srun or auto"


def _told(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    lines = "".join(f"\n  - {problem}" for problem in problems)
    return f"{len(problems)} problems in the kernelspec's config:{lines}"
