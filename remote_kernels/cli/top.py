"""`remote-kernels top`: what a kernel's job uses on its node, live.

One step of the job measures for as long as somebody looks; it ends with its standard
input, however this process ended. Called by `main`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import termios
import tty
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from remote_kernels import harmless
from remote_kernels.cli import endless, inside, words
from remote_kernels.cli.completion import running_kernels
from remote_kernels.cli.inside import Job

Sample = dict[str, Any]

FASTEST = 0.5  # seconds between two samples
ENDING = 10.0  # seconds that the step may take to end when nobody looks any more
_LINE = 16 * 1024 * 1024  # bytes of a sample at most
_HEADER = ("PID", "CPU", "Memory", "Time", "Threads", "State", "Command")


@click.command()
@click.argument("kernel", required=False, shell_complete=running_kernels)
@click.option(
    "-d",
    "--interval",
    type=click.FloatRange(min=FASTEST, max=3600),
    default=2.0,
    metavar="SECONDS",
    help="Between two looks (2).",
)
@click.option("--once", is_flag=True, help="Show it once, as of one second.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each look.")
def top(kernel: str | None, interval: float, once: bool, as_json: bool) -> None:
    """Show what a kernel's job uses on its node: CPU, memory, GPUs, processes.

    KERNEL is a kernel's ID, its beginning, its job's ID, or its notebook's name or
    path; it may be left out when
    there is one only. Ends with q or Ctrl-C. Without a terminal it is shown once, as
    lines with tabs between, unless --json is given.

    \b
    remote-kernels top
    remote-kernels top 4711 --interval 10
    remote-kernels top 4711 --once --json
    """
    job = inside.job(kernel)
    live = not as_json and not once and sys.stdout.isatty()
    once = once or not (as_json or live)
    argv = job.argv(job.ours("top", json.dumps({"interval": interval, "once": once})))
    if live:
        sys.exit(_on_terminal(job, argv))
    show = _as_json if as_json else _shown_once
    sys.exit(endless.run(_each(job, argv, lambda sample: show(job, sample))))


def _as_json(job: Job, sample: Sample) -> None:
    click.echo(json.dumps({"kernel_id": job.view.kernel_id, **sample}))


def _shown_once(job: Job, sample: Sample) -> None:
    if sys.stdout.isatty():
        Console().print(_picture(job, sample, None))
        return
    for text in _head(job, sample):
        click.echo(text)
    for row in sample["processes"]:
        click.echo("\t".join(_row(row)))


def _on_terminal(job: Job, argv: list[str]) -> int:
    console = Console()
    with _keys() as fd, Live(console=console, auto_refresh=False) as live:

        def show(sample: Sample) -> None:
            live.update(_picture(job, sample, console.height), refresh=True)

        text = harmless.line(f"{job.node}, job {job.number} ...")
        live.update(Text(text), refresh=True)
        return endless.run(_until_q(fd, _each(job, argv, show)))


# --- the step in the job ------------------------------------------------------------


async def _each(job: Job, argv: list[str], show: Callable[[Sample], object]) -> None:
    """Until the job ends, which is an error, or the one sample is there."""
    async with _step(job, argv) as (process, errors):
        assert process.stdout is not None
        async for line in process.stdout:
            if line.startswith(b"{"):  # a site's prolog may say something, too
                show(json.loads(line))
        said = (await errors).decode(errors="replace")
        if code := await process.wait():
            raise inside.failed(job, argv, code, said)


@contextlib.asynccontextmanager
async def _step(
    job: Job, argv: list[str]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.Future[bytes]]]:
    """The process, and all that it will have said on standard error."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=job.environment,
            cwd="/",
            limit=_LINE,
            start_new_session=True,  # Ctrl-C is for us
        )
    except OSError as exc:
        raise inside.not_started(argv, exc) from exc
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.ensure_future(process.stderr.read())
    try:
        yield process, errors
    finally:
        process.stdin.close()
        ending = asyncio.gather(process.stdout.read(), errors, process.wait())
        await asyncio.wait([ending], timeout=ENDING)
        if not ending.done():
            process.terminate()
            await asyncio.wait([ending], timeout=ENDING)
        ending.cancel()


async def _until_q(fd: int | None, work: Coroutine[Any, Any, None]) -> None:
    """The same, or until q is typed."""
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
    """Standard input, where keys come one by one, if it is a terminal."""
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


def _head(job: Job, sample: Sample) -> list[str]:
    """What all use together."""
    lines = [
        f"{sample['node']}, job {job.number}, kernel {job.view.kernel_id[:8]}",
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


def _picture(job: Job, sample: Sample, height: int | None) -> RenderableType:
    """Of that many lines at most; the kernel's own process is bold."""
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
