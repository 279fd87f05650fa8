"""`remote-kernels attach` and `remote-kernels clean`: kernels that already run.

Called by `main`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from jupyter_core.paths import jupyter_runtime_dir

from remote_kernels.bounded import first_of
from remote_kernels.cli import endless, kernelspec
from remote_kernels.cli.completion import running_kernels
from remote_kernels.cli.rows import show
from remote_kernels.cli.say import say
from remote_kernels.errors import ConfigError, InUseError, RemoteKernelError
from remote_kernels.kernel import service, stock
from remote_kernels.kernel.attached import Attached, attached
from remote_kernels.kernel.finding import find
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.stock import Item

# --- attach -------------------------------------------------------------------------


@click.command()
@click.argument("kernel", required=False, shell_complete=running_kernels)
@click.option(
    "--file",
    "-f",
    "path",
    is_flag=False,
    flag_value="",
    type=click.Path(dir_okay=False),
    metavar="[PATH]",
    help="Write a connection file instead of opening a console, and hold the "
    "connection until Ctrl-C, unless a notebook server on this host holds it.",
)
@click.option(
    "--take",
    is_flag=True,
    help="Take the kernel from a notebook server on another host. It then "
    "counts as dead there.",
)
def attach(kernel: str | None, path: str | None, take: bool) -> None:
    """Open a console on a kernel that runs, or write a connection file.

    KERNEL is a kernel's ID or the beginning of it, its job's ID, or the name or path
    of its notebook; it may be left out when there is only one. The kernel keeps running
    when the console is closed. While a notebook server on this host has the kernel,
    both use it together.
    """
    if path is None and importlib.util.find_spec("jupyter_console") is None:
        msg = (
            "jupyter_console is not installed here. Either install it (pip install "
            "jupyter_console), or use --file for a connection file that any other "
            "client can use."
        )
        raise ConfigError(msg)
    sys.exit(asyncio.run(_attach(kernel, path, take)))


async def _attach(wanted: str | None, path: str | None, take: bool) -> int:
    runtime = Runtime()
    found = await find(runtime, kernelspec.state_dirs(), wanted)
    settings = kernelspec.settings(found)
    try:
        async with attached(runtime, found, settings, take=take) as connection:
            with _connection_file(found, connection, path) as file:
                if path is None:
                    return await _console(found, connection, file)
                say(file)
                await _hold(connection)
    except InUseError as exc:
        msg = (
            f"{exc}\nIt was last used by {found.owner}. Attach there, or take it "
            "with --take."
        )
        raise InUseError(msg) from exc
    return 0


@contextlib.contextmanager
def _connection_file(
    found: Recorded, connection: Attached, path: str | None
) -> Iterator[Path]:
    """Yield a connection file, which is removed when it is no longer valid."""
    if path:
        file = Path(path).absolute()
    else:
        directory = Path(jupyter_runtime_dir())
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = directory / f"kernel-{found.kernel_id}-attached.json"
    body = {**connection.info, "kernel_name": found.facts.get("spec_name", "")}
    connection.write(file, json.dumps(body, indent=1))
    try:
        yield file
    finally:
        if connection.kernel is not None or path is None:
            file.unlink(missing_ok=True)


async def _hold(connection: Attached) -> None:
    """Wait until the kernel ends, or a signal ends the connection."""
    kernel = connection.kernel
    if kernel is None:
        say("It is valid while the server here has the kernel.", err=True)
        return
    say("Ctrl-C ends the connection, not the kernel.", err=True)
    ended = endless.signalled()
    await first_of(ended.wait(), kernel.status.wait())
    if ended.is_set():
        say("\nThe kernel keeps running.", err=True)
    else:
        say(kernel.status.end_text or "The kernel has ended.", err=True)


async def _console(found: Recorded, connection: Attached, file: Path) -> int:
    """Run a console in the foreground: Ctrl-C is for it, not for this process."""
    say(
        f"Kernel {found.kernel_id[:8]} on {found.facts.get('node')} (job "
        f"{found.job_id}). If it is busy, it answers when it is done.",
        err=True,
    )
    _on_signals(lambda: None, signal.SIGINT)
    kernel = connection.kernel
    if kernel is not None:
        _on_signals(lambda: kernel.signal(signal.SIGINT), signal.SIGUSR1)
    argv = [sys.executable, "-m", "remote_kernels.cli.console", f"--existing={file}"]
    if kernel is None:
        argv.append("--Console.shared=True")
    process = await asyncio.create_subprocess_exec(*argv)
    _on_signals(process.terminate, signal.SIGTERM, signal.SIGHUP)
    code = await process.wait()
    return code if code >= 0 else 128 - code


def _on_signals(callback: Callable[[], object], *signals: signal.Signals) -> None:
    for signum in signals:
        asyncio.get_running_loop().add_signal_handler(signum, callback)


# --- clean --------------------------------------------------------------------------


@click.command()
@click.option("--all", "everything", is_flag=True, help="End kernels that run, too.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print it as JSON; only shows, but with --yes.",
)
def clean(everything: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Show your kernels, and remove what is left of those that ended.

    Compares the records with the batch system's jobs, both ways: a record whose job
    has ended is removed, a waiting job of ours without a record is cancelled. Kernels
    and jobs that run are only shown, unless --all is given. Asks first.
    """
    items = asyncio.run(stock.take(Runtime(), kernelspec.state_dirs(), everything))
    work = [item for item in items if item.action]
    if as_json:
        click.echo(json.dumps([_public(item) for item in items], indent=2))
    else:
        _show(items)
    if dry_run or (as_json and not yes):
        return
    if work and not yes:
        click.confirm(f"{_summary(work)}?", abort=True, err=True)
    good = asyncio.run(_do_all(work))
    _after(everything)
    if not good:
        sys.exit(1)


def _after(everything: bool) -> None:
    """Say what is left; where everything is to go, remove it first."""
    for base in kernelspec.state_dirs():
        if everything:
            service.forget(base)
        left = service.left(base)
        if left:
            names = ", ".join(left)
            also = (
                "" if everything else " `remote-kernels clean --all` removes that, too."
            )
            say(f"Left in {base}: {names}.{also}", err=True)


def _public(item: Item) -> dict[str, Any]:
    names = ("kernel", "name", "job", "state", "node", "what", "action")
    body: dict[str, Any] = {name: getattr(item, name) for name in names}
    body["job"] = str(item.job or "")
    body["record"] = str(item.record.path) if item.record is not None else None
    return body


def _show(items: list[Item]) -> None:
    rows = [
        (i.kernel, i.name, str(i.job or ""), i.state, i.node, i.what, i.action)
        for i in items
    ]
    titles = ("Kernel", "", "Job", "State", "Node", "", "To do")
    show(titles, rows, "No kernel of yours was found, and nothing left over.")


def _summary(work: list[Item]) -> str:
    """Return the work as a question: "End 1 kernel, remove 2 records"."""
    parts = []
    for action, count in Counter(item.action for item in work).items():
        verb, what = action.split()
        parts.append(f"{verb} {count} {what}{'' if count == 1 else 's'}")
    return ", ".join(parts).capitalize()


async def _do_all(work: list[Item]) -> bool:
    """Return whether everything could be done, after a line for each item."""
    good, runtime = True, Runtime()
    for item in work:
        try:
            await item.do(runtime)
        except RemoteKernelError as error:
            say(f"{item.kernel}: {error}", err=True)
            good = False
        else:
            say(f"{item.kernel}: done ({item.action})", err=True)
    return good
