"""The story of one kernel: submit, wait, attach, signal, restart in the job, release.

The only file that knows every part. Runs on one event loop, which must keep turning
for as long as the kernel is there (a tunnel and a front live on it): see
jupyter/background.py. Called by jupyter.provisioner and cli.doctor.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from remote_kernels import bundle, registry
from remote_kernels.config import Settings, resolve_scheduler
from remote_kernels.errors import (
    AgentError,
    ConfigError,
    JobError,
    RemoteKernelError,
    TunnelError,
)
from remote_kernels.front import sockets
from remote_kernels.front.proxy import PORTS, TARGETS, Front
from remote_kernels.scheduler import script
from remote_kernels.scheduler.base import Driver, JobRequest, JobStatus, Phase
from remote_kernels.scheduler.local import Local
from remote_kernels.scheduler.queue import Queue
from remote_kernels.scheduler.slurm import Slurm
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire import control

from .last_will import LastWill
from .launch import Launch
from .reach import carriers
from .waiting import Waiting

log = logging.getLogger(__name__)

DRIVERS: dict[str, Callable[[], Driver]] = {"slurm": Slurm, "local": Local}
STOP_TIMEOUT = 8.0  # seconds for the agent to end its kernels and itself
RESTART_TIMEOUT = 60.0  # seconds for a new process in the job to listen


class RemoteKernel:
    """One kernel and its job.

    Parameters
    ----------
    kernel_id:
        The kernel's ID, as Jupyter has it.
    settings:
        The kernelspec's config.
    name:
        The kernelspec's name, for people.
    on_status:
        Called with each change of the job while it waits.
    """

    def __init__(
        self,
        kernel_id: str,
        settings: Settings,
        name: str = "",
        on_status: Callable[[JobStatus], None] = lambda status: None,
    ) -> None:
        self.kernel_id = kernel_id
        self.settings = settings
        self.name = name
        self._on_status = on_status
        self.job_id: str | None = None
        self.node: str | None = None
        self.times: dict[str, float] = {}  # stage: seconds since the epoch
        self.end: str = ""  # why the job ended, in plain words
        self._exit_code: int | None = None
        self._state: control.KernelState | None = None
        self._incarnation = 0  # the process that clients talk to
        self._changed = asyncio.Event()
        self._exited = asyncio.Event()
        self._secret = secrets.token_bytes(32)
        self._record = registry.Record(
            registry.state_dir(settings.state_dir), kernel_id
        )
        self._driver: Driver | None = None
        self._queue: Queue | None = None
        self._tunnel: Tunnel | None = None
        self._front: Front | None = None
        self._directory: Path | None = None
        self._will: LastWill | None = None
        self._guard: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<RemoteKernel {self.kernel_id[:8]} job {self.job_id} on {self.node}>"

    # Start

    async def start(self, launch: Launch) -> dict[str, Any]:
        """Submit, wait, attach. Returns Jupyter's connection info.

        Leaves nothing behind when it fails or is cancelled. Raises RemoteKernelError.
        """
        try:
            self._prepare()
            await self._submit(launch)
            await self._attach(await self._await_agent())
            await self._await_running(1, self.settings.start_timeout)
        except BaseException:
            await asyncio.shield(self._abandon())
            raise
        return await self._open_front(launch)

    def _prepare(self) -> None:
        """Everything that can be found wrong before a job is submitted."""
        name = resolve_scheduler(self.settings)
        self._driver = DRIVERS[name]()
        if shutil.which(self._driver.command) is None:
            msg = (
                f"There is no {self._driver.command} on PATH of this server, so no job "
                f"can be submitted (scheduler: {name}).\n"
                "Start the notebook server on a login node of the cluster, or load the "
                "scheduler's module before; without a batch system, choose a kernel "
                'with "scheduler": "local".\n'
                f"PATH: {os.environ.get('PATH', '')}"
            )
            raise ConfigError(msg)
        if self.settings.carrier not in ("auto", *self._driver.carriers):
            msg = (
                f"carrier '{self.settings.carrier}' does not reach jobs of scheduler "
                f"'{name}'; choose one of auto, {', '.join(self._driver.carriers)}."
            )
            raise ConfigError(msg)
        base = sockets.choose_base(self.settings.runtime_dir, dict(os.environ))
        self._directory = sockets.make_directory(base)
        self._record.create()
        env = self._driver.environment(os.environ, self.settings.env_keep)
        self._queue = Queue(
            self._driver, environ=env, poll_interval=self.settings.poll_interval
        )
        cancel = self._driver.cancel_name_argv(self._job_name, str(os.getuid()))
        self._will = LastWill(cancel, env)
        self._will.start()
        self.remove_at_death(self._record.path)
        self.remove_at_death(self._directory)

    def remove_at_death(self, path: Path) -> None:
        """A file that goes with the kernel, also if this process is killed."""
        if self._will is not None:
            self._will.remove(path)

    @property
    def _job_name(self) -> str:
        return f"jupyter-{self.kernel_id[:8]}"

    async def _submit(self, launch: Launch) -> None:
        assert self._queue is not None
        self._mark("submitting")
        self._record.write(
            "spec.json",
            {
                "agent": self.kernel_id,
                "secret": self._secret.hex(),
                "attach": self.settings.start_timeout,
                "kernels": {self.kernel_id: launch.spec(self.settings)},
            },
        )
        text = script.build(
            record_dir=str(self._record.path),
            agent=bundle.agent_pyz(),
            python=self.settings.python,
            kernel_python=launch.interpreter,
            prologue=self.settings.prologue,
            node_dir=self.settings.node_dir,
        )
        request = JobRequest(
            name=self._job_name,
            options=self.settings.options,
            extra_args=self.settings.sbatch_args,
            output=str(self._record.job_log),
        )
        self.job_id = await self._queue.submit(text, request)
        self._mark("submitted")
        self._save()
        log.info("kernel=%s job=%s submitted", self.kernel_id, self.job_id)

    def _save(self) -> None:
        assert self._driver is not None
        self._record.write(
            "record.json",
            {
                "kernel_id": self.kernel_id,
                "name": self.name,
                "scheduler": self._driver.name,
                "job_id": self.job_id,
                "node": self.node,
                "user": getpass.getuser(),
                "host": socket.gethostname(),
                "carrier": self.carrier,
                "times": self.times,
            },
        )

    def _mark(self, stage: str) -> None:
        self.times[stage] = time.time()

    # Wait

    async def _await_agent(self) -> dict[str, Any]:
        assert self._queue is not None
        assert self.job_id is not None
        waiting = Waiting(
            self.job_id, self._queue, self._record, self.settings, self._waits
        )
        agent = await waiting.agent()
        self.node = str(agent["node"])
        self._mark("agent")
        return agent

    def _waits(self, status: JobStatus) -> None:
        log.info("kernel=%s job=%s %s", self.kernel_id, self.job_id, status.state)
        if status.phase is Phase.RUNNING and "running" not in self.times:
            self._mark("running")
        self._on_status(status)

    # Attach

    async def _attach(self, agent: Mapping[str, Any]) -> None:
        """Reach the agent by the first carrier that works. Raises TunnelError."""
        assert self._directory is not None
        memory = registry.Memory(self._record.base)
        cluster = str(agent.get("cluster") or agent["hostname"])
        assert self._driver is not None
        assert self.job_id is not None
        remembered = memory.carrier(cluster)
        choice = carriers(agent, self.job_id, self._driver, self.settings, remembered)
        self._tunnel = Tunnel(choice, self._secret, self._heard)
        try:
            await self._tunnel.open()
        except TunnelError as exc:
            msg = f"{exc}\n{self._record.logs()}".rstrip()
            raise TunnelError(msg) from exc
        for name, reason in self._tunnel.rejected.items():
            log.warning("kernel=%s carrier %s: %s", self.kernel_id, name, reason)
        for target in TARGETS:
            await self._tunnel.listen(self._back(target), self.kernel_id, target)
        if self.carrier is not None and self.settings.carrier == "auto":
            memory.remember(cluster, self.carrier)
        self._guard = asyncio.create_task(self._watch_over())
        self._mark("attached")
        self._save()

    @property
    def carrier(self) -> str | None:
        """The name of the carrier in use."""
        if self._tunnel is None or self._tunnel.carrier is None:
            return None
        return self._tunnel.carrier.name

    def _back(self, target: str) -> Path:
        assert self._directory is not None
        return self._directory / f"up-{target}"

    def _heard(self, message: control.Message) -> None:
        """A control message from the agent."""
        if isinstance(message, control.KernelState):
            log.debug("kernel=%s < %s", self.kernel_id, message)
            self._state = message
            if message.incarnation == self._incarnation and message.state in (
                "exited",
                "failed",
            ):
                self._set_exited(message.exit_code, message.signum)
            self._changed.set()

    def _set_exited(self, exit_code: int | None, signum: int | None) -> None:
        if self._exit_code is None:
            self._exit_code = -signum if signum else (exit_code or 0)
            self._exited.set()

    async def _await_running(self, incarnation: int, timeout: float) -> None:
        """Until this process of the kernel listens. Raises AgentError, JobError."""
        deadline = _now() + timeout
        while True:
            self._changed.clear()
            state = self._state
            if state is not None and state.incarnation == incarnation:
                if state.state == "running":
                    break
                if state.state in ("exited", "failed"):
                    raise AgentError(self._not_started(state))
            if self.end:
                raise JobError(self.end)
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - _now())
            except asyncio.TimeoutError:
                msg = (
                    f"The kernel did not listen on all its sockets within {timeout:g} s "
                    f"on {self.node}.\n{self._record.logs()}"
                )
                raise AgentError(msg) from None
        self._incarnation = incarnation
        self._exit_code = None
        self._exited.clear()
        self._mark("kernel")

    def _not_started(self, state: control.KernelState) -> str:
        if state.state == "failed":
            return (
                f"The kernel could not be started on {self.node}: {state.detail}\n"
                "Is that program there, on the compute node? `python` in the "
                "kernelspec's argv must be one that the node can see, and a prologue "
                "may have to load its module."
            )
        code = f"signal {state.signum}" if state.signum else f"code {state.exit_code}"
        output = state.output.strip() or "(nothing)"
        return (
            f"The kernel ended on {self.node} before it was ready, with exit {code}. "
            f"It wrote:\n{output}"
        )

    async def _open_front(self, launch: Launch) -> dict[str, Any]:
        """Sockets for the server; made anew at each launch (see front.proxy)."""
        assert self._directory is not None
        if self._front is not None:
            self._front.close()
        ip = str(self._directory / "k")
        self._front = Front(ip, {target: self._back(target) for target in TARGETS})
        self._front.bind()
        self._front.connect(launch.curve_in_use(self.settings))
        ports = {f"{target}_port": port for target, port in PORTS.items()}
        self._mark("ready")
        self._save()
        log.info(
            "kernel=%s job=%s ready on %s over %s",
            *(self.kernel_id, self.job_id, self.node, self.carrier),
        )
        return {
            "transport": "ipc",
            "ip": ip,
            **ports,
            "key": launch.key,
            "signature_scheme": "hmac-sha256",
        }

    # Life

    @property
    def started(self) -> bool:
        """Whether there is a job that can hold a new process of this kernel."""
        return self._tunnel is not None and not self.end

    def poll(self) -> int | None:
        """None while the kernel process lives; else its exit code. Costs nothing."""
        return self._exit_code

    async def wait(self) -> int:
        """Until the kernel process has ended."""
        await self._exited.wait()
        return self._exit_code or 0

    def signal(self, signum: int) -> None:
        """To the kernel's process group, unchanged; without effect on a dead one."""
        if self._tunnel is not None and self._exit_code is None:
            self._tunnel.send(control.Signal(self.kernel_id, signum))

    async def restart(self, launch: Launch) -> dict[str, Any]:
        """A new kernel process in the same job. Raises RemoteKernelError."""
        assert self._tunnel is not None
        if self._front is not None:
            self._front.close()
            self._front = None
        following = self._incarnation + 1
        self._tunnel.send(control.Start(self.kernel_id, launch.spec(self.settings)))
        await self._await_running(following, RESTART_TIMEOUT)
        return await self._open_front(launch)

    async def _watch_over(self) -> None:
        """While the kernel lives: notice the end of its job.

        The scheduler is asked only when the session is silent for good or cannot be
        resumed; all else is told by the agent.
        """
        assert self._tunnel is not None
        assert self._queue is not None
        assert self._driver is not None
        assert self.job_id is not None
        while not self._tunnel.ended.done():
            await self._tunnel.lost()
            status = await self._ended_or_resumed()
            if status is not None:
                self._job_ended(self._driver.ended_text(status), status)
                return
        self._job_ended(f"The agent ended ({self._tunnel.ended.result()}).", None)
        status = await self._queue.wait_ended(self.job_id, STOP_TIMEOUT)
        if status is not None:
            self._job_ended(self._driver.ended_text(status), status)

    async def _ended_or_resumed(self) -> JobStatus | None:
        """The job's end, or None when the session goes on (or is over)."""
        assert self._tunnel is not None
        assert self._queue is not None
        assert self.job_id is not None
        over = asyncio.ensure_future(self._tunnel.resumed())
        ended = asyncio.ensure_future(self._queue.wait_ended(self.job_id, 1e9))
        try:
            await asyncio.wait((over, ended), return_when=asyncio.FIRST_COMPLETED)
            return ended.result() if ended.done() else None
        finally:
            for task in (over, ended):
                task.cancel()
            await asyncio.wait((over, ended))

    def _job_ended(self, text: str, status: JobStatus | None) -> None:
        self.end = f"Job {self.job_id}: {text}"
        log.warning("kernel=%s %s", self.kernel_id, self.end)
        code = status.exit_code if status is not None else None
        self._set_exited(code or 1, None)
        self._changed.set()

    # End

    async def release(self) -> None:
        """End the kernel and its job, and remove all that belonged to it."""
        if self._guard is not None:
            self._guard.cancel()
        if self._tunnel is not None and self._tunnel.connected and not self.end:
            self._tunnel.send(control.Stop())
            await asyncio.wait((self._tunnel.ended,), timeout=STOP_TIMEOUT)
        told = self._tunnel is not None and self._tunnel.ended.done()
        await self._abandon(cancel=not (told or self.end))

    async def _abandon(self, *, cancel: bool = True) -> None:
        """Remove every trace, of a start that failed or a kernel that ended."""
        if self._guard is not None:
            self._guard.cancel()
        if self._front is not None:
            self._front.close()
            self._front = None
        if self._tunnel is not None:
            await self._tunnel.close()
            self._tunnel = None
        try:
            await self._end_job(cancel)
        finally:
            if self._directory is not None:
                sockets.remove_directory(self._directory)
                self._directory = None
            self._record.remove()
            if self._will is not None:
                self._will.revoke()
                self._will = None
            self._set_exited(0, None)

    async def _end_job(self, cancel: bool) -> None:
        if self._queue is not None and self.job_id is not None and cancel:
            try:
                await self._queue.cancel(self.job_id)
                await self._queue.wait_ended(self.job_id, STOP_TIMEOUT)
            except RemoteKernelError:
                log.exception("job=%s could not be cancelled", self.job_id)


def _now() -> float:
    return asyncio.get_running_loop().time()
