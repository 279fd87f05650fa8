"""`remote-kernels shell`: a shell, or any command, inside a kernel's job.

The scheduler's own program takes this one's place: the terminal, its signals and its
size are its business, and its exit code is ours. Called by `main`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from remote_kernels.cli import kernelspec
from remote_kernels.cli.choose import LIVE, choose, number, settings
from remote_kernels.cli.completion import running_kernels
from remote_kernels.errors import ConfigError, JobError, RecordError
from remote_kernels.kernel import DRIVERS, inventory
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.view import View


class _Shell(click.Command):
    """What comes after "--" is the command, also where no kernel is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """click would take its first word for KERNEL."""
        return super().parse_args(ctx, ["", *args] if args[:1] == ["--"] else args)


@click.command(cls=_Shell, context_settings={"allow_interspersed_args": False})
@click.argument("kernel", required=False, shell_complete=running_kernels)
@click.argument("command", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
def shell(kernel: str | None, command: Sequence[str]) -> None:
    """Open a shell on a kernel's node, inside its job.

    KERNEL is a kernel's ID, its beginning, or its job's ID; it may be left out when
    there is one only. The shell is your $SHELL, in the directory in which the kernel
    was started, and has what the job has: its CPUs, its memory, its GPUs. What runs
    there uses up the job's memory, too, and ends with the job.

    \b
    remote-kernels shell
    remote-kernels shell 4711 -- nvidia-smi
    remote-kernels shell -- top -u $USER
    """
    argv = list(command[1:] if command[:1] == ("--",) else command)
    argv = argv or [os.environ.get("SHELL") or "/bin/sh", "-l"]
    found = asyncio.run(_found(kernel or None))
    view = found.view()
    if view.state in ("waiting", "suspended", "ending") or not view.node:
        raise JobError(_refusal(found, view))
    driver = DRIVERS[view.scheduler]()
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    argv = driver.shell_argv(view.job_id, view.node, argv, terminal=terminal)
    if terminal:
        click.echo(f"On {view.node}, in job {number(found)}.", err=True)
    _become(
        argv,
        driver.environment(os.environ, settings(found).env_keep),
        _directory(found),
    )


async def _found(wanted: str | None) -> Recorded:
    kernels = await inventory.recorded(kernelspec.state_dirs())
    return choose(kernels, wanted, LIVE)


def _refusal(found: Recorded, view: View) -> str:
    job = number(found)
    if view.state == "waiting":
        return (
            f"Kernel {view.kernel_id} has no node yet: its job {job} waits "
            f"({view.text}).\n`remote-kernels ls --watch` shows when it starts."
        )
    if view.state in ("suspended", "ending"):
        return f"Nothing can be started in job {job} now: {view.text}."
    return (
        f"The node of kernel {view.kernel_id} (job {job}) is not known: {view.text}.\n"
        "Try again in a while."
    )


def _directory(found: Recorded) -> str:
    """Where the kernel was started, if that is a directory here."""
    try:
        spec: dict[str, Any] = found.record.read("spec.json") or {}
    except RecordError:
        spec = {}
    cwd = spec.get("kernels", {}).get(found.kernel_id, {}).get("cwd")
    return cwd if cwd and Path(cwd).is_dir() else str(Path.home())


def _become(argv: list[str], env: dict[str, str], directory: str) -> None:
    """Python ignores two signals, which a program would inherit."""
    for signum in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(signum, signal.SIG_DFL)
    os.chdir(directory)
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 -- this is what it is for
    except OSError as exc:
        msg = f"{argv[0]} could not be started: {exc.strerror}. Is it on PATH here?"
        raise ConfigError(msg) from exc
