"""`remote-kernels shell`: a shell, or any command, inside a kernel's job.

The scheduler's own program takes this one's place: the terminal, its signals and its
size are its business, and its exit code is ours. Called by `main`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from remote_kernels.cli import inside
from remote_kernels.cli.completion import running_kernels
from remote_kernels.cli.inside import Inside
from remote_kernels.cli.say import say


@click.command(cls=Inside, context_settings={"allow_interspersed_args": False})
@click.argument("kernel", required=False, shell_complete=running_kernels)
@click.argument("command", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
def shell(kernel: str | None, command: Sequence[str]) -> None:
    """Open a shell on a kernel's node, inside its job.

    KERNEL is a kernel's ID, its beginning, its job's ID, or its notebook's name or
    path; it may be left out when
    there is one only. The shell is your $SHELL, in the directory in which the kernel
    was started, and has what the job has: its CPUs, its memory, its GPUs. What runs
    there uses up the job's memory, too, and ends with the job.

    \b
    remote-kernels shell
    remote-kernels shell 4711 -- nvidia-smi
    remote-kernels shell -- top -u $USER
    """
    argv = inside.words(command) or [os.environ.get("SHELL") or "/bin/sh", "-l"]
    job = inside.job(kernel)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if terminal:
        say(f"On {job.node}, in job {job.number}.", err=True)
    inside.become(job, job.argv(argv, terminal=terminal))
