"""`remote-kernels doctor`: check each stage on this cluster, and say what to change.

The cheap stages come first: versions, the extension of JupyterLab, configuration, batch
system, directories; then a kernel in a tiny job over each carrier, measured. It takes the
same way as a notebook server (`kernel.RemoteKernel`), so what works here works there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import click
from rich.console import Console
from rich.markup import escape

from remote_kernels import harmless
from remote_kernels.cli import kernelspec, page_extension
from remote_kernels.cli.completion import names_of
from remote_kernels.cli.options import GroupedCommand, config_options
from remote_kernels.cli.trial import FAILED, OK, WARNING, Problem, Trial
from remote_kernels.config import Settings, over, parse
from remote_kernels.errors import RemoteKernelError
from remote_kernels.kernel import site
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.wrapping import wrapped

log = harmless.logger(__name__)


STYLES = {OK: "green", WARNING: "yellow", FAILED: "red"}
_NO_SCHEDULER = (
    "On a cluster: run this, and the notebook server, on a login node, or load the "
    "batch system's module first (`module avail` may list it)."
)
ARGV = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")


@dataclasses.dataclass(frozen=True)
class Finding:
    """How one stage went.

    Parameters
    ----------
    stage : str
        The name of the stage.
    state : str
        One of `OK`, `WARNING` and `FAILED`.
    text : str
        What was found.
    seconds : float
        How long it took.
    advice : str
        What to do about it; "" if nothing need be done.
    """

    stage: str
    state: str
    text: str
    seconds: float
    advice: str = ""


class Doctor:
    """Runs the stages, and keeps what they found."""

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self.findings: list[Finding] = []
        self._tell = tell

    async def stage(self, name: str, check: Callable[[], Awaitable[str]]) -> bool:
        """Run one check. Returns whether the next ones make sense."""
        began = time.monotonic()
        state, advice = OK, ""
        try:
            text = await check()
        except Problem as problem:
            state, text, advice = problem.state, str(problem), problem.advice
        except RemoteKernelError as error:
            state, text = FAILED, str(error)
        except Exception as error:
            log.debug("stage %s", name, exc_info=True)
            state, text = FAILED, f"{type(error).__name__}: {error}"
            advice = "For where that came from: `remote-kernels -vv doctor`."
        seconds = round(time.monotonic() - began, 3)
        self.findings.append(Finding(name, state, text, seconds, advice))
        self._tell(self.findings[-1])
        return state != FAILED


async def _versions() -> str:
    return ", ".join(site.versions())


async def _page_extension() -> str:
    return await asyncio.to_thread(page_extension.found)


async def _scheduler(runtime: Runtime, settings: Settings) -> str:
    here = await site.here(runtime, settings, reach=True)
    if here.path is None:
        msg = f"there is no {here.command} on PATH (scheduler: {here.name})"
        raise Problem(msg, _NO_SCHEDULER)
    if here.is_missing:
        raise _only_fallback(here.name)
    text = f"{here.name}: {here.about}"
    slow = await site.slow_starts(settings)
    if slow:
        raise Problem(text, slow, WARNING)
    return text


def _only_fallback(name: str) -> Problem:
    """Return what to say of a host where `auto` has found no batch system."""
    text = (
        f"there is no {' or '.join(site.commands())} on PATH, so 'auto' stands for this "
        f"machine itself: jobs would be processes of it (scheduler '{name}')"
    )
    unmet = [
        spec.name
        for spec in kernelspec.ours().values()
        if not site.can_be_submitted(spec.config)
    ]
    if not unmet:
        return Problem(text, _NO_SCHEDULER, WARNING)
    advice = (
        f"{_NO_SCHEDULER} Installed kernels that cannot start as things are: "
        f"{', '.join(unmet)}. To try those alone that need no batch system: "
        f"`remote-kernels doctor --scheduler {name}`."
    )
    return Problem(text, advice)


async def _state_directory(settings: Settings) -> str:
    base = site.try_state_dir(settings)
    free = shutil.disk_usage(base).free // 2**20
    if free < 100:
        msg = f"{base} has {free} MiB left"
        raise Problem(msg, "Make room, or set state_dir.", WARNING)
    return f"{base} can be written; {free} MiB free"


async def _socket_directory(settings: Settings) -> str:
    base = site.try_socket_dir(settings)
    return f"{base} can hold private directories for Unix sockets"


async def _keys(*, tried: bool) -> str:
    """Return which keys could open a node.

    Raises Problem if there is none, unless the ssh carrier is `tried` later anyway.
    """
    found, locked = await asyncio.to_thread(site.ssh_ways)
    lock = "with a passphrase, and so of use only through an ssh-agent: "
    parts = [*found, *([lock + ", ".join(locked)] if locked else [])]
    text = ", ".join(parts) or "no key in ~/.ssh, no ssh-agent"
    if found or tried:
        return text
    raise Problem(
        text,
        "The ssh carrier needs what the nodes accept without a prompt, such as a key "
        "without a passphrase or an ssh-agent: `ssh-keygen -t ed25519 -f "
        "~/.ssh/id_cluster`, then its .pub into ~/.ssh/authorized_keys. The batch "
        "system's own carrier, if there is one, does without.",
        WARNING,
    )


async def examine(
    doctor: Doctor, config: Mapping[str, object], argv: tuple[str, ...], job: bool
) -> str | None:
    """Run all stages.

    Parameters
    ----------
    doctor : Doctor
        What runs them.
    config : mapping
        The configuration, as in a kernelspec.
    argv : tuple of str
        The kernel's command.
    job : bool
        Whether to submit jobs. Without them only this host is looked at.

    Returns
    -------
    str or None
        The carrier to use; None if no kernel can be started.
    """
    await doctor.stage("versions", _versions)
    await doctor.stage("JupyterLab's page", _page_extension)
    settings, runtime = Settings(), Runtime()

    async def configuration() -> str:
        nonlocal settings
        settings = parse(config)
        return json.dumps(dict(config)) if config else "defaults"

    if not await doctor.stage("configuration", configuration):
        return None
    fine = await doctor.stage("scheduler", lambda: _scheduler(runtime, settings))
    fine &= await doctor.stage("state directory", lambda: _state_directory(settings))
    fine &= await doctor.stage("socket directory", lambda: _socket_directory(settings))
    if not fine:
        return None
    carriers = site.carriers(settings)
    if "ssh" in carriers:
        await doctor.stage("ssh keys", lambda: _keys(tried=job))
    if not job:
        return carriers[0]
    works = []
    for name in carriers:
        stage, why_not = f"carrier {name}", site.closed(settings, name)
        if why_not:
            await doctor.stage(stage, partial(_untried, why_not))
        elif await doctor.stage(stage, Trial(runtime, settings, name, argv).run):
            works.append(name)
    return works[0] if works else None


async def _untried(why: str) -> str:
    msg = f"not tried: {why}"
    raise Problem(msg, "", WARNING)


def _summary(carrier: str | None, findings: list[Finding], *, tried: bool) -> str:
    if carrier is None:
        return "Kernels do not work here yet; see above what failed."
    bad = [finding.stage for finding in findings if finding.state == FAILED]
    if bad:
        works = f"Kernels work over '{carrier}'. " if tried else ""
        return f"{works}Not working: {', '.join(bad)}."
    warned = [finding.stage for finding in findings if finding.state == WARNING]
    but = f" But see the warning: {', '.join(warned)}." if warned else ""
    if not tried:
        return f"Nothing wrong was found at this end; no job was tried.{but}"
    return f"Kernels work; carrier 'auto' would choose '{carrier}'.{but}"


@click.command(cls=GroupedCommand)
@click.argument("kernel", required=False, shell_complete=names_of(kernelspec.ours))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--no-job", is_flag=True, help="Submit nothing; check only this side.")
@config_options
def doctor(
    kernel: str | None, as_json: bool, no_job: bool, settings: dict[str, object]
) -> None:
    """Check each stage on this cluster, and say what to change.

    Submits a tiny job for each carrier and measures a kernel in it. With KERNEL, an
    installed kernel of ours, it goes by that one's options and command; options
    given here replace them. Exit code 0: kernels can be used, or with
    --no-job: nothing is wrong at this end.

    \b
    remote-kernels doctor
    remote-kernels doctor python-compute --queue debug --time 0:05:00
    """
    console = Console(stderr=as_json, highlight=False)
    config: dict[str, object] = settings
    argv = ARGV
    if kernel is not None:
        found = kernelspec.find(kernel, kernelspec.installed(), "kernel")
        kernelspec.check_ours(found)
        config = over(found.config, settings)
        argv = tuple(found.spec["argv"])

    def tell(finding: Finding) -> None:
        style = STYLES[finding.state]
        console.print(
            f"[{style}]{finding.state:8}[/] {escape(harmless.line(finding.stage))} "
            f"({finding.seconds:.2f} s)"
        )
        for text in filter(None, (finding.text, finding.advice)):
            text = harmless.text(text)
            if console.is_terminal:
                text = wrapped(text, console.width - 9)
            lines = text.splitlines()
            console.print(
                "\n".join(f"         {line}" for line in lines),
                markup=False,
                soft_wrap=True,
            )

    physician = Doctor(tell)
    carrier = asyncio.run(examine(physician, config, argv, not no_job))
    summary = _summary(carrier, physician.findings, tried=not no_job)
    console.print(harmless.text(summary), markup=False, soft_wrap=True)
    if as_json:
        body = {
            "usable": None if carrier and no_job else carrier is not None,
            "carrier": carrier,
            "summary": summary,
            "findings": [dataclasses.asdict(finding) for finding in physician.findings],
        }
        click.echo(json.dumps(body, indent=1))
    if carrier is None:
        raise click.exceptions.Exit(1)
