"""`remote-kernels shell`: a shell, or any command, inside a kernel's job.

It has the kernel's environment and this terminal, if there is one. Called by `main`.
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

    KERNEL is a kernel's ID or the beginning of it, its job's ID, or the name or path
    of its notebook; it may be left out when there is only one. The shell is your
    $SHELL, with the kernel's environment and in the directory in which the kernel was
    started, and has what the kernel has: its CPUs, its memory, its GPUs. What runs
    there counts towards the job's memory limit, and ends with the shell or the job.

    \b
    remote-kernels shell
    remote-kernels shell 4711 -- nvidia-smi
    remote-kernels shell -- top -u $USER
    """
    words = inside.words(command) or [os.environ.get("SHELL") or "/bin/sh", "-l"]
    job = inside.job(kernel)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if terminal:
        say(f"On {job.node}, in job {job.number}.", err=True)
    kept = [name for name in os.environ if name.startswith(("LANG", "LC_"))]
    sys.exit(inside.run(job, words, terminal=terminal, kept=kept))
