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
from remote_kernels.cli.choose import LIVE, choose, number, settings, waits
from remote_kernels.errors import AgentError, JobError
from remote_kernels.kernel import inventory
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.view import View
from remote_kernels.kernel.way_in import way_in
from remote_kernels.wire.exec import Request

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
class Job:
    """A kernel's job, into which one can go."""

    found: Recorded
    view: View
    node: str

    @property
    def number(self) -> str:
        """The job's ID, as the scheduler shows it."""
        return number(self.found)

    @contextlib.contextmanager
    def way(self) -> Iterator[Path]:
        """Yield a Unix socket that leads into it. Raises RemoteKernelError."""
        with way_in(self.found, settings(self.found)) as path:
            yield path


def job(kernel: str | None) -> Job:
    """The job of the kernel that is meant. Raises RecordError and JobError."""
    found = asyncio.run(_found(kernel or None))
    view = found.view()
    if view.state in ("waiting", "suspended", "ending") or not view.node:
        raise JobError(_refusal(found, view))
    if not found.record.has("agent.json"):
        msg = (
            f"The agent of kernel {view.kernel_id} has not said yet where it is: "
            f"{view.text}.\nTry again in a while."
        )
        raise JobError(msg)
    return Job(found, view, view.node)


async def _found(wanted: str | None) -> Recorded:
    kernels = await inventory.recorded(kernelspec.state_dirs())
    return choose(kernels, wanted, LIVE)


def _refusal(found: Recorded, view: View) -> str:
    job = number(found)
    if view.state == "waiting":
        return waits(found, view)
    if view.state in ("suspended", "ending"):
        return f"Nothing can be started in job {job} now: {view.text}."
    return (
        f"The node of kernel {view.kernel_id} (job {job}) is not known: {view.text}.\n"
        "Try again in a while."
    )


def run(
    job: Job, words: Sequence[str], *, terminal: bool, kept: Sequence[str] = ()
) -> int:
    """Run a command there, with our streams. Returns its exit code, as a shell says it.

    Parameters
    ----------
    job : Job
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
    request = Request("exec", words, env=env, terminal=size)
    with job.way() as way:
        return remote_process.run(way, request)


def failed(job: Job, code: int, stderr: str) -> AgentError:
    """Return what to say of a program of ours that did not do its work on the node."""
    said = "".join(f"\n  {line}" for line in stderr.splitlines()) or " nothing"
    return AgentError(
        f"The look into job {job.number} on {job.node} failed.\nIt ended with exit "
        f"code {code} and said:{said}\n"
        "Has the job just ended? `remote-kernels ls` shows it. `remote-kernels doctor` "
        "tries each stage."
    )
