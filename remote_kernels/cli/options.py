"""The options of kernel.json's `config`, as options of the command line.

They are made from the tables of `config` and of the drivers, so that none is missing
here and every help text is written once. Options of jobs keep the batch system's
names, short ones included, and have the names common to all batch systems besides;
`config.parse` checks their values. Called by `install` and `doctor`.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import click

from remote_kernels.cli.completion import offers
from remote_kernels.config import (
    OPTIONS,
    batch_system,
    batch_systems,
    every_option,
    portable_options,
)
from remote_kernels.options import PORTABLE, Option

# Where the word in kernel.json would mislead, or is taken, on a command line.
_RENAMED = {
    "python": "agent-python",
    "prefix": "command-prefix",
}

_OWN = {option.name for option in every_option()}
_EVERY = (*every_option(), *(o for o in portable_options() if o.name not in _OWN))
_ARGS = f"{__name__}.args"  # as they were typed, in a context's `meta`


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
        self.config = config


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups.

    Of the options of jobs it shows those of one batch system: there are too many. The
    others are taken all the same.
    """

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the options, a section for each group, and how to see the others."""
        params = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        of_config = [p for p in params if isinstance(p, ConfigOption)]
        groups: dict[str, Sequence[click.Option]] = {
            "Options": [p for p in params if p not in of_config],
            **_of_the_job(self._scheduler(ctx)),
            "How the job is run and reached": [
                p for p in of_config if p.config in OPTIONS
            ],
        }
        for title, shown in groups.items():
            records = [param.get_help_record(ctx) for param in shown]
            if shown:
                with formatter.section(title):
                    formatter.write_dl([record for record in records if record])
        formatter.write_paragraph()
        formatter.write_text(
            f"Options of other batch systems: {ctx.command_path} --scheduler NAME --help "
            f"({', '.join(batch_systems())})"
        )

    def _scheduler(self, ctx: click.Context) -> object:
        """Return the one that is named on this command line, before --help or after."""
        typed, _, _ = self.make_parser(ctx).parse_args([*ctx.meta.get(_ARGS, ())])
        option = next(p for p in self.params if p.name == "config_scheduler")
        return option.type_cast_value(ctx, typed.get("config_scheduler"))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read options such as `--exclusive` as Slurm does: "=" before a value."""
        options = [p for p in self.params if isinstance(p, click.Option)]
        bare = {o for p in options if getattr(p, "bare", False) for o in p.opts}
        take = {o for p in options if not p.is_flag for o in p.opts} - bare
        for i, arg in enumerate(args):
            if arg in bare and (i == 0 or args[i - 1] not in take):
                args[i] = f"{arg}=true"
        ctx.meta[_ARGS] = [*args]
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


def _of_the_job(scheduler: object) -> dict[str, list[ConfigOption]]:
    """Return what can be asked of a job there, by the headings of the groups."""
    driver = batch_system(scheduler)
    if driver is None:
        shown = [_shown(option) for option in portable_options()]
        return {"Options of the job, for any batch system": shown}
    shared = {option.portable: option for option in driver.options}
    return {
        f"Options of the job, for any batch system and as {driver.title} has them": [
            _shown(shared[name], f"--{name}") for name in PORTABLE if name in shared
        ],
        f"Further options of the job, as for {driver.command} ({driver.title})": [
            _shown(option) for option in driver.options if not option.portable
        ],
    }


def _shown(option: Option, *more: str) -> ConfigOption:
    """Return it for a help text, by its own names and by more."""
    parameter, *names = _names(option)
    return ConfigOption([parameter, *dict.fromkeys([*more, *names])], config=option)


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
    if re.fullmatch(r"\d{1,18}", text, re.ASCII) and numbers & set(option.kind.kinds):
        return int(text)
    return text


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        message = f"--command-prefix: {error} in {command!r}"
        raise click.UsageError(message) from error
