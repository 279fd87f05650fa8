"""`remote-kernels info`: everything known of one kernel, or of the installation.

Labelled lines on a terminal, tab-separated ones elsewhere. Called by `main`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from remote_kernels import __version__, harmless
from remote_kernels.cli import kernelspec, servers, words
from remote_kernels.cli.completion import recorded_kernels
from remote_kernels.cli.rows import show
from remote_kernels.config import Settings
from remote_kernels.kernel import choice, inventory, service, site
from remote_kernels.kernel.finding import ON_RECORD, find
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.model import STATES, UNKNOWN, KernelModel
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.wrapping import wrapped

Lines = list[tuple[str, str]]


@click.command()
@click.argument("kernel", required=False, shell_complete=recorded_kernels)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--queues", is_flag=True, help="Show what is free in each queue instead.")
def info(kernel: str | None, as_json: bool, queues: bool) -> None:
    """Show everything known of a kernel, or of this installation.

    KERNEL is a kernel's ID or the beginning of it, its job's ID, or the name or path
    of its notebook. Without KERNEL: version, scheduler, directories, servers.
    What is known of a kernel that ended by itself is kept for a day.
    """
    if queues:
        if kernel is not None:
            message = "--queues is not about a kernel; leave KERNEL out"
            raise click.UsageError(message)
        _show_queues(asyncio.run(_free()), as_json)
        return
    if kernel is None:
        body = asyncio.run(_installation())
        lines = _of_installation(body)
    else:
        found, view = asyncio.run(_kernel(kernel))
        body = {**view.as_json(), **_more(found, view)}
        lines = _of_kernel(view, body)
    if as_json:
        click.echo(json.dumps(body, indent=2))
    else:
        _show([(label, harmless.line(text)) for label, text in lines if text])


def _show(lines: Lines) -> None:
    if not sys.stdout.isatty():
        for label, text in lines:
            click.echo(f"{label}\t{text}")
        return
    console = Console()
    margin = 1 + max(len(label) for label, _ in lines)
    for label, text in lines:
        body = wrapped(text, console.width - margin)
        body = body.replace("\n", "\n" + " " * margin)
        line = Text.assemble((label.ljust(margin), "bold"), body)
        console.print(line, soft_wrap=True)


# --- what is free -------------------------------------------------------------------


async def _free() -> choice.Free:
    return await choice.free(Runtime())


def _show_queues(found: choice.Free, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    nothing = f"Scheduler '{found.scheduler}' tells of no queues."
    titles = ("QUEUE", "STATE", "LIMIT", "NODES", "CORES", "MEMORY", "GPUS", "NOTE")
    rows = [words.queue(each) for each in found.as_json()["queues"]]
    show(titles, rows, nothing, length=None)


# --- one kernel ---------------------------------------------------------------------


async def _kernel(wanted: str) -> tuple[Recorded, KernelModel]:
    found = await find(Runtime(), kernelspec.state_dirs(), wanted, ON_RECORD)
    (view,) = await servers.laid_over([found.model()])
    return found, view


def _more(found: Recorded, view: KernelModel) -> dict[str, Any]:
    """Return what a view does not hold."""
    record = found.record
    server = servers.that_has(view)
    return {
        "advice": found.advice if view.state == "waiting" else "",
        "server": server.url if server is not None else None,
        "record": str(record.path),
        "logs": [str(p) for p in (record.job_log, record.kernel_log) if p.exists()],
    }


def _of_kernel(view: KernelModel, more: dict[str, Any]) -> Lines:
    gpus = [("GPU", text) for text in words.gpus(view.usage)]
    return [
        ("Kernel", view.kernel_id),
        ("Name", view.name),
        ("Kernelspec", view.spec_name),
        *(("Notebook", path) for path in view.notebooks),
        ("State", words.state(view)),
        ("Place", f"{view.place} in its queue" if view.place is not None else ""),
        ("Advice", more["advice"]),
        ("Job", _job(view)),
        ("Node", view.node or ""),
        ("Carrier", view.carrier or ""),
        ("Submitted", words.moment(view.submitted)),
        ("Ready", words.moment(view.ready)),
        ("Ends", words.moment(view.ends)),
        ("Memory", words.memory(view.usage)),
        ("CPU", words.processors(view.usage)),
        *gpus,
        ("Server", _server(view, more["server"])),
        ("Record", more["record"]),
        *(("Log", path) for path in more["logs"]),
    ]


def _job(view: KernelModel) -> str:
    cluster = service.shown_cluster(view)
    where = f" on {cluster}" if cluster else ""
    said = " ".join(filter(None, (view.job_state, view.reason)))
    said = f": {said}" if said else ""
    return f"{view.job_id} ({view.scheduler}{where}){said}"


def _server(view: KernelModel, url: str | None) -> str:
    if not view.host:
        return ""
    process = f"process {view.pid} on {view.host}"
    return f"{process}, {url}" if url else f"last used by {process}"


# --- the installation ---------------------------------------------------------------


async def _installation() -> dict[str, Any]:
    dirs, runtime = kernelspec.state_dirs(), Runtime()
    here = await site.here(runtime, Settings())
    kernels = await inventory.recorded(runtime, dirs)
    states = Counter(kernel.model().state for kernel in kernels)
    return {
        "version": __version__,
        "python": sys.executable,
        "scheduler": here.name,
        "command": here.path,
        "cluster": here.cluster,
        "state_dirs": [str(path) for path in dirs],
        "kernelspecs": list(kernelspec.ours()),
        "kernels": {s: states[s] for s in (*STATES, UNKNOWN) if states[s]},
        "servers": [server.url for server in servers.here()],
    }


def _of_installation(body: dict[str, Any]) -> Lines:
    kernels = ", ".join(
        f"{number} {state}" for state, number in body["kernels"].items()
    )
    command = body["command"]
    return [
        ("Version", f"remote-kernels {body['version']}"),
        ("Python", body["python"]),
        ("Scheduler", f"{body['scheduler']}{f', {command}' if command else ''}"),
        ("Cluster", body["cluster"] or "not named"),
        *(("State directory", path) for path in body["state_dirs"]),
        ("Kernelspecs", ", ".join(body["kernelspecs"]) or "none of ours"),
        ("Kernels", kernels or "none"),
        *(("Server", url) for url in body["servers"]),
    ]
