"""`remote-kernels doctor`: check each stage on this cluster, and say what to change.

From the cheap to the dear: versions, configuration, scheduler, directories, then a
kernel in a tiny job over each carrier, measured. It goes the way that a notebook
server goes (kernel.RemoteKernel), so what works here works there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import zmq
from jupyter_client.asynchronous.client import AsyncKernelClient
from rich.console import Console

from remote_kernels import registry
from remote_kernels.cli import kernelspec
from remote_kernels.cli.completion import our_kernel_names
from remote_kernels.cli.options import GroupedCommand, config_options
from remote_kernels.config import Settings, parse, resolve_scheduler
from remote_kernels.errors import RemoteKernelError
from remote_kernels.front import sockets
from remote_kernels.kernel import DRIVERS, Launch, RemoteKernel, driver_name

OK, WARNING, FAILED = "ok", "warning", "failed"
STYLES = {OK: "green", WARNING: "yellow", FAILED: "red"}
SAMPLES = 50  # round trips
BULK = 20_000_000  # bytes
TIMEOUT = 60.0  # seconds for one answer of the kernel
ARGV = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One stage: how it went, how long it took (seconds), and what to do."""

    stage: str
    state: str
    text: str
    seconds: float
    advice: str = ""


class Problem(Exception):
    """A stage went wrong, or not quite right. `advice` says what to do."""

    def __init__(self, text: str, advice: str = "", state: str = FAILED) -> None:
        super().__init__(text)
        self.advice = advice
        self.state = state


class Doctor:
    """Runs the stages and keeps what they found."""

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self.findings: list[Finding] = []
        self._tell = tell

    async def stage(self, name: str, check: Callable[[], Awaitable[str]]) -> bool:
        """Run one check; whether the next ones make sense."""
        began = time.monotonic()
        state, advice = OK, ""
        try:
            text = await check()
        except Problem as problem:
            state, text, advice = problem.state, str(problem), problem.advice
        except RemoteKernelError as error:
            state, text = FAILED, str(error)
        seconds = round(time.monotonic() - began, 3)
        self.findings.append(Finding(name, state, text, seconds, advice))
        self._tell(self.findings[-1])
        return state != FAILED


async def _versions() -> str:
    packages = (
        "remote-kernels",
        "jupyter-client",
        "jupyter-server",
        "pyzmq",
        "asyncssh",
    )
    found = [f"{name} {metadata.version(name)}" for name in packages]
    curve = "" if zmq.has("curve") else " (without CURVE)"
    python = ".".join(map(str, sys.version_info[:3]))
    return f"Python {python}, {', '.join(found)}, libzmq {zmq.zmq_version()}{curve}"


async def _scheduler(settings: Settings) -> str:
    name = resolve_scheduler(settings)
    command = DRIVERS[name]().command
    path = shutil.which(command)
    if path is None:
        msg = f"there is no {command} on PATH (scheduler: {name})"
        raise Problem(msg, "Run this on a login node, or load the scheduler's module.")
    if name == "local":
        return "local: jobs are processes of this machine"
    version = await _run([command, "--version"])
    await _run(["sinfo", "-h", "-o", "%P"])
    return f"{name}: {path}, {version.strip()}; the controller answers"


async def _run(argv: list[str]) -> str:
    done = await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        msg = f"{' '.join(argv)} failed with exit code {done.returncode}: {said}"
        raise Problem(msg, "Ask the site's staff, or try again in a while.")
    return str(done.stdout)


async def _state_directory(settings: Settings) -> str:
    record = registry.Record(registry.state_dir(settings.state_dir), "doctor")
    record.remove()
    record.create()
    record.write("record.json", {})
    record.remove()
    free = shutil.disk_usage(record.base).free // 2**20
    if free < 100:
        msg = f"{record.base} has {free} MiB left"
        raise Problem(msg, "Make room, or set state_dir.", WARNING)
    return f"{record.base} can be written; {free} MiB free"


async def _socket_directory(settings: Settings) -> str:
    base = sockets.choose_base(settings.runtime_dir, dict(os.environ))
    sockets.remove_directory(sockets.make_directory(base))
    return f"{base} can hold private directories for Unix sockets"


async def _keys() -> str:
    directory = Path.home() / ".ssh"
    found = sorted(path.name for path in directory.glob("id_*.pub"))
    if not found and "SSH_AUTH_SOCK" not in os.environ:
        msg = "no SSH key in ~/.ssh and no ssh-agent"
        raise Problem(
            msg,
            "The ssh carrier needs a key that the nodes accept without a prompt: "
            "ssh-keygen -t ed25519, then its .pub into ~/.ssh/authorized_keys. The "
            "srun carrier does without.",
            WARNING,
        )
    return ", ".join(found) or "keys of the ssh-agent"


class Trial:
    """One kernel over one carrier, measured; its job ends with it."""

    def __init__(self, settings: Settings, carrier: str, argv: tuple[str, ...]) -> None:
        settings = dataclasses.replace(settings, carrier=carrier)
        self._kernel = RemoteKernel(str(uuid.uuid4()), settings, "doctor")
        self._launch = Launch(argv, key=uuid.uuid4().hex.encode())
        self._client = AsyncKernelClient()

    async def run(self) -> str:
        try:
            return await self._measure()
        finally:
            self._client.stop_channels()
            await self._kernel.release()

    async def _measure(self) -> str:
        began = time.monotonic()
        info = await self._kernel.start(self._launch)
        self._client.load_connection_info(info)  # type: ignore[arg-type]
        self._client.start_channels()
        await self._ready()
        start = time.monotonic() - began
        trips = await self._round_trips()
        rate = await self._throughput()
        await self._interrupt()
        restart = await self._restart()
        return (
            f"job {self._kernel.job_id} on {self._kernel.node}: started in {start:.2f} s, "
            f"round trip {statistics.median(trips) * 1e3:.1f} ms "
            f"(worst of {SAMPLES}: {max(trips) * 1e3:.1f} ms), {rate:.0f} MB/s, "
            f"interrupt works, restart in the job {restart:.2f} s"
        )

    async def _ready(self) -> None:
        try:
            await self._client.wait_for_ready(timeout=TIMEOUT)
        except RuntimeError as exc:
            msg = f"the kernel does not answer: {exc}"
            raise Problem(msg) from exc

    async def _round_trips(self) -> list[float]:
        trips = []
        for _ in range(SAMPLES):
            began = time.monotonic()
            await self._client.kernel_info(reply=True, timeout=TIMEOUT)
            trips.append(time.monotonic() - began)
        return trips

    async def _throughput(self) -> float:
        began = time.monotonic()
        code = f"display({{'text/plain': 'x' * {BULK}}}, raw=True)"
        await self._client.execute_interactive(
            code, output_hook=lambda message: None, timeout=TIMEOUT
        )
        return BULK / 1e6 / (time.monotonic() - began)

    async def _interrupt(self) -> None:
        def busy(message: Mapping[str, Any]) -> None:
            if message["msg_type"] == "stream":
                self._kernel.signal(signal.SIGINT)

        reply = await self._client.execute_interactive(
            "print('busy', flush=True)\nwhile True: pass",
            output_hook=busy,
            timeout=TIMEOUT,
        )
        if reply["content"].get("ename") != "KeyboardInterrupt":
            msg = f"an interrupted cell ended with {reply['content']}"
            raise Problem(msg)

    async def _restart(self) -> float:
        began = time.monotonic()
        await self._kernel.restart(self._launch)
        await self._ready()
        return time.monotonic() - began


async def examine(
    doctor: Doctor, config: Mapping[str, object], argv: tuple[str, ...], job: bool
) -> str | None:
    """All stages; returns the carrier to use, None if no kernel can be had."""
    await doctor.stage("versions", _versions)
    settings = Settings()

    async def configuration() -> str:
        nonlocal settings
        settings = parse(config)
        return json.dumps(dict(config)) if config else "defaults"

    if not await doctor.stage("configuration", configuration):
        return None
    fine = await doctor.stage("scheduler", lambda: _scheduler(settings))
    fine &= await doctor.stage("state directory", lambda: _state_directory(settings))
    fine &= await doctor.stage("socket directory", lambda: _socket_directory(settings))
    if not fine:
        return None
    carriers = DRIVERS[driver_name(settings)]().carriers
    if settings.carrier != "auto":
        carriers = (settings.carrier,)
    if "ssh" in carriers:
        await doctor.stage("ssh keys", _keys)
    if not job:
        return carriers[0]
    works = [
        name
        for name in carriers
        if await doctor.stage(f"carrier {name}", Trial(settings, name, argv).run)
    ]
    return works[0] if works else None


def _summary(carrier: str | None, findings: list[Finding]) -> str:
    if carrier is None:
        return "No kernel can be had as things are; see what failed."
    bad = [finding.stage for finding in findings if finding.state == FAILED]
    if bad:
        return f"Kernels work over '{carrier}'. Not working: {', '.join(bad)}."
    return f"Kernels work; carrier 'auto' would choose '{carrier}'."


@click.command(cls=GroupedCommand)
@click.argument("kernel", required=False, shell_complete=our_kernel_names)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--no-job", is_flag=True, help="Submit nothing; check only this side.")
@config_options
def doctor(
    kernel: str | None, as_json: bool, no_job: bool, settings: dict[str, object]
) -> None:
    """Check each stage on this cluster, and say what to change.

    Submits a tiny job for each carrier and measures a kernel in it. With KERNEL, an
    installed kernel of ours, it goes by that one's options and command; options
    given here replace them. Exit code 0: kernels can be used.

    \b
    remote-kernels doctor
    remote-kernels doctor python-compute --partition debug --time 5
    """
    console = Console(stderr=as_json, highlight=False)
    config: dict[str, object] = settings
    argv = ARGV
    if kernel is not None:
        found = kernelspec.find(kernel, kernelspec.installed(), "kernel")
        kernelspec.check_ours(found)
        config = {**found.config, **settings}
        argv = tuple(found.spec["argv"])

    def tell(finding: Finding) -> None:
        style = STYLES[finding.state]
        console.print(
            f"[{style}]{finding.state:8}[/] {finding.stage} ({finding.seconds:.2f} s)"
        )
        for text in filter(None, (finding.text, finding.advice)):
            console.print(
                "\n".join(f"         {line}" for line in text.splitlines()),
                markup=False,
                soft_wrap=True,
            )

    physician = Doctor(tell)
    carrier = asyncio.run(examine(physician, config, argv, not no_job))
    summary = _summary(carrier, physician.findings)
    console.print(summary, markup=False, soft_wrap=True)
    if as_json:
        body = {
            "usable": carrier is not None,
            "carrier": carrier,
            "summary": summary,
            "findings": [dataclasses.asdict(finding) for finding in physician.findings],
        }
        click.echo(json.dumps(body, indent=1))
    if carrier is None:
        raise click.exceptions.Exit(1)
