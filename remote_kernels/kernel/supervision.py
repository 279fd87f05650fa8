"""Watches over one kernel: from the first word of its agent to the end of its job.

Made by remote_kernel.py; startup.py calls it, too.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from remote_kernels import harmless
from remote_kernels.errors import AgentError, JobError, TunnelError
from remote_kernels.records import TAKEN, JobEnd, KernelInfoCache
from remote_kernels.tunnel.tunnel import Tunnel

from .actions import CLOCK, WATCH, Actions
from .connection import INFO, Connection
from .connector import Connector
from .job import Job
from .job_end import until_the_end
from .launch import ProcessSpec
from .lifecycle import Event
from .news import News
from .previous_owner import PreviousOwner
from .status import KernelStatus
from .time_limit import mind_time_limit

log = harmless.logger(__name__)

# Seconds in which the end of its job is heard of when a kernel was ended by one of the
# signals that schedulers send to all of a job.
HEARD = 3.0


class Supervision:
    """The watch over one kernel.

    Parameters
    ----------
    status, actions:
        The kernel's.
    """

    def __init__(self, status: KernelStatus, actions: Actions) -> None:
        self._status = status
        self._actions = actions

    # The agent and the kernel's process answer

    async def connect(self, agent: dict[str, Any], spec: ProcessSpec) -> Connection:
        """Return a connection to that agent, not yet open."""
        status = self._status
        command = (*status.settings.prologue, *spec.argv)
        known = KernelInfoCache(status.record.base, command)
        node = str(agent["node"])
        worker = status.record.worker
        said = await worker.run(lambda: status.record.read_if_good(INFO))
        connection = Connection(
            spec.key,
            spec.curve,
            status.here.directory,
            status.record,
            node,
            status.settings.dead_after,
            lambda info: worker.post(lambda: known.remember(info)),
            lambda: status.happened(Event.EXITED),
            on_usage=lambda: status.changed(measured=True),
            on_warning=status.tell,
            spec_name=status.spec_name,
            info=said,
            hold=status.settings.hold * 2**20,
        )
        status.connected(connection, node)
        return connection

    async def attach(
        self, job: Job, before: PreviousOwner, *, take: bool, patient: bool
    ) -> dict[str, Any]:
        """Attach to an agent that has reported; see `RemoteKernel.attach`."""
        assert before.agent is not None
        connection = await self.connect(before.agent, before.process)
        connector = Connector(self._status, job, before.agent, connection)
        try:
            self.reached(job, await connector.open(take=take))
        except TunnelError as exc:
            if not patient:
                raise
            log.warning("kernel=%s not reached yet: %s", self._status.kernel_id, exc)
            self._actions.run(WATCH, self._come_back(job, connector))
        else:  # whoever had it is gone
            before.clear_away()
        info = self._status.here.open(connection.key)
        await self.serve()
        return info

    def reached(self, job: Job, tunnel: Tunnel) -> None:
        """Watch for the end of the job from now on: the connection is open."""
        warn_before = self._status.settings.warn_before
        self._actions.run(WATCH, self._watch(job, tunnel))
        self._actions.run(CLOCK, mind_time_limit(job, warn_before, self._warn))
        self._status.mark("attached")
        self._status.save_news()

    async def _come_back(self, job: Job, connector: Connector) -> None:
        """Try again to reach an agent; its kernel counts as alive meanwhile."""
        found = await connector.again()
        if isinstance(found, JobEnd):
            await self._ended(found)
        else:
            self._status.happened(Event.RESUMED)
            self.reached(job, found)

    async def serve(self) -> None:
        """Let the kernel answer its clients: its process listens."""
        status = self._status
        assert status.connection is not None
        await status.here.hand_over(status.connection)
        tunnel = status.connection.tunnel
        if tunnel is None or not tunnel.carrier:
            status.happened(Event.LOST)
        else:
            status.happened(Event.READY)
            if not tunnel.connected:  # meanwhile
                status.happened(Event.LOST)
        if status.end is not None:  # meanwhile
            await self._actions.carry_out(Event.JOB_ENDED)
            return
        status.save_news()
        log.info(
            "kernel=%s job=%s ready on %s over %s",
            *(status.kernel_id, status.job_id, status.node, status.carrier),
        )

    def _warn(self, text: str, holds: Callable[[], bool]) -> None:
        log.warning("kernel=%s %s", self._status.kernel_id, text)
        if self._status.connection is not None:
            self._status.connection.notice(text, holds)
        self._status.tell(News.WARNING, text)

    # Its end

    async def _watch(self, job: Job, tunnel: Tunnel) -> None:
        """Notice the end of the job, or that another server has the kernel."""
        await self._ended(await until_the_end(tunnel, job, self._status.happened))

    async def _ended(self, end: JobEnd) -> None:
        """Carry out the end; until a kernel answers, whoever waits for it tells."""
        event = Event.TAKEN if end.word == TAKEN else Event.JOB_ENDED
        await self._actions.carry_out(event, end)
        if self._status.connection is not None:
            self._status.connection.set_exited(end.exit_code or 1, None)

    async def end_of_job(self, patience: float) -> JobEnd | None:
        """Return how it ended, if it does so in so many seconds or has begun to."""
        connection, watch = self._status.connection, self._actions.task(WATCH)
        if watch is not None and connection is not None:
            await asyncio.wait((watch,), timeout=patience)
            if connection.agent_ends:
                await asyncio.wait((watch,))
        return self._status.end

    async def await_running(self, connection: Connection, timeout: float) -> None:
        """Return once the expected process listens. Raises AgentError, JobError."""
        try:
            await connection.await_running(timeout)
        except AgentError as exc:
            state = connection.state
            by = state.signum if state is not None else None
            killed = by in (signal.SIGTERM, signal.SIGKILL)
            heard = HEARD if killed and not connection.told_to_end else 0.0
            end = await self.end_of_job(heard)
            raise (JobError(end.text) if end is not None else exc) from exc
        if self._status.end is not None:
            raise JobError(self._status.end_text)
