"""Going into a kernel's job: which kernel, whether it can be, and by which way.

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
from remote_kernels.kernel.remote_process import RemoteProcess
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.way_in import check_open, way_in

_TERMINALS = ("TERM", "COLORTERM", "COLUMNS", "LINES")  # variables that go with it


class Inside(click.Command):
    """What comes after "--" is the command, also where no kernel is named.

    What comes before it is for us; without it, all after the kernel is the command.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """click would take its first word for KERNEL."""
        if "--" in args:
            at = args.index("--")
            options = [arg for arg in args[:at] if arg.startswith("-")]
            names = [arg for arg in args[:at] if arg not in options]
            if len(names) <= 1:
                args = [*options, *(names or [""]), *args[at:]]
        return super().parse_args(ctx, args)


def words(command: Sequence[str]) -> list[str]:
    """A command as click found it, with or without "--" before it."""
    return list(command[1:] if command[:1] == ("--",) else command)


@dataclass(frozen=True)
class OpenJob:
    """A kernel's job, into which one can go."""

    found: Recorded
    model: KernelModel
    node: str

    @property
    def number(self) -> str:
        """The job's ID, as the scheduler shows it."""
        return str(self.found.job_id)

    @contextlib.contextmanager
    def way(self) -> Iterator[Path]:
        """Yield a Unix socket that leads into it. Raises RemoteKernelError."""
        with way_in(self.found, kernelspec.settings(self.found)) as path:
            yield path


def job(kernel: str | None) -> OpenJob:
    """The job of the kernel that is meant. Raises RecordError and JobError."""
    found = asyncio.run(find(Runtime(), kernelspec.state_dirs(), kernel or None, LIVE))
    view = check_open(found)
    return OpenJob(found, view, view.node or "")


def run(
    job: OpenJob, words: Sequence[str], *, terminal: bool, kept: Sequence[str] = ()
) -> int:
    """Run a command there, with our streams. Returns its exit code, as a shell says it.

    Parameters
    ----------
    job : OpenJob
        Where.
    words : sequence of str
        The command.
    terminal : bool
        Whether this program's terminal becomes the command's.
    kept : sequence of str
        Variables of ours that go over those of the kernel.
    """
    size = remote_process.terminal_size() if terminal else None
    names = [name for name in (*_TERMINALS, *kept) if name in os.environ]
    env = {name: os.environ[name] for name in names}
    with job.way() as way:
        process = RemoteProcess(way, "exec", words, env=env, terminal=size)
        return remote_process.run(process)


def failed(job: OpenJob, code: int, stderr: str) -> AgentError:
    """Return what to say of a program of ours that did not do its work on the node."""
    said = "".join(f"\n  {line}" for line in stderr.splitlines()) or " nothing"
    return AgentError(
        f"The look into job {job.number} on {job.node} failed.\nIt ended with exit "
        f"code {code} and said:{said}\n"
        "Has the job just ended? `remote-kernels ls` shows it. `remote-kernels doctor` "
        "tries each stage."
    )
