"""One kernel and its job: start, attach, signal, restart, release.

The order in which things happen; what they are is in the parts: status.py (what is
known and recorded), startup.py (until the kernel answers), connector.py (the way to its
agent), previous_owner.py (who had it before us), supervision.py (its job's end) and
actions.py (what has to be done then). Runs on one event loop, which must keep turning
for as long as the kernel is there (a tunnel and a front live on it): see
jupyter/background.py. Called by jupyter.provisioner and the CLI.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from remote_kernels import harmless
from remote_kernels.causes import EndCause
from remote_kernels.config import Settings
from remote_kernels.errors import JobError, RecordError, ResourceError
from remote_kernels.front.standin import StandIn
from remote_kernels.records import GIVEN_UP, SHUT_DOWN, JobEnd, every_record
from remote_kernels.scheduler.command import ROOM

from .actions import CLOCK, WATCH, Actions
from .allocation import allocations
from .descriptors import is_exhaustion
from .job import id_in
from .launch import Launch
from .lifecycle import Action, Event, State
from .local_end import LocalEnd
from .news import OnChanged, OnNews
from .previous_kernel import PreviousKernel
from .previous_owner import previous_owner
from .queue_display import OnProgress
from .runtime import Runtime
from .shared_job import job_for
from .startup import Startup
from .status import KernelStatus
from .supervision import Supervision

log = harmless.logger(__name__)

RESTART_TIMEOUT = 60.0  # seconds for a new process to listen, or start_timeout


class RemoteKernel:
    """One kernel and its job. All that is known of it is in `status`.

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
    runtime:
        This process's.
    outlives:
        Whether it is to outlive this process.
    instead_of:
        How the kernel ended whose place it takes, in plain words, if there was one.
    on_progress:
        Called with how the job stands while it waits, by line.
    on_news:
        Called with what happens to it.
    on_changed:
        Called when its model may be another one.
    on_dead:
        Called when it is dead, unasked, and with its job.
    on_end:
        Called when its job has ended unasked and nothing of it is left here.
    on_moved:
        Called with the directory of its sockets when that had to be another one.
    """

    def __init__(
        self,
        kernel_id: str,
        settings: Settings,
        name: str = "",
        spec_name: str = "",
        *,
        runtime: Runtime,
        outlives: bool = False,
        instead_of: str = "",
        on_progress: OnProgress = lambda lines: None,
        on_news: OnNews = lambda action, view, text: None,
        on_changed: OnChanged = lambda measured: None,
        on_dead: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
        on_moved: Callable[[Path], None] = lambda directory: None,
    ) -> None:
        self.kernel_id = kernel_id
        self._runtime = runtime
        self._on_moved = on_moved
        status = self.status = KernelStatus(
            kernel_id,
            settings,
            name,
            spec_name,
            outlives=outlives,
            on_news=on_news,
            on_changed=on_changed,
        )
        if instead_of:
            status.follows(PreviousKernel(instead_of))
        self._record = status.record
        self._actions = Actions(
            status,
            on_dead,
            on_end,
            lambda left: runtime.leave(kernel_id, left, status.model().notebooks),
        )
        self._supervision = Supervision(status, self._actions)
        self._startup = Startup(
            runtime, status, self._actions, self._supervision, on_progress
        )

    def __repr__(self) -> str:
        status = self.status
        return (
            f"<RemoteKernel {self.kernel_id[:8]} job {status.job_id} on {status.node}>"
        )

    def remove_at_death(self, path: Path) -> None:
        """Remove a file with this server, also if its process is killed."""
        if self.status.local is not None:
            self.status.local.remove_at_death(path)

    # Start

    async def start(self, launch: Launch, *, wait: bool = True) -> dict[str, Any]:
        """Submit a job, wait for it and attach; leave nothing behind on failure.

        Parameters
        ----------
        launch:
            What to start.
        wait:
            Whether to return when the kernel is ready. If not, the call returns when
            its job is submitted, and a stand-in answers until the kernel does.

        Returns
        -------
        dict
            Jupyter's connection info.

        Raises
        ------
        RemoteKernelError
            The kernel did not start; the text says why, and what to do.
        """
        try:
            base = self._record.base
            self._runtime.housekeeping.post(lambda: _purge(base))
            if not wait:
                self.status.watched()
            self.status.move(Event.START)
            self._open(self._stand_in(launch.key, launch.language))
            return await self._startup.begin(launch, wait=wait)
        except BaseException as exc:
            try:
                await asyncio.shield(self._undo())
            except JobError as left:  # and nobody would ever hear of that job
                text = f"{exc!s}\n{left}".lstrip()
                raise JobError(text) from exc
            if isinstance(exc, OSError) and is_exhaustion(exc):
                text = f"{exc}. The start was undone.\n{ROOM}"
                raise ResourceError(text) from exc
            raise

    def _stand_in(self, key: bytes, language: str) -> StandIn:
        status = self.status
        return StandIn(
            key,
            lambda: status.exited(0),
            self._actions.farewell,
            status.note_held,
            language=language,
        )

    def _open(self, standin: StandIn) -> None:
        """Make a place for it on this host."""
        self.status.opened(LocalEnd(self.status.settings, standin, self._moved))

    def _moved(self, directory: Path) -> None:
        if self.status.moved(directory):
            self._on_moved(directory)

    # Attach

    async def attach(
        self, *, take: bool = False, patient: bool = True
    ) -> dict[str, Any]:
        """Attach to a kernel that another process left.

        Parameters
        ----------
        take:
            Whether to take it from a server that has it.
        patient:
            Whether to try a node that does not answer again for as long as its job is
            there, and to wait for a job that waits; the kernel counts as alive
            meanwhile. Else it is an error.

        Returns
        -------
        dict
            Jupyter's connection info.

        Raises
        ------
        RecordError
            There is no such kernel.
        InUseError
            Another server has it.
        TunnelError
            It is not reached.
        """
        look = partial(previous_owner, self._record, patient=patient)
        before = await self._record.worker.run(look)
        try:
            self.status.watched()
            settings = self.status.settings
            allocation = before.facts.get("allocation")
            job = job_for(self._runtime, settings, self._record, allocation)
            job.resume(id_in(before.facts), before.facts.get("cluster"))
            await self.status.resume(before.facts, before.spec, job)
            process = before.process
            waits = before.agent is None
            standin = StandIn(process.key)
            if waits:
                standin = self._stand_in(process.key, process.language)
            self._open(standin)
            await self.status.here.start_watchdog(job, keep=True)
            if waits:
                return await self._startup.adopt(job, before)
            attach = self._supervision.attach
            return await attach(job, before, take=take, patient=patient)
        except BaseException:
            await asyncio.shield(self.detach())
            raise

    # While it is there

    def signal(self, signum: int) -> None:
        """Pass a signal on to the kernel's process group, if that lives."""
        status, connection = self.status, self.status.connection
        if connection is not None and (status.arrived or status.is_over):
            connection.signal(signum)
        elif signum == signal.SIGINT and status.local is not None:
            status.local.standin.interrupt()
        elif signum in (signal.SIGTERM, signal.SIGKILL):
            status.exited(-signum)

    async def restart(self, launch: Launch) -> dict[str, Any]:
        """Start a new kernel process in the same job, and return the connection info.

        The job of a kernel that is waited for keeps its place in the queue. A kernel
        that did not start gets a new job.

        Raises
        ------
        JobError
            The job has ended, or a new one cannot be submitted.
        AgentError
            The new process does not start or does not listen in time.
        """
        if not self.status.restartable:  # its job ended meanwhile
            raise JobError(self.status.end_text or "The kernel was shut down.")
        if not self.status.arrived:
            return await self._restart_waiting(launch)
        actions = self.status.move(Event.RESTART)
        assert actions == (Action.START_PROCESS,)
        connection, here = self.status.connection, self.status.here
        assert connection is not None
        process = launch.process(self.status.settings)
        info = here.open(launch.key)
        await here.settled()
        self.status.note_spec(process)
        connection.start(process.as_json(), process.curve)
        patience = max(RESTART_TIMEOUT, self.status.settings.start_timeout)
        await self._supervision.await_running(connection, patience)
        await self._supervision.serve()
        return info

    async def _restart_waiting(self, launch: Launch) -> dict[str, Any]:
        self.status.here.standin.restart()
        if self.status.state is State.FAILED:
            return await self._startup.again(launch)
        if self.status.state is State.CHOOSING:
            self._startup.choose_for(launch)
        else:
            process = launch.process(self.status.settings)
            self.status.note_spec(process)  # read when the job starts
            self.status.lives()
        return self.status.here.open(launch.key)

    # End

    async def release(self) -> None:
        """End the kernel and its job, and remove all that belonged to it."""
        end = JobEnd(SHUT_DOWN, text="It was shut down.", cause=EndCause.CANCELLED)
        await self._actions.carry_out(Event.RELEASE, end, alone=True)

    async def give_up(self, why: str) -> None:
        """End the job of a kernel whose process is dead and which nobody starts again.

        The record keeps how it ended.
        """
        if self.status.end is None:
            self._actions.stop(WATCH)
            self._actions.stop(CLOCK)
            text = f"Job {self.status.job_id}: {why}"
            end = JobEnd(GIVEN_UP, text=text, cause=EndCause.FAILED)
            await self._actions.carry_out(Event.GIVE_UP, end)

    async def _undo(self) -> None:
        """Remove every trace of a start that failed."""
        await self._actions.carry_out(Event.UNDO, alone=True)

    async def detach(self) -> None:
        """Let go of kernel and job: they live on, for the next server."""
        await self._actions.carry_out(Event.DETACH)


def _purge(base: Path) -> None:
    try:
        for record in every_record(base):
            record.purge_if_old()
        for place in allocations(base):
            place.purge_if_old()
    except (OSError, RecordError) as exc:
        log.info("old records stay: %s", exc)
