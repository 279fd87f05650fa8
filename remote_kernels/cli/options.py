"""The options of kernel.json's `config`, as options of the command line.

They are made from the tables of `config` and of the drivers, so that none is missing
here and every help text is written once. Options of jobs keep the batch system's
names, short ones included, and have the names common to all batch systems besides;
`config.parse` checks their values. Called by `install` and `doctor`.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import click

from remote_kernels.cli.completion import offers
from remote_kernels.config import OPTIONS, every_option, owner, portable_options
from remote_kernels.options import PORTABLE, Option

# Where the word in kernel.json would mislead, or is taken, on a command line.
_RENAMED = {
    "python": "agent-python",
    "prefix": "command-prefix",
}

_EVERY = (*every_option(), *portable_options())
_ANY_GROUP = "The same, on any batch system"
_OTHER_GROUP = "How the job is run and reached"


class ConfigOption(click.Option):
    """A command-line option for one key of `config`."""

    def __init__(self, names: Sequence[str], *, config: Option, **others: Any) -> None:
        repeats = _repeats(config)
        others["help"] = config.help + (" Repeatable." if repeats else "")
        choices = config.kind.choices
        others["metavar"] = None if choices else _metavar(config)
        others["type"] = click.Choice(choices) if choices else str
        if not choices and config not in OPTIONS:
            others["shell_complete"] = offers
        super().__init__(names, multiple=repeats, **others)
        self.bare = "boolean" in config.kind.kinds
        self.group = _group(config)


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
        """Read options such as `--exclusive` as Slurm does: "=" before a value."""
        options = [p for p in self.params if isinstance(p, click.Option)]
        bare = {o for p in options if getattr(p, "bare", False) for o in p.opts}
        take = {o for p in options if not p.is_flag for o in p.opts} - bare
        for i, arg in enumerate(args):
            if arg in bare and (i == 0 or args[i - 1] not in take):
                args[i] = f"{arg}=true"
        return super().parse_args(ctx, args)


def config_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give `function` all options; those that are used come as `settings`."""

    @functools.wraps(function)
    def gathered(**values: Any) -> None:
        given = [(option, values.pop(_parameter(option))) for option in _EVERY]
        settings = {o.name: _value(o, v) for o, v in given if v not in (None, ())}
        function(**values, settings=settings)

    for option in reversed(_EVERY):
        names = _names(option)
        gathered = click.option(*names, cls=ConfigOption, config=option)(gathered)
    return gathered


def _names(option: Option) -> list[str]:
    """Return the option's name inside click, then the names that users type."""
    name = _RENAMED.get(option.name, option.name)
    if _repeats(option) and name.endswith("_args"):
        name = name.removesuffix("s")
    short = [option.short] if option.short else []
    return [_parameter(option), *short, f"--{name.replace('_', '-')}"]


def as_typed(option: Option, value: object) -> list[str]:
    """Return the words that give an option this value: what `_value` reads."""
    flag = _names(option)[-1]
    if value is True:
        return [flag]
    if not isinstance(value, list):
        return [f"{flag}={value}"]
    values = value if _repeats(option) else [shlex.join(value)]
    return [f"{flag}={each}" for each in values]


def _parameter(option: Option) -> str:
    """Return the name inside click: `config_prefix` is not install's `prefix`."""
    return "config_" + option.name.replace("-", "_")


def _group(option: Option) -> str:
    """Return the heading of the option's group."""
    driver = owner(option)
    if driver is None:
        return _ANY_GROUP if option.name in PORTABLE else _OTHER_GROUP
    return f"Options of the job, as for {driver.command} ({driver.title})"


def _repeats(option: Option) -> bool:
    return "list" in option.kind.kinds and option.name != "prefix"


def _metavar(option: Option) -> str:
    if option.name == "prefix":
        return "COMMAND"
    return f"[={option.metavar}]" if "boolean" in option.kind.kinds else option.metavar


def _value(option: Option, text: str | tuple[str, ...]) -> object:
    """Return what goes into kernel.json: numbers as numbers, lists as lists."""
    if isinstance(text, tuple):
        return [_value(option, line) for line in text if line]
    if option.name == "prefix":
        return _words(text)
    if "boolean" in option.kind.kinds and text in ("true", "false"):
        return text == "true"
    numbers = {"integer", "number", "numbers"}
    if text.isdecimal() and numbers & set(option.kind.kinds):
        return int(text)
    return text


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        message = f"--command-prefix: {error} in {command!r}"
        raise click.UsageError(message) from error
