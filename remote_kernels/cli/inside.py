"""Going into a kernel's job: which kernel, whether it is possible, and by which way.

Called by the commands that run something on a kernel's node: `shell`, `exec`, `stack`
and `top`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from remote_kernels.cli import kernelspec, remote_process
from remote_kernels.errors import AgentError
from remote_kernels.kernel.finding import LIVE, find
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.model import KernelModel
from remote_kernels.kernel.remote_process import STDOUT, RemoteProcess
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.way_in import check_open, way_in

_TERMINALS = ("TERM", "COLORTERM", "COLUMNS", "LINES")  # variables that go with it


class Inside(click.Command):
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


def words(command: Sequence[str]) -> list[str]:
    """Return a command as click found it, without a "--" before it."""
    return list(command[1:] if command[:1] == ("--",) else command)


@dataclass(frozen=True)
class OpenJob:
    """The job of a kernel, into which one can go."""

    found: Recorded
    model: KernelModel
    node: str

    @property
    def number(self) -> str:
        """The job's ID, as the batch system shows it."""
        return str(self.found.job_id)

    @contextlib.contextmanager
    def way(self) -> Iterator[Path]:
        """Yield a Unix socket that leads into the job. Raises RemoteKernelError."""
        with way_in(self.found, kernelspec.settings(self.found)) as path:
            yield path


def job(kernel: str | None) -> OpenJob:
    """Return the job of the kernel that is meant. Raises RecordError and JobError."""
    found = asyncio.run(find(Runtime(), kernelspec.state_dirs(), kernel or None, LIVE))
    view = check_open(found)
    return OpenJob(found, view, view.node or "")


def run(
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


def told(job: OpenJob, process: RemoteProcess) -> Iterator[bytes]:
    """Yield what a program of ours on the node writes.

    Raises AgentError if it fails, with what it wrote on standard error.
    """
    errors = b""
    for file, payload in process.output():
        if file == STDOUT:
            yield payload
        else:
            errors += payload
    if code := process.exit_code:
        lines = errors.decode(errors="replace").splitlines()
        said = "".join(f"\n  {line}" for line in lines) or " nothing"
        msg = (
            f"Looking into job {job.number} on {job.node} failed.\nIt ended with exit "
            f"code {code} and said:{said}\n"
            "Has the job just ended? `remote-kernels ls` shows it. `remote-kernels "
            "doctor` tries each stage."
        )
        raise AgentError(msg)
