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
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from remote_kernels import registry
from remote_kernels.config import Settings
from remote_kernels.errors import (
    InUseError,
    JobError,
    RecordError,
    RemoteKernelError,
    TunnelError,
)
from remote_kernels.front import sockets
from remote_kernels.front.standin import Request, StandIn
from remote_kernels.scheduler.base import JobStatus, Phase
from remote_kernels.wire import control
from remote_kernels.wire.hello import Refused

from .connection import Connection
from .ending import until_the_end
from .informing import OnProgress, informing
from .job import Job
from .known_info import KnownInfo
from .launch import Launch, curve_of
from .login_end import LoginEnd
from .reach import carriers
from .time_limit import mind_time_limit
from .view import View, view

log = logging.getLogger(__name__)

STOP_TIMEOUT = 8.0  # seconds for the agent to end its kernels and itself
RESTART_TIMEOUT = 60.0  # seconds for a new process in the job to listen
LAST_RETRY = 30.0  # seconds between attempts to reach a kernel that was left alone
FAREWELL = 10.0  # seconds for clients to get the last words

# action (see jupyter/news.py), the kernel, and a text for people
OnNews = Callable[[str, View, str], None]


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
    outlives:
        Whether it is to outlive this process.
    on_progress:
        Called with how the job stands while it waits, by line.
    on_news:
        Called with what happens to it.
    on_end:
        Called when its job has ended unasked and nothing of it is left here.
    """

    def __init__(
        self,
        kernel_id: str,
        settings: Settings,
        name: str = "",
        spec_name: str = "",
        *,
        outlives: bool = False,
        on_progress: OnProgress = lambda lines: None,
        on_news: OnNews = lambda action, view, text: None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.kernel_id = kernel_id
        self.settings = settings
        self.name = name
        self.spec_name = spec_name
        self._outlives = outlives
        self._on_progress = on_progress
        self._on_news = on_news
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
        self._here: LoginEnd | None = None
        self._standin: StandIn | None = None
        self._arrival: asyncio.Task[None] | None = None
        self._guard: asyncio.Task[None] | None = None
        self._clock: asyncio.Task[None] | None = None
        self._sessions: dict[str, Any] = {}
        self._arrived = False  # the kernel answers, no stand-in
        self._taken = False  # another server has the kernel
        self._exit_code: int | None = None  # where no connection tells it
        self._exited = asyncio.Event()

    def __repr__(self) -> str:
        return f"<RemoteKernel {self.kernel_id[:8]} job {self.job_id} on {self.node}>"

    @property
    def job_id(self) -> str | None:
        return self._job.id if self._job is not None else None

    @property
    def is_recorded(self) -> bool:
        """Whether this kernel has been started before, and its record is there."""
        return self._record.is_live

    def view(self) -> View:
        """It as data."""
        assert self._job is not None
        connection = self._connection
        tunnel = connection.tunnel if connection is not None else None
        return view(
            self.kernel_id,
            self._facts(),
            self._sessions,
            self._job.driver,
            self._job.status,
            ended=self.end,
            attached=tunnel is not None and tunnel.connected,
            usage=connection.usage if connection is not None else None,
        )

    def _tell(self, action: str, text: str = "") -> None:
        self._on_news(action, self.view(), text)

    # Start

    async def start(self, launch: Launch, *, wait: bool = True) -> dict[str, Any]:
        """Submit, wait, attach. Returns Jupyter's connection info.

        Parameters
        ----------
        launch:
            What to start.
        wait:
            Whether to return when the kernel is ready, not when its job is submitted;
            in that case a stand-in answers until then.

        Leaves nothing behind when it fails or is cancelled. Raises RemoteKernelError.
        """
        try:
            for old in registry.records(self._record.base):
                old.purge_if_old()
            self._here = LoginEnd(self.settings)
            await self._submit(launch)
            return await self._open_front(launch.spec(self.settings), wait=wait)
        except BaseException:
            await asyncio.shield(self._abandon())
            raise

    async def _submit(self, launch: Launch) -> None:
        """All that can be found wrong before a job is submitted is found first."""
        assert self._here is not None
        job = self._job = Job(self.settings, self._record)
        self._record.create()
        self._here.draw_up_will(job, self._record.path)
        self.times, self.node, self.end = {}, None, ""
        self._mark("submitting")
        self._write_spec(launch.spec(self.settings))
        await job.submit(launch)
        self._mark("submitted")
        self._save()
        if self._outlives:
            self._here.outlive_server()
        self._tell("submitted")

    def remove_at_death(self, path: Path) -> None:
        """A file that goes with this server, also if its process is killed."""
        if self._here is not None:
            self._here.remove_at_death(path)

    async def _open_front(
        self, spec: dict[str, Any], *, wait: bool, take: bool = True
    ) -> dict[str, Any]:
        """Sockets for clients, and a stand-in until the kernel is there."""
        assert self._here is not None
        key = str(spec["connection"]["key"]).encode()
        if self._standin is None:
            self._standin = StandIn(
                key, lambda: self._set_exited(0), self._was_told, self._note_held
            )
        info = self._here.open(key, self._standin)
        self._exit_code = None
        self._exited.clear()
        arrival = self._arrive(spec, take=take)
        if wait:
            self._arrival = asyncio.create_task(arrival)
            await self._arrival
        else:
            self._arrival = asyncio.create_task(self._arrive_or_tell(arrival))
        return info

    async def _arrive(self, spec: dict[str, Any], *, take: bool) -> None:
        """Until the kernel answers. Raises RemoteKernelError."""
        job, here, standin = self._job, self._here, self._standin
        assert job is not None
        assert here is not None
        assert standin is not None
        plain = not (self.settings.prologue or self.settings.prefix)
        command = [*self.settings.prologue, *spec["argv"]]
        known = KnownInfo(self._record.base, command)
        async with informing(
            standin,
            job,
            self.times["submitted"],
            known,
            spec if plain else None,
            here.directory,
            self._on_progress,
        ):
            agent = await job.agent(self._waits)
            self._mark("agent")
            connection = self._connect(agent, spec, known)
            if take:
                await self._open(agent, connection)
            else:
                await self._open_if_free(agent, connection)
            connection.expect(1)
            await connection.await_running(self.settings.start_timeout)
            if self.end:
                raise JobError(self.end)
            self._mark("kernel")
            await self._serve()

    async def _arrive_or_tell(self, arrival: Coroutine[Any, Any, None]) -> None:
        """Nobody awaits it: those who wait for the kernel must hear what went wrong."""
        try:
            await arrival
        except RemoteKernelError as exc:
            await self._did_not_arrive(str(exc))
        except Exception as exc:
            log.exception("kernel=%s did not start", self.kernel_id)
            await self._did_not_arrive(repr(exc))

    async def _did_not_arrive(self, why: str) -> None:
        """The stand-in stays, to say so; the person may restart the kernel."""
        assert self._standin is not None
        self.end = why
        log.warning("kernel=%s %s", self.kernel_id, why)
        self._stop_clock()
        if self._guard is not None:
            self._guard.cancel()
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        if self._job is not None:
            await self._job.cancel(STOP_TIMEOUT)
        self._seal()
        self._standin.fail(why)
        self._tell("ended", why)

    def _was_told(self) -> None:
        """Somebody has read why there is no kernel: now it is dead."""
        self._set_exited(1)
        self._stop_clock()
        self._clock = asyncio.create_task(self._close_later())

    def _note_held(self, held: list[Request]) -> None:
        """For a server that comes after this one; it can do without."""
        if self._outlives and self._record.is_live:
            try:
                self._record.write_held(held)
            except RecordError as exc:
                log.warning("kernel=%s %s", self.kernel_id, exc)

    def _write_spec(self, spec: dict[str, Any]) -> None:
        """What the agent starts, and what whoever attaches later must know."""
        settings = self.settings
        patience = settings.start_timeout
        if self._outlives:  # the job may start while no server is there
            patience = max(patience, settings.silence)
        self._record.write(
            "spec.json",
            {
                "agent": self.kernel_id,
                "secret": self._secret.hex(),
                "attach": patience,
                "silence": settings.silence,
                "dead_after": settings.dead_after,
                "usage": settings.usage,
                "kernels": {self.kernel_id: spec},
            },
        )

    def _facts(self) -> dict[str, Any]:
        assert self._job is not None
        return {
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
            "directory": str(self._here.directory) if self._here is not None else "",
            "carrier": self.carrier,
            "times": self.times,
        }

    def _save(self) -> None:
        self._record.write("record.json", self._facts())

    def _mark(self, stage: str) -> None:
        self.times[stage] = time.time()

    def _waits(self, status: JobStatus) -> None:
        log.info("kernel=%s job=%s %s", self.kernel_id, self.job_id, status.state)
        if status.phase is Phase.RUNNING and "running" not in self.times:
            self._mark("running")
            self._tell("running")
        elif status.phase is Phase.PENDING:
            self._tell("pending", status.reason)

    # Attach

    def _connect(
        self, agent: dict[str, Any], spec: dict[str, Any], known: KnownInfo
    ) -> Connection:
        assert self._here is not None
        self.node = str(agent["node"])
        self._connection = Connection(
            self.kernel_id,
            str(spec["connection"]["key"]).encode(),
            curve_of(spec["connection"]),
            self._here.directory,
            self._record,
            self.node,
            self.settings.dead_after,
            known.remember,
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
            mind_time_limit(job, self.settings.warn_before, self._warn)
        )
        self._mark("attached")
        self._save()

    @property
    def carrier(self) -> str | None:
        """The name of the carrier in use."""
        return self._connection.carrier if self._connection is not None else None

    async def _serve(self) -> None:
        """The kernel's process listens: it answers its clients from now on."""
        assert self._here is not None
        assert self._connection is not None
        assert self._standin is not None
        await self._here.hand_over(self._connection, self._standin)
        self._arrived = True
        self._mark("ready")
        self._save()
        log.info(
            "kernel=%s job=%s ready on %s over %s",
            *(self.kernel_id, self.job_id, self.node, self.carrier),
        )
        self._tell("attached")

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
            there, and to wait for a job that waits; the kernel counts as alive
            meanwhile. Else it is an error.

        Raises RecordError when there is no such kernel, InUseError when another server
        has it, TunnelError when it is not reached.
        """
        record, spec, agent = (
            self._record.read(f"{name}.json") for name in ("record", "spec", "agent")
        )
        waits = patient and record is not None and "ready" not in record["times"]
        if record is None or spec is None or not (agent or waits):
            msg = f"There is no kernel to attach to in {self._record.path}."
            raise RecordError(msg)
        self.times = record["times"]
        self._sessions = self._record.read("sessions.json") or {}
        self._secret = bytes.fromhex(spec["secret"])
        kernel_spec = spec["kernels"][self.kernel_id]
        try:
            job = self._job = Job(self.settings, self._record)
            job.id, job.cluster = record["job_id"], record.get("cluster")
            self._here = LoginEnd(self.settings)
            self._here.draw_up_will(None, self._record.path)
            self._here.outlive_server()
            if waits:
                self._refuse_if_waited_for(record)
                info = await self._open_front(kernel_spec, wait=False, take=False)
                assert self._standin is not None
                self._standin.restore(self._record.read_held())
                self._leave_behind(record)
                self._save()
                return info
            assert agent is not None
            return await self._attach(record, kernel_spec, agent, take, patient)
        except BaseException:
            await asyncio.shield(self.detach())
            raise

    async def _attach(
        self,
        record: dict[str, Any],
        spec: dict[str, Any],
        agent: dict[str, Any],
        take: bool,
        patient: bool,
    ) -> dict[str, Any]:
        """To one whose agent has reported."""
        assert self._here is not None
        known = KnownInfo(self._record.base, [*self.settings.prologue, *spec["argv"]])
        connection = self._connect(agent, spec, known)
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
        self._standin = StandIn(connection.key)
        info = self._here.open(connection.key, self._standin)
        await self._serve()
        return info

    def _refuse_if_waited_for(self, record: dict[str, Any]) -> None:
        """A server that waits for a kernel has no session with it that would tell."""
        here = record.get("host") == socket.gethostname()
        if here and record["pid"] != os.getpid() and _is_alive(record["pid"]):
            msg = (
                f"Kernel {self.kernel_id} is waited for by process {record['pid']} on "
                "this host."
            )
            raise InUseError(msg)

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
        await self._stop_tasks()
        await self._close()

    async def _stop_tasks(self) -> None:
        mine = [task for task in (self._arrival, self._guard, self._clock) if task]
        for task in mine:
            task.cancel()
        if mine:
            await asyncio.wait(mine)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()

    async def _close(self) -> None:
        """All that is ours on this host."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        if self._here is not None:
            self._here.close()
            self._here = None
        self._set_exited(0)

    # Life

    @property
    def started(self) -> bool:
        """Whether `restart` can bring a new process of it."""
        return self._here is not None and not (self._arrived and self.end)

    def poll(self) -> int | None:
        """None while the kernel process lives; else its exit code. Costs nothing.

        One that is waited for lives, until somebody wants it to end. Also None while it
        ends with its job, until it is known why: who restarts dead kernels would take
        it for one that died in a living job.
        """
        if self._connection is None or not self._arrived:
            return self._exit_code
        return None if self._ends_with_job else self._connection.exit_code

    @property
    def _ends_with_job(self) -> bool:
        asks_why = self._guard is not None and not self._guard.done()
        ends = self._connection is not None and self._connection.agent_ends
        return ends and asks_why and not self.end

    def _set_exited(self, code: int) -> None:
        if self._exit_code is None:
            self._exit_code = code
        self._exited.set()

    async def wait(self) -> int:
        """Until the kernel process has ended."""
        if self._connection is not None and self._arrived:
            return await self._connection.wait()
        await self._exited.wait()
        return self._exit_code or 0

    def note_sessions(self, sessions: dict[str, Any]) -> None:
        """The notebooks that use this kernel, for the server that comes next."""
        self._sessions = sessions
        self._record.write("sessions.json", sessions)

    def signal(self, signum: int) -> None:
        """To the kernel's process group, unchanged; without effect on a dead one."""
        if self._arrived and self._connection is not None:
            self._connection.signal(signum)
        elif signum == signal.SIGINT and self._standin is not None:
            self._standin.interrupt()
        elif signum in (signal.SIGTERM, signal.SIGKILL):
            self._set_exited(-signum)

    async def restart(self, launch: Launch) -> dict[str, Any]:
        """A new kernel process in the same job. Raises RemoteKernelError.

        Of a kernel that is waited for: its job keeps its place in the queue. Of one
        that did not come: in a new job.
        """
        assert self._here is not None
        assert self._standin is not None
        if not self._arrived:
            return await self._restart_waiting(launch)
        assert self._connection is not None
        connection = self._connection
        connection.curve = launch.curve(self.settings)
        info = self._here.open(launch.key, self._standin)
        spec = launch.spec(self.settings)
        self._write_spec(spec)
        connection.send(control.Start(self.kernel_id, spec))
        connection.expect(connection.incarnation + 1)
        await connection.await_running(RESTART_TIMEOUT)
        if self.end:
            raise JobError(self.end)
        await self._serve()
        return info

    async def _restart_waiting(self, launch: Launch) -> dict[str, Any]:
        assert self._here is not None
        assert self._standin is not None
        self._standin.restart()
        spec = launch.spec(self.settings)
        if self.end:
            await self._stop_tasks()
            if self._record.is_live:  # its end was not yet dealt with
                assert self._job is not None
                await self._job.cancel(STOP_TIMEOUT)
                self._record.remove()
            await self._submit(launch)
            return await self._open_front(spec, wait=False)
        self._write_spec(spec)  # read when the job starts
        self._exit_code = None
        self._exited.clear()
        return self._here.open(launch.key, self._standin)

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
        code = (status.exit_code if status is not None else None) or 1
        self._stop_clock()
        if self._connection is not None:
            self._connection.notice(self.end)
            self._connection.set_exited(code, None)
        if not self._arrived:  # who waits for it hears of it
            return
        self._set_exited(code)
        self._clock = asyncio.create_task(self._close_later())
        if not self._taken:
            self._seal()
        self._tell("ended", self.end)

    def _seal(self) -> None:
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
        self._tell("warning", text)

    # End

    async def release(self) -> None:
        """End the kernel and its job, and remove all that belonged to it."""
        if self._taken:
            await self.detach()
            return
        await self._stop_tasks()
        tunnel = self._connection.tunnel if self._connection is not None else None
        if tunnel is not None and tunnel.connected and not self.end:
            tunnel.send(control.Stop())
            await asyncio.wait((tunnel.ended,), timeout=STOP_TIMEOUT)
        told = tunnel is not None and tunnel.ended.done()
        if self._job is not None and not self.end:
            self._tell("ended", "It was shut down.")
        await self._abandon(cancel=not (told or self.end))

    async def _abandon(self, *, cancel: bool = True) -> None:
        """Remove every trace, of a start that failed or a kernel that ended."""
        await self._stop_tasks()
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


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
