"""`remote-kernels list` and `remote-kernels remove`: our kernelspecs, and no others.

A table for people when the output is a terminal, tab-separated lines otherwise, and
JSON on request. Called by `main`; `summary` also by `install`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from remote_kernels import config, harmless
from remote_kernels.cli import kernelspec
from remote_kernels.cli.completion import names_of
from remote_kernels.cli.kernelspec import Kernelspec
from remote_kernels.cli.options import as_typed
from remote_kernels.cli.rows import show
from remote_kernels.cli.say import say
from remote_kernels.errors import ConfigError
from remote_kernels.kernel import service

_HEADER = ("Name", "Display name", "Options", "Where")
_NOTHING = (
    "No kernelspec here starts its kernel in a job. To add one:\n"
    "  remote-kernels install python-compute"
)


@click.command("list")
@click.option("--templates", is_flag=True, help="What can be installed, instead.")
@click.option("--json", "as_json", is_flag=True, help="All that is known, as JSON.")
def list_kernels(templates: bool, as_json: bool) -> None:
    """List the kernelspecs that start their kernel in a job."""
    kernels = (kernelspec.templates() if templates else kernelspec.ours()).values()
    if as_json:
        click.echo(json.dumps([_record(kernel) for kernel in kernels], indent=2))
    else:
        show(_HEADER, [_row(kernel) for kernel in kernels], _NOTHING, length=None)


@click.command()
@click.argument(
    "names",
    metavar="NAME...",
    nargs=-1,
    required=True,
    shell_complete=names_of(kernelspec.ours),
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(names: Sequence[str], yes: bool) -> None:
    """Remove kernelspecs that start their kernel in a job.

    Kernels that run already are not touched.
    """
    found = kernelspec.installed()
    kernels = [kernelspec.find(name, found, "kernelspec") for name in names]
    for kernel in kernels:
        kernelspec.check_ours(kernel)
    for kernel in kernels:
        question = harmless.line(f"Remove {kernel.name} ({kernel.directory})?")
        if yes or click.confirm(question):
            configured = kernel.config.get("state_dir")
            base = service.state_dir(str(configured) if configured else None)
            kernelspec.remove(kernel)
            say(f"Removed {kernel.name} from {kernel.directory}")
            _tell_left(base)


def _tell_left(base: Path) -> None:
    """Say what is left of a kernelspec's kernels, and how to remove it."""
    left = ", ".join(service.left(base, kernels=True))
    if not left:
        return
    if base not in kernelspec.state_dirs():
        how = f"no kernelspec names that directory any more: rm -r {shlex.quote(str(base))}"
    elif kernelspec.ours():
        how = "`remote-kernels clean` shows it, and removes what has ended"
    else:
        how = "`remote-kernels clean --all` ends and removes that, too"
    say(f"Left in {base}: {left}; {how}.", err=True)


def summary(settings: dict[str, object]) -> str:
    """Return the batch system and the other options, as one would type them."""
    words = [str(settings.get("scheduler", "auto"))]
    for option in sorted(config.every_option(), key=config.OPTIONS.__contains__):
        value = settings.get(option.name)
        if option.name == "scheduler" or value in (None, False):
            continue
        if isinstance(value, list) and option not in config.OPTIONS:  # words already
            words += map(str, value)
        else:
            words += as_typed(option, value)
    return " ".join(map(shlex.quote, words))


def _problem(kernel: Kernelspec) -> str | None:
    """Return why the kernel cannot start with its configuration; None if it can."""
    try:
        config.parse(kernel.config)
    except ConfigError as error:
        return str(error)
    return None


def _row(kernel: Kernelspec) -> tuple[str, ...]:
    problem = _problem(kernel)
    options = f"INVALID: {problem.splitlines()[0]}" if problem else ""
    return (
        kernel.name,
        str(kernel.spec["display_name"]),
        options or summary(kernel.config),
        str(kernel.directory),
    )


def _record(kernel: Kernelspec) -> dict[str, object]:
    return {
        "name": kernel.name,
        "display_name": kernel.spec["display_name"],
        "language": kernel.spec["language"],
        "argv": kernel.spec["argv"],
        "directory": str(kernel.directory),
        "config": kernel.config,
        "problem": _problem(kernel),
    }
