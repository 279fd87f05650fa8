"""Going into a kernel's job: which kernel, whether it can be, and how.

Called by the commands that run something on a kernel's node: `shell`, `exec`, `stack`
and `top`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from remote_kernels import bundle
from remote_kernels.cli import kernelspec
from remote_kernels.cli.choose import LIVE, choose, number, settings, waits
from remote_kernels.errors import CommandError, ConfigError, JobError, RecordError
from remote_kernels.kernel import inventory
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.view import View
from remote_kernels.scheduler.driver import Shells
from remote_kernels.scheduler.drivers import DRIVERS, environment


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
    driver: Shells

    @property
    def number(self) -> str:
        """The job's ID, as the scheduler shows it."""
        return number(self.found)

    @property
    def environment(self) -> dict[str, str]:
        """For the scheduler's program, and so for what it starts."""
        return environment(
            DRIVERS[self.view.scheduler], os.environ, settings(self.found).env_keep
        )

    @property
    def directory(self) -> str:
        """Where the kernel was started, if that is a directory here."""
        try:
            spec: dict[str, Any] = self.found.record.read("spec.json") or {}
        except RecordError:
            spec = {}
        cwd = spec.get("kernels", {}).get(self.found.kernel_id, {}).get("cwd")
        return cwd if cwd and Path(cwd).is_dir() else str(Path.home())

    def argv(self, command: Sequence[str], *, terminal: bool = False) -> list[str]:
        """Runs `command` there."""
        assert self.view.job is not None
        return self.driver.shell_argv(
            self.view.job, self.node, command, terminal=terminal
        )

    def ours(self, what: str, *rest: str) -> list[str]:
        """A command of the agent's program (see agent/inside.py). Raises JobError."""
        record = self.found.record
        agent = record.read("agent.json") or {}
        if "pyz" not in agent:
            msg = (
                f"The agent of kernel {self.view.kernel_id} has not said yet where it "
                f"is: {self.view.text}.\nTry again in a while."
            )
            raise JobError(msg)
        of = (str(record.path), self.view.kernel_id)
        return bundle.argv(agent, "inside", what, *of, *rest)


def job(kernel: str | None) -> Job:
    """The job of the kernel that is meant. Raises RecordError and JobError."""
    found = asyncio.run(_found(kernel or None))
    view = found.view()
    if view.state in ("waiting", "suspended", "ending") or not view.node:
        raise JobError(_refusal(found, view))
    driver = DRIVERS[view.scheduler]
    assert isinstance(driver, Shells)
    return Job(found, view, view.node, driver)


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


def become(job: Job, argv: list[str]) -> None:
    """This process becomes the program, in the job's directory and environment.

    Python ignores two signals, which a program would inherit.
    """
    for signum in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(signum, signal.SIG_DFL)
    os.chdir(job.directory)
    try:
        os.execvpe(argv[0], argv, job.environment)  # noqa: S606 -- this is what it is for
    except OSError as exc:
        raise not_started(argv, exc) from exc


def not_started(argv: Sequence[str], exc: OSError) -> ConfigError:
    """What to say of a program that is not here."""
    msg = f"{argv[0]} could not be started: {exc.strerror}. Is it on PATH here?"
    return ConfigError(msg)


def failed(job: Job, argv: Sequence[str], code: int, stderr: str) -> CommandError:
    """What to say of a program of ours that did not do its work on the node."""
    return CommandError(
        f"The look into job {job.number} on {job.node} failed.",
        argv,
        code,
        stderr=stderr,
        advice="Has the job just ended? `remote-kernels ls` shows it. `remote-kernels "
        "doctor` tries each stage.",
    )
