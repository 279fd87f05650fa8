"""The options of kernel.json's `config`, as options of the command line.

Made from the one table of `config`, so that no option is missing here and every help
text is written once. Scheduler options keep Slurm's names, short ones included; what
a value may be is left to `config.parse`. Called by `install`.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import click

from remote_kernels.cli.completion import offers
from remote_kernels.config import OPTIONS, Option

_SHORT = {
    "partition": "-p",
    "account": "-A",
    "qos": "-q",
    "time": "-t",
    "nodes": "-N",
    "ntasks": "-n",
    "cpus-per-task": "-c",
    "gpus": "-G",
    "constraint": "-C",
    "nodelist": "-w",
}

# The scheduler itself says what they can be.
_OFFERED = ("partition", "account", "qos")

# Where the word in kernel.json would mislead, or is taken, on a command line.
_RENAMED = {
    "sbatch_args": "sbatch-arg",
    "python": "agent-python",
    "prefix": "command-prefix",
}

_SCHEDULER_GROUP = "Scheduler options, as for sbatch"
_OTHER_GROUP = "How the job is run and reached"


class ConfigOption(click.Option):
    """One key of `config`."""

    def __init__(self, names: Sequence[str], *, config: Option, **others: Any) -> None:
        repeats = _repeats(config)
        others["help"] = config.help + (" Repeatable." if repeats else "")
        others["metavar"] = None if config.choices else _metavar(config)
        others["type"] = click.Choice(config.choices) if config.choices else str
        if config.name in _OFFERED:
            others["shell_complete"] = offers
        super().__init__(names, multiple=repeats, **others)
        self.bare = "boolean" in config.kinds
        self.group = _SCHEDULER_GROUP if _for_sbatch(config) else _OTHER_GROUP


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups."""

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the options, a section for each group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                groups.setdefault(getattr(param, "group", "Options"), []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read `--exclusive` as Slurm does: its value only ever follows a "="."""
        options = [p for p in self.params if isinstance(p, click.Option)]
        bare = {o for p in options if getattr(p, "bare", False) for o in p.opts}
        take = {o for p in options if not p.is_flag for o in p.opts} - bare
        for i, arg in enumerate(args):
            if arg in bare and (i == 0 or args[i - 1] not in take):
                args[i] = f"{arg}=true"
        return super().parse_args(ctx, args)


def config_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give `function` all options; it gets those that were used as `settings`."""

    @functools.wraps(function)
    def gathered(**values: Any) -> None:
        given = [(option, values.pop(_parameter(option))) for option in OPTIONS]
        settings = {o.name: _value(o, v) for o, v in given if v not in (None, ())}
        function(**values, settings=settings)

    for option in reversed(OPTIONS):
        names = _names(option)
        gathered = click.option(*names, cls=ConfigOption, config=option)(gathered)
    return gathered


def _names(option: Option) -> list[str]:
    """Its name inside click, then those that users type."""
    long = "--" + _RENAMED.get(option.name, option.name.replace("_", "-"))
    short = [_SHORT[option.name]] if option.name in _SHORT else []
    return [_parameter(option), *short, long]


def _parameter(option: Option) -> str:
    """The name inside click: `config_prefix` is not install's own `prefix`."""
    return "config_" + option.name.replace("-", "_")


def _for_sbatch(option: Option) -> bool:
    return option.scheduler or option.name == "sbatch_args"


def _repeats(option: Option) -> bool:
    return "list" in option.kinds and option.name != "prefix"


def _metavar(option: Option) -> str:
    if option.name == "prefix":
        return "COMMAND"
    return f"[={option.metavar}]" if "boolean" in option.kinds else option.metavar


def _value(option: Option, text: str | tuple[str, ...]) -> object:
    """What goes into kernel.json: numbers as numbers, lists as lists."""
    if isinstance(text, tuple):
        return [_value(option, line) for line in text if line]
    if option.name == "prefix":
        return _words(text)
    if "boolean" in option.kinds and text in ("true", "false"):
        return text == "true"
    numbers = {"integer", "number", "numbers"}
    if text.isdecimal() and numbers & set(option.kinds):
        return int(text)
    return text


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        message = f"--command-prefix: {error} in {command!r}"
        raise click.UsageError(message) from error
