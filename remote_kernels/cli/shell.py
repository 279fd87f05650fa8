"""`remote-kernels shell` and `remote-kernels exec`: any command inside a kernel's job.

It has the kernel's environment. Called by `main`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from remote_kernels.cli import inside, remote_process
from remote_kernels.cli.completion import running_kernels
from remote_kernels.cli.inside import OpenJob
from remote_kernels.cli.say import say
from remote_kernels.kernel.remote_process import RemoteProcess

_TERMINALS = ("TERM", "COLORTERM", "COLUMNS", "LINES")  # variables that go with it


class _Inside(click.Command):
    """A command whose arguments after "--" are a command for the node.

    What comes before "--" is for this command, also where no kernel is named. Without
    "--", everything after the kernel is the command for the node.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep click from taking the first word after "--" for KERNEL."""
        if "--" in args:
            at = args.index("--")
            options = [arg for arg in args[:at] if arg.startswith("-")]
            names = [arg for arg in args[:at] if arg not in options]
            if len(names) <= 1:
                args = [*options, *(names or [""]), *args[at:]]
        return super().parse_args(ctx, args)


@click.command(cls=_Inside, context_settings={"allow_interspersed_args": False})
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
    words = _words(command) or [os.environ.get("SHELL") or "/bin/sh", "-l"]
    job = inside.job(kernel)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if terminal:
        say(f"On {job.node}, in job {job.number}.", err=True)
    kept = [name for name in os.environ if name.startswith(("LANG", "LC_"))]
    sys.exit(_run(job, words, terminal=terminal, kept=kept))


@click.command("exec", cls=_Inside, context_settings={"allow_interspersed_args": False})
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
    words = _words(command)
    if not words:
        msg = "Name a command: remote-kernels exec KERNEL -- COMMAND..."
        raise click.UsageError(msg)
    if tty and not (sys.stdin.isatty() and sys.stdout.isatty()):
        msg = "There is no terminal here to hand over: leave out --tty."
        raise click.UsageError(msg)
    sys.exit(_run(inside.job(kernel), words, terminal=tty))


def _words(command: Sequence[str]) -> list[str]:
    """Return a command as click found it, without a "--" before it."""
    return list(command[1:] if command[:1] == ("--",) else command)


def _run(
    job: OpenJob, words: Sequence[str], *, terminal: bool, kept: Sequence[str] = ()
) -> int:
    """Run a command in the job, joined to this program's streams.

    Parameters
    ----------
    job : OpenJob
        Where to run it.
    words : sequence of str
        The command.
    terminal : bool
        Whether this program's terminal becomes the command's.
    kept : sequence of str
        Names of variables that the command gets from here instead of from the kernel.

    Returns
    -------
    int
        Its exit code, as a shell says it.
    """
    size = remote_process.terminal_size() if terminal else None
    names = [name for name in (*_TERMINALS, *kept) if name in os.environ]
    env = {name: os.environ[name] for name in names}
    with job.way() as way:
        process = RemoteProcess(way, "exec", words, env=env, terminal=size)
        return remote_process.run(process)
