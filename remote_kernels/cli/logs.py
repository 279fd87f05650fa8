"""`remote-kernels logs`: what a kernel and its job wrote, also while they write.

Whoever sees a kernel end notes it in the record, and here the record is read. In case
nobody is left to see it, the batch system is asked, too, from time to time. Called by
`main`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from remote_kernels import harmless
from remote_kernels.cli import endless, kernelspec
from remote_kernels.cli.completion import recorded_kernels
from remote_kernels.cli.say import say
from remote_kernels.kernel import inventory
from remote_kernels.kernel.finding import ON_RECORD, find
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.tail import Tail

LOOK = 1.0  # seconds between two looks at the logs
ASK = 60.0  # seconds between two questions to the batch system
SOON = 5.0  # the same, when there is news in the job's log


@click.command()
@click.argument("kernel", required=False, shell_complete=recorded_kernels)
@click.option("-f", "--follow", is_flag=True, help="Go on until the kernel ends.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many lines of each log.",
)
@click.option("--job", "only", flag_value="job", help="Only what the job wrote.")
@click.option(
    "--kernel", "only", flag_value="kernel", help="Only what the kernel wrote."
)
def logs(kernel: str | None, follow: bool, lines: int, only: str | None) -> None:
    """Show the end of what a kernel and its job wrote.

    KERNEL is a kernel's ID or the beginning of it, its job's ID, or the name or path
    of its notebook; it may be left out when there is only one. The logs of a kernel that
    ended by itself are kept for a day. What cells print is in their notebooks; here is what
    programs write past Jupyter, and why a kernel died.
    """
    found = asyncio.run(find(Runtime(), kernelspec.state_dirs(), kernel, ON_RECORD))
    printer = _Printer(found, only, lines)
    try:
        if follow:
            code = endless.run(_follow(found, printer))
        else:
            printer.begin()
            code = 0
    finally:
        printer.close()
    if not printer.printed:
        say(_nothing(found), err=True)
    sys.exit(code)


def _nothing(found: Recorded) -> str:
    if found.ended:
        return f"The kernel has written nothing. It has ended: {found.ended}"
    return f"The kernel has written nothing yet ({found.model().text})."


class _Printer:
    """Prints the logs; if there are several, under a line that says which."""

    def __init__(self, found: Recorded, only: str | None, lines: int) -> None:
        paths = {"job": found.record.job_log, "kernel": found.record.kernel_log}
        self._tails = [Tail(paths[only])] if only else [*map(Tail, paths.values())]
        self._lines = lines
        self._last: Path | None = None
        self.printed = False

    def begin(self) -> None:
        for tail in self._tails:
            self._print(tail, tail.last(self._lines))

    def go_on(self) -> None:
        for tail in self._tails:
            self._print(tail, tail.more())

    def _print(self, tail: Tail, text: bytes) -> None:
        if not text:
            return
        if len(self._tails) > 1 and tail.path != self._last:
            gap = "\n" if self.printed else ""
            say(f"{gap}==> {tail.path.name} <==")
        terminal = sys.stdout.isatty()
        click.echo(harmless.output(text) if terminal else text, nl=False)
        self._last, self.printed = tail.path, True

    def close(self) -> None:
        for tail in self._tails:
            tail.close()


# --- follow -------------------------------------------------------------------------


async def _follow(found: Recorded, printer: _Printer) -> None:
    try:
        printer.begin()
        end = await _until_ended(found, printer.go_on)
        await asyncio.sleep(LOOK)  # its last words may still be on their way
        printer.go_on()
    except asyncio.CancelledError:
        if sys.stderr.isatty():
            say(err=True)  # after the ^C
        raise
    say(f"The kernel has ended: {end}", err=True)


async def _until_ended(found: Recorded, look: Callable[[], None]) -> str:
    """Wait for the kernel's end, and return how it ended."""
    asked, size, runtime = time.monotonic(), _size(found), Runtime()
    pause = ASK * random.uniform(0.9, 1.1)  # noqa: S311
    while not (end := found.ended or found.written_end()):
        await asyncio.sleep(LOOK)
        look()
        # A job that is ended from outside says so in its log, and nothing elsewhere.
        if time.monotonic() - asked > (pause if _size(found) == size else SOON):
            size = _size(found)
            found, asked = await _asked(runtime, found), time.monotonic()
    return end


def _size(found: Recorded) -> int:
    try:
        return found.record.job_log.stat().st_size
    except OSError:
        return 0


async def _asked(runtime: Runtime, found: Recorded) -> Recorded:
    """Return the kernel as the batch system sees it now."""
    kernels = await inventory.recorded(runtime, [found.record.base])
    return next((k for k in kernels if k.kernel_id == found.kernel_id), found)
