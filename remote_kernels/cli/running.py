"""`remote-kernels attach` and `remote-kernels clean`: kernels that run already.

Called by `main`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from jupyter_core.paths import jupyter_runtime_dir
from rich.console import Console
from rich.table import Table
from rich.text import Text

from remote_kernels import registry
from remote_kernels.cli import kernelspec
from remote_kernels.config import Settings, parse
from remote_kernels.errors import ConfigError, RecordError, RemoteKernelError
from remote_kernels.kernel import inventory
from remote_kernels.kernel.attached import Attached, attached
from remote_kernels.kernel.inventory import Recorded

UNSUBMITTED = 600.0  # seconds after which a start without a job is a dead one


def _state_dirs() -> list[Path]:
    """Where this user's kernelspecs let records be kept."""
    ours = [k for k in kernelspec.installed().values() if k.is_ours]
    configured = [k.config.get("state_dir") for k in ours]
    dirs = [str(d) if d else None for d in (None, *configured)]
    return list(dict.fromkeys(map(registry.state_dir, dirs)))


# --- attach -------------------------------------------------------------------------


@click.command()
@click.argument("kernel", required=False)
@click.option(
    "--file",
    "-f",
    "path",
    is_flag=False,
    flag_value="",
    metavar="[PATH]",
    help="Write a connection file instead of opening a console, and hold the "
    "connection until Ctrl-C.",
)
@click.option(
    "--take",
    is_flag=True,
    help="Take the kernel from a notebook server on another host. There it then "
    "counts as dead.",
)
def attach(kernel: str | None, path: str | None, take: bool) -> None:
    """Open a console on a kernel that runs, or write a connection file.

    KERNEL is a kernel's ID, its beginning, or its job's ID; it may be left out when
    there is one only. The kernel lives on when the console is closed. While a notebook
    server on this host has the kernel, both use it together.
    """
    if path is None and importlib.util.find_spec("jupyter_console") is None:
        msg = (
            "jupyter_console is not installed here. Either install it (pip install "
            "jupyter_console), or use --file for a connection file that any other "
            "client can use."
        )
        raise ConfigError(msg)
    try:
        sys.exit(asyncio.run(_attach(kernel, path, take)))
    except KeyboardInterrupt:
        click.echo("\nThe kernel lives on.", err=True)


async def _attach(wanted: str | None, path: str | None, take: bool) -> int:
    found = _choose(await inventory.recorded(_state_dirs()), wanted)
    async with attached(found, _settings(found), take=take) as connection:
        with _connection_file(found, connection, path) as file:
            if path is None:
                return await _console(file)
            click.echo(file)
            if connection.ours:
                click.echo("Ctrl-C ends the connection, not the kernel.", err=True)
                await asyncio.get_running_loop().create_future()
    return 0


def _choose(kernels: list[Recorded], wanted: str | None) -> Recorded:
    live = [kernel for kernel in kernels if kernel.attachable]
    if wanted is None:
        found = live
    else:
        found = [
            kernel
            for kernel in live
            if kernel.kernel_id.startswith(wanted) or kernel.job_id == wanted
        ]
    if len(found) == 1:
        return found[0]
    listed = "\n".join(
        f"  {k.kernel_id}  job {k.job_id}  {k.facts.get('name', '')}" for k in live
    )
    if not live:
        msg = "No kernel of yours runs on this cluster."
    elif wanted is None:
        msg = f"Which of these kernels?\n{listed}"
    else:
        many = "More than one kernel matches" if found else "No kernel that runs is"
        msg = f"{many} {wanted!r}. These run:\n{listed}"
    raise RecordError(msg)


def _settings(found: Recorded) -> Settings:
    """As its kernelspec says, if that is still there."""
    config: dict[str, object] = {}
    spec = kernelspec.installed().get(str(found.facts.get("spec_name")))
    if spec is not None and spec.is_ours:
        config = spec.config
    place = {"scheduler": found.facts["scheduler"], "state_dir": str(found.record.base)}
    return parse({**config, **place})


@contextlib.contextmanager
def _connection_file(
    found: Recorded, connection: Attached, path: str | None
) -> Iterator[Path]:
    """Written for as long as it is good."""
    if path:
        file = Path(path).absolute()
    else:
        directory = Path(jupyter_runtime_dir())
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = directory / f"kernel-{found.kernel_id}-attached.json"
    body = {**connection.info, "kernel_name": found.facts.get("spec_name", "")}
    try:
        registry.write_private(file, json.dumps(body, indent=1))
    except OSError as exc:
        msg = f"Cannot write the connection file {file}: {exc}"
        raise RecordError(msg) from exc
    try:
        yield file
    finally:
        if connection.ours or path is None:
            file.unlink(missing_ok=True)


async def _console(file: Path) -> int:
    """A console in the foreground: Ctrl-C is its business, not ours."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    argv = [sys.executable, "-m", "jupyter_console", "--existing", str(file)]
    process = await asyncio.create_subprocess_exec(*argv)
    try:
        return await process.wait()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        if process.returncode is None:
            process.terminate()
            await process.wait()


# --- clean --------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    """A kernel, a record or a job, and what is to be done with it."""

    kernel: str
    job: str
    state: str
    node: str
    what: str
    action: str  # "", "remove record", "cancel job", "end kernel"
    scheduler: str = ""
    record: registry.Record | None = None


@click.command()
@click.option("--all", "everything", is_flag=True, help="End kernels that run, too.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print what is found as JSON.")
def clean(everything: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Show your kernels, and remove what is left of those that ended.

    Compares the records with the scheduler's jobs, both ways: a record whose job has
    ended is removed, a job of ours without a record is cancelled. Kernels that run are
    only shown, unless --all is given. Asks first.
    """
    items = asyncio.run(_take_stock(everything))
    work = [item for item in items if item.action]
    if as_json:
        click.echo(json.dumps([_public(item) for item in items], indent=2))
    else:
        _show(items)
    if dry_run or not work:
        return
    if not yes:
        click.confirm(f"{_summary(work)}?", abort=True, err=True)
    if not asyncio.run(_do_all(work)):
        sys.exit(1)


async def _take_stock(everything: bool) -> list[Item]:
    dirs = _state_dirs()
    items = [_item(found, everything) for found in await inventory.recorded(dirs)]
    items += [
        Item(
            record.kernel_id,
            *("", "", ""),
            "was never submitted",
            "remove record",
            record=record,
        )
        for record in inventory.unsubmitted(dirs, UNSUBMITTED)
    ]
    items += [
        Item(
            stray.name.removeprefix("jupyter-"),
            stray.status.job_id,
            stray.status.state,
            stray.status.node or "",
            "has no record here",
            "cancel job",
            stray.scheduler,
        )
        for stray in await inventory.strays(dirs)
    ]
    return items


def _item(found: Recorded, everything: bool) -> Item:
    action = ""
    if found.ended:
        what, action = found.ended, "remove record"
    elif found.status is None:
        what = "the scheduler does not answer"
    else:
        server = found.facts
        what = f"last seen with a server on {server.get('host')} (PID {server['pid']})"
        action = "end kernel" if everything else ""
    return Item(
        found.kernel_id,
        found.job_id,
        found.status.state if found.status is not None else "",
        str(found.facts.get("node") or ""),
        what,
        action,
        str(found.facts["scheduler"]),
        found.record,
    )


def _public(item: Item) -> dict[str, Any]:
    names = ("kernel", "job", "state", "node", "what", "action")
    body: dict[str, Any] = {name: getattr(item, name) for name in names}
    body["record"] = str(item.record.path) if item.record is not None else None
    return body


def _show(items: list[Item]) -> None:
    if not items:
        click.echo("Nothing of yours runs here, and nothing is left over.")
        return
    if not sys.stdout.isatty():
        for item in items:
            row = (item.kernel, item.job, item.state, item.node, item.what, item.action)
            click.echo("\t".join(row))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("Kernel", "Job", "State", "Node", "", "To do"):
        table.add_column(title, overflow="fold")
    for item in items:
        row = (item.kernel[:8], item.job, item.state, item.node, item.what, item.action)
        table.add_row(*map(Text, row))
    Console().print(table)


def _summary(work: list[Item]) -> str:
    counts = {
        action: sum(item.action == action for item in work)
        for action in ("remove record", "cancel job", "end kernel")
    }
    words = [
        f"{action} of {n}" if "record" in action else f"{action} ({n})"
        for action, n in counts.items()
        if n
    ]
    return ", ".join(words).capitalize()


async def _do_all(work: list[Item]) -> bool:
    """Whether all could be done; what could not is told."""
    good = True
    for item in work:
        try:
            if item.action != "remove record":
                await inventory.cancel(item.scheduler, item.job)
            if item.record is not None:
                item.record.remove()
        except RemoteKernelError as error:
            click.echo(f"{item.kernel}: {error}", err=True)
            good = False
        else:
            click.echo(f"{item.kernel}: done ({item.action})", err=True)
    return good
