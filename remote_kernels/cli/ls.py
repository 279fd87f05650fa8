"""`remote-kernels ls`: the kernels that wait or run, once or again and again.

A table on a terminal, tab-separated lines elsewhere. Called by `main`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from remote_kernels import harmless
from remote_kernels.cli import endless, kernelspec, rows, servers, words
from remote_kernels.cli.say import say
from remote_kernels.kernel import inventory, service
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.model import KernelModel, ModelState
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.service import SLOWEST

FASTEST = 2.0  # seconds between two questions to the batch system

_HEADER = ("Kernel", "Notebook", "Job", "State", "Node", "Time left", "Memory")
_NOTHING_LIVE = (
    "No kernel of yours waits or runs here. `remote-kernels ls --all` also shows those "
    "that ended in the last day."
)
_NOTHING = "No kernel of yours waits or runs here, and none has ended in the last day."


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that ended.")
@click.option(
    "-w",
    "--watch",
    "interval",
    is_flag=False,
    flag_value="5",
    type=click.FloatRange(min=FASTEST, max=3600),
    metavar="[SECONDS]",
    help="Refresh every so many seconds (5), until Ctrl-C. While nothing changes, the "
    f"batch system is asked less and less often, down to once in {SLOWEST:g} s.",
)
@click.option("--json", "as_json", is_flag=True, help="All that is known, as JSON.")
def ls(everything: bool, interval: float | None, as_json: bool) -> None:
    """Show your kernels that wait or run.

    With --watch and no terminal, a line is printed whenever a kernel's state changes.
    """
    if interval is None:
        views = asyncio.run(_once(everything))
        if as_json:
            click.echo(json.dumps([view.as_json() for view in views], indent=2))
        else:
            _show(views, everything)
        return
    if as_json:
        msg = "--json and --watch exclude each other."
        raise click.UsageError(msg)
    if not sys.stdout.isatty():
        code = endless.run(_watch(everything, interval, Changes().show))
    else:
        code = _watch_on_terminal(everything, interval)
    sys.exit(code)


async def _once(everything: bool) -> list[KernelModel]:
    kernels = await inventory.recorded(Runtime(), kernelspec.state_dirs())
    return await _views(kernels, everything)


async def _views(kernels: list[Recorded], everything: bool) -> list[KernelModel]:
    views = [kernel.model() for kernel in kernels if everything or not kernel.ended]
    return await servers.laid_over(views)


# --- to be seen ---------------------------------------------------------------------


def _show(views: list[KernelModel], everything: bool) -> None:
    unreadable = service.unreadable(kernelspec.state_dirs())
    if unreadable:
        say(_unreadable(unreadable), err=True)
    elif not views:
        click.echo(_NOTHING if everything else _NOTHING_LIVE, err=True)
    if not views:
        return
    if sys.stdout.isatty():
        Console().print(_table(views, everything))
    else:
        for view in views:
            click.echo("\t".join(_row(view)))


def _unreadable(records: list[Path]) -> str:
    are = "record is" if len(records) == 1 else "records are"
    lines = "".join(f"\n  {record}" for record in records)
    return (
        f"{len(records)} {are} not readable, so nobody can tell whether these kernels "
        f"run:{lines}\n`remote-kernels clean` says what is wrong with them, and "
        "removes those whose jobs are gone."
    )


def _row(view: KernelModel) -> tuple[str, ...]:
    row = (
        view.kernel_id,
        view.called,
        view.job_id,
        words.state(view),
        view.node or "",
        words.time_left(view),
        words.memory(view.usage),
    )
    return harmless.fields(row)


def _table(views: list[KernelModel], everything: bool) -> RenderableType:
    """Return the kernels as a table, in which no text counts as markup."""
    if not views:
        return Text(_NOTHING if everything else _NOTHING_LIVE)
    cells: list[tuple[str | Text, ...]] = []
    for view in views:
        kernel, notebook, job, state, *rest = _row(view)
        cells.append((kernel[:8], notebook, job, Text(state, words.style(view)), *rest))
    table = rows.table(_HEADER, cells)
    for column in table.columns:
        column.no_wrap = column.header not in ("Notebook", "State")
    return table


# --- again and again ----------------------------------------------------------------


async def _watch(
    everything: bool, interval: float, show: Callable[[list[KernelModel]], object]
) -> None:
    runtime, dirs = Runtime(), kernelspec.state_dirs()
    service.ask_at_most_every(runtime, interval)
    while True:
        kernels = await inventory.recorded(runtime, dirs, watching=True)
        show(await _views(kernels, everything))
        await asyncio.sleep(interval)


def _key(view: KernelModel) -> tuple[str | None, ...]:
    """Return what counts as news when it changes; the expected start does not."""
    return (
        *(view.kernel_id, view.state, view.job_state, view.reason, view.node),
        *view.notebooks,
    )


def _watch_on_terminal(everything: bool, interval: float) -> int:
    logger = logging.getLogger("remote_kernels")
    if logger.level == logging.WARNING:  # the table says what a warning would
        logger.setLevel(logging.ERROR)
    with Live(console=Console(), auto_refresh=False) as live:
        return endless.run(
            _watch(
                everything,
                interval,
                lambda views: live.update(_table(views, everything), refresh=True),
            )
        )


class Changes:
    """Prints kernels whose state has changed since the last time."""

    def __init__(self) -> None:
        self._before: dict[str, KernelModel] = {}

    def show(self, views: list[KernelModel]) -> None:
        """Print the kernels that have changed, and once more those that are gone."""
        now = {view.kernel_id: view for view in views}
        for kernel, view in now.items():
            before = self._before.get(kernel)
            if before is None or _key(before) != _key(view):
                click.echo("\t".join(_row(view)))
        for kernel, view in self._before.items():
            if kernel not in now:
                row = _row(replace(view, state=ModelState.ENDED, ends=None, usage=None))
                click.echo("\t".join([*row[:3], "ended", *row[4:]]))
        self._before = now
