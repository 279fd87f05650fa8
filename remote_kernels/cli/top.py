"""`remote-kernels top`: what a kernel's job uses on its node, live.

One program in the job measures for as long as somebody looks; it ends with its channel,
however this process ends. Called by `main`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import termios
import tty
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from remote_kernels import harmless
from remote_kernels.cli import endless, inside, words
from remote_kernels.cli.completion import running_kernels
from remote_kernels.cli.inside import OpenJob
from remote_kernels.kernel.remote_process import RemoteProcess, told_by

Sample = dict[str, Any]

FASTEST = 0.5  # seconds between two samples
_HEADER = ("PID", "CPU", "Memory", "Time", "Threads", "State", "Command")


@click.command()
@click.argument("kernel", required=False, shell_complete=running_kernels)
@click.option(
    "-d",
    "--interval",
    type=click.FloatRange(min=FASTEST, max=3600),
    default=2.0,
    metavar="SECONDS",
    help="Between two samples (2).",
)
@click.option("--once", is_flag=True, help="Show it once, as of one second.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each sample.")
def top(kernel: str | None, interval: float, once: bool, as_json: bool) -> None:
    """Show what a kernel's job uses on its node: CPU, memory, GPUs, processes.

    KERNEL is a kernel's ID or the beginning of it, its job's ID, or the name or path
    of its notebook; it may be left out when there is only one. Ends with q or Ctrl-C.
    Without a terminal it is shown once, as tab-separated lines, unless --json is given.

    \b
    remote-kernels top
    remote-kernels top 4711 --interval 10
    remote-kernels top 4711 --once --json
    """
    job = inside.job(kernel)
    live = not as_json and not once and sys.stdout.isatty()
    once = once or not (as_json or live)
    options = {"interval": interval, "once": once}
    show = _as_json if as_json else _shown_once
    with job.way() as way:
        if live:
            sys.exit(_on_terminal(job, way, options))
        work = _each(job, way, options, lambda sample: show(job, sample))
        sys.exit(endless.run(work))


def _as_json(job: OpenJob, sample: Sample) -> None:
    click.echo(json.dumps({"kernel_id": job.model.kernel_id, **sample}))


def _shown_once(job: OpenJob, sample: Sample) -> None:
    if sys.stdout.isatty():
        Console().print(_picture(job, sample, None))
        return
    for text in _head(job, sample):
        click.echo(text)
    for row in sample["processes"]:
        click.echo("\t".join(_row(row)))


def _on_terminal(job: OpenJob, way: Path, options: Sample) -> int:
    console = Console()
    with _keys() as fd, Live(console=console, auto_refresh=False) as live:

        def show(sample: Sample) -> None:
            live.update(_picture(job, sample, console.height), refresh=True)

        text = harmless.line(f"{job.node}, job {job.number} ...")
        live.update(Text(text), refresh=True)
        return endless.run(_until_q(fd, _each(job, way, options, show)))


# --- the program in the job ---------------------------------------------------------


async def _each(
    job: OpenJob, way: Path, options: Sample, show: Callable[[Sample], object]
) -> None:
    """Show each sample, until the job ends, which is an error, or all are there."""
    process = RemoteProcess(way, "top", options=options)
    with contextlib.closing(process):  # which ends the reading, too
        lines = _lines(job, process)
        while (line := await asyncio.to_thread(next, lines, None)) is not None:
            show(json.loads(line))


def _lines(job: OpenJob, process: RemoteProcess) -> Iterator[bytes]:
    """Yield each line that the program says. Raises AgentError."""
    rest = b""
    for payload in told_by(process, job.number, job.node):
        *whole, rest = (rest + payload).split(b"\n")
        yield from (line for line in whole if line.startswith(b"{"))


async def _until_q(fd: int | None, work: Coroutine[Any, Any, None]) -> None:
    """Run the work until it is done, or q is typed."""
    if fd is None:
        return await work
    task = asyncio.ensure_future(work)

    def typed() -> None:
        keys = os.read(fd, 100)
        if not keys or b"q" in keys.lower():
            asyncio.get_running_loop().remove_reader(fd)
            task.cancel()

    asyncio.get_running_loop().add_reader(fd, typed)
    await task


@contextlib.contextmanager
def _keys() -> Iterator[int | None]:
    """Yield the terminal on standard input, with keys one by one; None without one."""
    if not sys.stdin.isatty():
        yield None
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


# --- to be seen ---------------------------------------------------------------------


def _head(job: OpenJob, sample: Sample) -> list[str]:
    """Return what the processes use together, a line each."""
    lines = [
        f"{sample['node']}, job {job.number}, kernel {job.model.kernel_id[:8]}",
        f"CPU {words.processors(sample)}, memory {words.memory(sample)}",
    ]
    return [*map(harmless.line, lines + [f"GPU {t}" for t in words.gpus(sample)])]


def _row(process: dict[str, Any]) -> tuple[str, ...]:
    minutes, seconds = divmod(int(process["time"]), 60)
    row = (
        str(process["pid"]),
        f"{process['cpu_percent']:.0f} %",
        words.memory({"memory": process["memory"]}),
        f"{minutes}:{seconds:02}",
        str(process["threads"]),
        process["state"],
        process["command"],
    )
    return harmless.fields(row)


def _picture(job: OpenJob, sample: Sample, height: int | None) -> RenderableType:
    """Return a table of at most `height` lines, the kernel's process in bold."""
    head = _head(job, sample)
    table = Table(box=None, header_style="bold", pad_edge=False, expand=True)
    for title in _HEADER:
        justify: Any = "left" if title in ("State", "Command") else "right"
        rest = 1 if title == "Command" else None  # of the width
        table.add_column(title, justify=justify, no_wrap=True, ratio=rest)
    processes = sample["processes"]
    if height is not None:
        processes = processes[: max(1, height - len(head) - 3)]
    for process in processes:
        kernel = process["pid"] == sample["kernel_pid"]
        table.add_row(*map(Text, _row(process)), style="bold" if kernel else "")
    return Group(*map(Text, head), Text(), table)
