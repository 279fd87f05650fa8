"""`remote-kernels stop`: end kernels, running or waiting.

The server that has a kernel ends it, so that its page learns of it. If no server on
this host has it, the job is cancelled and the record removed. Called by `main`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import click

from remote_kernels.cli import kernelspec, servers, words
from remote_kernels.cli.completion import running_kernels
from remote_kernels.cli.rows import show
from remote_kernels.cli.say import say
from remote_kernels.cli.servers import Server
from remote_kernels.errors import RemoteKernelError
from remote_kernels.kernel import inventory
from remote_kernels.kernel.finding import LIVE, choose
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.runtime import Runtime

_HEADER = ("Kernel", "Notebook", "Job", "State", "To do")


# A kernel to end, and the server that is to end it, if one here has it.
_Work = tuple[Recorded, Server | None]


@click.command()
@click.argument(
    "kernels", metavar="[KERNEL]...", nargs=-1, shell_complete=running_kernels
)
@click.option("--all", "everything", is_flag=True, help="All that wait or run.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def stop(kernels: Sequence[str], everything: bool, dry_run: bool, yes: bool) -> None:
    """End kernels that run, and take those that wait out of the queue.

    KERNEL is a kernel's ID or the beginning of it, its job's ID, or the name or path
    of its notebook. Variables of the kernels are lost; notebooks are not. Asks first.
    """
    if bool(kernels) == everything:
        msg = "Name the kernels to end, or give --all."
        raise click.UsageError(msg)
    work = asyncio.run(_work(kernels))
    rows = [_row(kernel, server) for kernel, server in work]
    show(_HEADER, rows, "No kernel of yours waits or runs here.")
    if dry_run or not work:
        return
    if not yes:
        count = len(work)
        question = f"End {'this kernel' if count == 1 else f'these {count} kernels'}?"
        click.confirm(question, abort=True, err=True)
    if not asyncio.run(_end_all(work)):
        sys.exit(1)


async def _work(wanted: Sequence[str]) -> list[_Work]:
    """Return the kernels in the order in which they were named, each once."""
    known = await inventory.recorded(Runtime(), kernelspec.state_dirs())
    live = [kernel for kernel in known if not kernel.ended]
    chosen = [choose(known, name, LIVE) for name in wanted] if wanted else live
    found = {kernel.kernel_id: kernel for kernel in chosen}
    return [(kernel, servers.that_has(kernel.model())) for kernel in found.values()]


def _row(kernel: Recorded, server: Server | None) -> tuple[str, ...]:
    view = kernel.model()
    how = f"by its server ({server})"
    if server is None:
        shared = kernel.facts.get("allocation")
        how = f"leave allocation {shared}" if shared else "cancel its job"
    columns = view.called, view.job_id, words.state(view)
    return (view.kernel_id, *columns, how)


async def _end_all(work: list[_Work]) -> bool:
    """Return whether every kernel could be ended, after a line for each."""
    runtime = Runtime()
    return all(await asyncio.gather(*(_end(runtime, *item) for item in work)))


async def _end(runtime: Runtime, kernel: Recorded, server: Server | None) -> bool:
    if server is not None:
        trouble = await servers.end(server, kernel.kernel_id)
        if not trouble:
            say(f"{kernel.kernel_id}: ended by its server", err=True)
            return True
        say(
            f"{kernel.kernel_id}: its server did not end it ({trouble}); its job is "
            "cancelled, or left, instead",
            err=True,
        )
    try:
        scheduler = str(kernel.facts["scheduler"])
        alone = await inventory.end(runtime, kernel.record, scheduler, kernel.job_id)
    except RemoteKernelError as error:
        say(f"{kernel.kernel_id}: {error}", err=True)
        return False
    job = f"job {kernel.job_id}"
    what = f"{job} cancelled" if alone else f"ends within a minute; {job} is shared"
    say(f"{kernel.kernel_id}: {what}", err=True)
    return True
