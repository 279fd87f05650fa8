"""`remote-kernels exec`: run a command in a kernel's job, as a cell's `!command` does.

Called by `main`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from remote_kernels.cli import inside
from remote_kernels.cli.completion import running_kernels
from remote_kernels.cli.inside import Inside


@click.command("exec", cls=Inside, context_settings={"allow_interspersed_args": False})
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal: this one.")
@click.argument("kernel", required=False, shell_complete=running_kernels)
@click.argument("command", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
def exec_(kernel: str | None, command: Sequence[str], tty: bool) -> None:
    """Run a command on a kernel's node, as the kernel itself would.

    KERNEL is a kernel's ID or the beginning of it, its job's ID, or the name or path
    of its notebook; it may be left out when there is only one. The command has the
    kernel's environment (what the prologue loaded, variables of the job) and the
    directory in which the kernel was started. Standard input, output and errors pass
    unchanged, and its exit code is this command's. If the kernel runs in a container,
    the command runs outside of it.

    \b
    remote-kernels exec 4711 -- nvidia-smi
    remote-kernels exec -- tar -C /tmp/results -c . | tar -x
    remote-kernels exec -t -- python -m pdb train.py
    remote-kernels exec -- gdb -p 12345 -batch -ex bt
    """
    words = inside.words(command)
    if not words:
        msg = "Name a command: remote-kernels exec KERNEL -- COMMAND..."
        raise click.UsageError(msg)
    if tty and not (sys.stdin.isatty() and sys.stdout.isatty()):
        msg = "There is no terminal here to hand over: leave out --tty."
        raise click.UsageError(msg)
    sys.exit(inside.run(inside.job(kernel), words, terminal=tty))
