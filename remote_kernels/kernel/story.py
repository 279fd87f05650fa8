"""The story of one kernel: submit, wait, attach, signal, restart in the job, release.

Runs on one event loop, which must keep turning for as long as the kernel is there (a
tunnel and a front live on it): see jupyter/background.py. Called by
jupyter.provisioner and the CLI.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remote_kernels import registry
from remote_kernels.config import Settings
from remote_kernels.errors import InUseError, JobError, RecordError, TunnelError
from remote_kernels.front import sockets
from remote_kernels.scheduler.base import JobStatus, Phase
from remote_kernels.wire import control
from remote_kernels.wire.hello import Refused

from .connection import Connection
from .ending import until_the_end
from .job import Job
from .last_will import LastWill
from .launch import Launch, curve_of
from .reach import carriers
from .time_limit import mind_time_limit

log = logging.getLogger(__name__)

STOP_TIMEOUT = 8.0  # seconds for the agent to end its kernels and itself
RESTART_TIMEOUT = 60.0  # seconds for a new process in the job to listen
LAST_RETRY = 30.0  # seconds between attempts to reach a kernel that was left alone
FAREWELL = 10.0  # seconds for clients to get the last words


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
    spec_name:
        The kernelspec's name, for Jupyter.
    on_status:
        Called with each change of the job while it waits.
    on_end:
        Called when its job has ended unasked and nothing of it is left here.
    """

    def __init__(
        self,
        kernel_id: str,
        settings: Settings,
        name: str = "",
        spec_name: str = "",
        on_status: Callable[[JobStatus], None] = lambda status: None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.kernel_id = kernel_id
        self.settings = settings
        self.name = name
        self.spec_name = spec_name
        self._on_status = on_status
        self._on_end = on_end
        self.node: str | None = None
        self.times: dict[str, float] = {}  # stage: seconds since the epoch
        self.end: str = ""  # why the job ended, in plain words
        self._secret = secrets.token_bytes(32)
        self._record = registry.Record(
            registry.state_dir(settings.state_dir), kernel_id
        )
        self._job: Job | None = None
        self._connection: Connection | None = None
        self._directory: Path | None = None
        self._will: LastWill | None = None
        self._guard: asyncio.Task[None] | None = None
        self._clock: asyncio.Task[None] | None = None
        self._taken = False  # another server has the kernel
        self._exit_code: int | None = None  # of a kernel whose job has ended

    def __repr__(self) -> str:
        return f"<RemoteKernel {self.kernel_id[:8]} job {self.job_id} on {self.node}>"

    @property
    def job_id(self) -> str | None:
        return self._job.id if self._job is not None else None

    @property
    def is_recorded(self) -> bool:
        """Whether this kernel has been started before, and its record is there."""
        return self._record.is_live

    # Start

    async def start(self, launch: Launch) -> dict[str, Any]:
        """Submit, wait, attach. Returns Jupyter's connection info.

        Leaves nothing behind when it fails or is cancelled. Raises RemoteKernelError.
        """
        try:
            job = self._prepare()
            for old in registry.records(self._record.base):
                old.purge_if_old()
            self._record.create()
            self._draw_up_will(job)
            await self._submit(job, launch)
            agent = await job.agent(self._waits)
            self._mark("agent")
            connection = self._connect(agent, launch.key, launch.curve(self.settings))
            await self._open(agent, connection)
            connection.expect(1)
            await connection.await_running(self.settings.start_timeout)
            if self.end:
                raise JobError(self.end)
            self._mark("kernel")
        except BaseException:
            await asyncio.shield(self._abandon())
            raise
        return self._serve(connection.open_front())

    def _prepare(self) -> Job:
        """Everything that can be found wrong before a job is submitted."""
        job = self._job = Job(self.settings, self._record)
        base = sockets.choose_base(self.settings.runtime_dir, dict(os.environ))
        self._directory = sockets.make_directory(base)
        return job

    def _draw_up_will(self, job: Job) -> None:
        assert self._directory is not None
        self._will = LastWill(job.cancel_argv, job.env)
        self._will.start()
        self.remove_at_death(self._record.path)
        self.remove_at_death(self._directory)

    def remove_at_death(self, path: Path) -> None:
        """A file that goes with this server, also if its process is killed."""
        if self._will is not None:
            self._will.remove(path)

    def outlive_server(self) -> None:
        """From now on the death of this process ends neither job nor kernel."""
        if self._will is not None and self._directory is not None:
            self._will.keep()
            self.remove_at_death(self._directory)

    async def _submit(self, job: Job, launch: Launch) -> None:
        self._mark("submitting")
        self._write_spec(launch)
        await job.submit(launch)
        self._mark("submitted")
        self._save()

    def _write_spec(self, launch: Launch) -> None:
        """What the agent starts, and what whoever attaches later must know."""
        self._record.write(
            "spec.json",
            {
                "agent": self.kernel_id,
                "secret": self._secret.hex(),
                "attach": self.settings.start_timeout,
                "silence": self.settings.silence,
                "dead_after": self.settings.dead_after,
                "kernels": {self.kernel_id: launch.spec(self.settings)},
            },
        )

    def _save(self) -> None:
        assert self._job is not None
        self._record.write(
            "record.json",
            {
                "kernel_id": self.kernel_id,
                "name": self.name,
                "spec_name": self.spec_name,
                "scheduler": self._job.driver.name,
                "job_id": self.job_id,
                "node": self.node,
                "user": getpass.getuser(),
                "cluster": self._job.cluster,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "directory": str(self._directory),
                "carrier": self.carrier,
                "times": self.times,
                "end": self.end,
            },
        )

    def _mark(self, stage: str) -> None:
        self.times[stage] = time.time()

    def _waits(self, status: JobStatus) -> None:
        log.info("kernel=%s job=%s %s", self.kernel_id, self.job_id, status.state)
        if status.phase is Phase.RUNNING and "running" not in self.times:
            self._mark("running")
        self._on_status(status)

    # Attach

    def _connect(
        self, agent: dict[str, Any], key: bytes, curve: tuple[bytes, bytes] | None
    ) -> Connection:
        assert self._directory is not None
        self.node = str(agent["node"])
        self._connection = Connection(
            self.kernel_id,
            key,
            curve,
            self._directory,
            self._record,
            self.node,
            self.settings.dead_after,
        )
        return self._connection

    async def _open(
        self, agent: dict[str, Any], connection: Connection, *, take: bool = True
    ) -> None:
        """Reach the agent by the first carrier that works. Raises TunnelError."""
        job = self._job
        assert job is not None
        assert job.id is not None
        memory = registry.Memory(self._record.base)
        cluster = str(agent.get("cluster") or agent["hostname"])
        remembered = memory.carrier(cluster)
        choice = carriers(agent, job.id, job.driver, self.settings, remembered)
        try:
            await connection.open(choice, self._secret, take=take)
        except TunnelError as exc:
            msg = f"{exc}\n{self._record.logs()}".rstrip()
            raise TunnelError(msg) from exc
        assert connection.tunnel is not None
        for name, reason in connection.tunnel.rejected.items():
            log.warning("kernel=%s carrier %s: %s", self.kernel_id, name, reason)
        if connection.carrier is not None and self.settings.carrier == "auto":
            memory.remember(cluster, connection.carrier)
        self._guard = asyncio.create_task(self._watch_over())
        self._clock = asyncio.create_task(
            mind_time_limit(job.queue, job.id, self.settings.warn_before, self._warn)
        )
        self._mark("attached")
        self._save()

    @property
    def carrier(self) -> str | None:
        """The name of the carrier in use."""
        return self._connection.carrier if self._connection is not None else None

    def _serve(self, info: dict[str, Any]) -> dict[str, Any]:
        assert self._connection is not None
        self._connection.connect_front()
        self._mark("ready")
        self._save()
        log.info(
            "kernel=%s job=%s ready on %s over %s",
            *(self.kernel_id, self.job_id, self.node, self.carrier),
        )
        return info

    async def attach(
        self, *, take: bool = False, patient: bool = True
    ) -> dict[str, Any]:
        """Come back to a kernel that another process left. Jupyter's connection info.

        Parameters
        ----------
        take:
            Whether to take it from a server that has it.
        patient:
            Whether to try a node that does not answer again for as long as its job is
            there; the kernel counts as alive meanwhile. Else it is an error.

        Raises RecordError when there is no such kernel, InUseError when another server
        has it, TunnelError when it is not reached.
        """
        record, spec, agent = (
            self._record.read(f"{name}.json") for name in ("record", "spec", "agent")
        )
        if record is None or spec is None or agent is None or "error" in agent:
            msg = f"There is no kernel to attach to in {self._record.path}."
            raise RecordError(msg)
        self.times = record["times"]
        self._secret = bytes.fromhex(spec["secret"])
        connection_spec = spec["kernels"][self.kernel_id]["connection"]
        try:
            job = self._prepare()
            job.id, job.cluster = record["job_id"], record.get("cluster")
            key = str(connection_spec["key"]).encode()
            connection = self._connect(agent, key, curve_of(connection_spec))
            self._will = LastWill([], {})
            self._will.start()
            self.outlive_server()
            try:
                if take:
                    await self._open(agent, connection)
                else:
                    await self._open_if_free(agent, connection)
            except TunnelError as exc:
                if not patient:
                    raise
                log.warning("kernel=%s not reached yet: %s", self.kernel_id, exc)
                self._guard = asyncio.create_task(self._come_back(agent, connection))
            else:  # whoever had it is gone
                self._leave_behind(record)
        except BaseException:
            await asyncio.shield(self.detach())
            raise
        return self._serve(connection.open_front())

    def _leave_behind(self, record: dict[str, Any]) -> None:
        """Sockets of a server that was killed on this host."""
        if record.get("host") == socket.gethostname():
            sockets.remove_directory(Path(record["directory"]))

    async def _open_if_free(
        self, agent: dict[str, Any], connection: Connection
    ) -> None:
        """Not for long is a dead server's connection taken for a living one's."""
        deadline = _now() + self.settings.dead_after
        while True:
            try:
                return await self._open(agent, connection, take=False)
            except Refused as exc:
                if exc.code != "in-use" or _now() > deadline:
                    msg = f"Another server has kernel {self.kernel_id}: {exc.detail}"
                    raise InUseError(msg) from exc
            await asyncio.sleep(1.0)

    async def _come_back(self, agent: dict[str, Any], connection: Connection) -> None:
        """Until the agent answers or its job has ended."""
        assert self._job is not None
        delay = 1.0
        while True:
            status = await self._job.ended(delay * random.uniform(0.5, 1.0))  # noqa: S311
            if status is not None:
                return self._job_ended(self._job.why_ended("", status), status)
            try:
                await self._open_if_free(agent, connection)
            except InUseError as exc:
                return self._job_ended(str(exc), None)
            except TunnelError as exc:
                log.info("kernel=%s %s", self.kernel_id, exc)
                delay = min(delay * 2, LAST_RETRY)
            else:
                return None

    async def detach(self) -> None:
        """Let go of kernel and job: they live on, for the next server."""
        self._stop_tasks()
        await self._close()

    def _stop_tasks(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
        self._stop_clock()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()

    async def _close(self) -> None:
        """All that is ours on this host."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        if self._directory is not None:
            sockets.remove_directory(self._directory)
            self._directory = None
        if self._will is not None:
            self._will.revoke()
            self._will = None

    # Life

    @property
    def started(self) -> bool:
        """Whether there is a job that can hold a new process of this kernel."""
        return self._connection is not None and not self.end

    def poll(self) -> int | None:
        """None while the kernel process lives; else its exit code. Costs nothing.

        Also None while it ends with its job, until it is known why: who restarts dead
        kernels would take it for one that died in a living job.
        """
        if self._connection is None:
            return 0 if self._exit_code is None else self._exit_code
        return None if self._ends_with_job else self._connection.exit_code

    @property
    def _ends_with_job(self) -> bool:
        asks_why = self._guard is not None and not self._guard.done()
        ends = self._connection is not None and self._connection.agent_ends
        return ends and asks_why and not self.end

    async def wait(self) -> int:
        """Until the kernel process has ended."""
        if self._connection is None:
            return self.poll() or 0
        return await self._connection.wait()

    def note_sessions(self, sessions: dict[str, Any]) -> None:
        """The notebooks that use this kernel, for the server that comes next."""
        self._record.write("sessions.json", sessions)

    def signal(self, signum: int) -> None:
        """To the kernel's process group, unchanged; without effect on a dead one."""
        if self._connection is not None:
            self._connection.signal(signum)

    async def restart(self, launch: Launch) -> dict[str, Any]:
        """A new kernel process in the same job. Raises RemoteKernelError."""
        assert self._connection is not None
        connection = self._connection
        connection.curve = launch.curve(self.settings)
        info = connection.open_front()
        self._write_spec(launch)
        connection.send(control.Start(self.kernel_id, launch.spec(self.settings)))
        connection.expect(connection.incarnation + 1)
        await connection.await_running(RESTART_TIMEOUT)
        if self.end:
            raise JobError(self.end)
        return self._serve(info)

    async def _watch_over(self) -> None:
        """While the kernel lives: notice the end of its job."""
        assert self._connection is not None
        assert self._connection.tunnel is not None
        assert self._job is not None
        end = await until_the_end(self._connection.tunnel, self._job)
        self._taken = end.taken
        self._job_ended(end.text, end.status)

    def _job_ended(self, text: str, status: JobStatus | None) -> None:
        """Say it in the notebook, the log and the record; then the kernel is dead."""
        state = f" ({status.state})" if status is not None else ""
        self.end = f"Job {self.job_id}{state}: {text}"
        log.warning("kernel=%s %s", self.kernel_id, self.end)
        self._exit_code = (status.exit_code if status is not None else None) or 1
        self._stop_clock()
        if self._connection is not None:
            self._connection.notice(self.end)
            self._connection.set_exited(self._exit_code, None)
        self._clock = asyncio.create_task(self._close_later())
        if not self._taken:
            try:
                self._record.seal(self.end)
            except RecordError as exc:
                log.warning("kernel=%s %s", self.kernel_id, exc)

    async def _close_later(self) -> None:
        """jupyter_server (2.21) calls no cleanup for a kernel that died."""
        await asyncio.sleep(FAREWELL)
        await self._close()
        self._on_end()

    def _warn(self, text: str) -> None:
        log.warning("kernel=%s %s", self.kernel_id, text)
        if self._connection is not None:
            self._connection.notice(text)

    # End

    async def release(self) -> None:
        """End the kernel and its job, and remove all that belonged to it."""
        if self._taken:
            await self.detach()
            return
        self._stop_tasks()
        tunnel = self._connection.tunnel if self._connection is not None else None
        if tunnel is not None and tunnel.connected and not self.end:
            tunnel.send(control.Stop())
            await asyncio.wait((tunnel.ended,), timeout=STOP_TIMEOUT)
        told = tunnel is not None and tunnel.ended.done()
        await self._abandon(cancel=not (told or self.end))

    async def _abandon(self, *, cancel: bool = True) -> None:
        """Remove every trace, of a start that failed or a kernel that ended."""
        self._stop_tasks()
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        try:
            if self._job is not None and cancel:
                await self._job.cancel(STOP_TIMEOUT)
        finally:
            self._record.remove()
            await self.detach()


def _now() -> float:
    return asyncio.get_running_loop().time()
