"""Whether one kernel lives: from the first word of its agent to our last ones.

Holds what the kernel has in this process, minds how its job ends, says so in the
notebook, and lets go of it all. Made by story.py.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from remote_kernels import harmless
from remote_kernels.errors import AgentError, JobError
from remote_kernels.registry import TAKEN, JobEnd
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire import control

from .account import Account
from .connection import Connection
from .ending import End, end_of, until_the_end
from .job import Job
from .known_info import KnownInfo
from .launch import curve_of
from .login_end import LoginEnd
from .reach import Reach
from .time_limit import mind_time_limit

log = harmless.logger(__name__)

# Seconds in which the end of its job is heard of when a kernel was ended by one of the
# signals that schedulers send to all of a job.
HEARD = 3.0
STOP_TIMEOUT = 8.0  # seconds for the agent to end its kernels and itself
# Seconds in which a page gets what was said last: once told that the kernel is dead it
# shows no more of it (JupyterLab 4.6), and that comes another way, which is shorter.
LAST_WORDS = 1.0
FAREWELL = 10.0  # seconds for clients to get the last words


class Life:
    """Of one kernel.

    Parameters
    ----------
    account:
        The kernel's.
    on_dead:
        Called when it is dead, unasked, and with its job.
    on_end:
        Called when its job has ended unasked and nothing of it is left here.
    """

    def __init__(
        self,
        account: Account,
        on_dead: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._account = account
        self._on_dead = on_dead
        self._on_end = on_end
        self.here: LoginEnd | None = None
        self.arrival: asyncio.Task[None] | None = None
        self.arrived = False  # the kernel answers, no stand-in
        self.taken = False  # another server has the kernel
        self._guard: asyncio.Task[None] | None = None
        self._clock: asyncio.Task[None] | None = None
        self._exit_code: int | None = None  # where no connection tells it
        self._speaks_last = False  # its end is known, and being said
        self._exited = asyncio.Event()

    # The agent and the kernel's process answer

    def connect(
        self, here: LoginEnd, agent: dict[str, Any], spec: dict[str, Any]
    ) -> Connection:
        """A connection to that agent, not yet open."""
        account = self._account
        known = KnownInfo.of(account.record.base, account.settings, spec)
        account.node = str(agent["node"])
        account.connection = Connection(
            account.kernel_id,
            str(spec["connection"]["key"]).encode(),
            curve_of(spec["connection"]),
            here.directory,
            account.record,
            account.node,
            account.settings.dead_after,
            known.remember,
            spec_name=account.spec_name,
        )
        return account.connection

    def reached(self, job: Job, tunnel: Tunnel) -> None:
        """The connection is open: the end of its job is minded."""
        self._guard = asyncio.create_task(self._watch_over(job, tunnel))
        self._clock = asyncio.create_task(
            mind_time_limit(job, self._account.settings.warn_before, self._warn)
        )
        self._account.mark("attached")
        self._account.save_news()

    def come_back(self, job: Job, reach: Reach) -> None:
        """To an agent that does not answer yet; its kernel counts as alive."""
        self._guard = asyncio.create_task(self._come_back(job, reach))

    async def _come_back(self, job: Job, reach: Reach) -> None:
        found = await reach.again()
        if isinstance(found, End):
            self._job_ended(found)
        else:
            self.reached(job, found)

    async def serve(self) -> None:
        """The kernel's process listens: it answers its clients from now on."""
        account = self._account
        assert self.here is not None
        assert account.connection is not None
        await self.here.hand_over(account.connection)
        self.arrived = True
        account.mark("ready")
        if account.end:  # meanwhile
            self._bury(account.connection.exit_code or 1)
            return
        account.save_news()
        log.info(
            "kernel=%s job=%s ready on %s over %s",
            *(account.kernel_id, account.job_id, account.node, account.carrier),
        )
        account.tell("attached")

    def _warn(self, text: str) -> None:
        log.warning("kernel=%s %s", self._account.kernel_id, text)
        if self._account.connection is not None:
            self._account.connection.notice(text)
        self._account.tell("warning", text)

    # Whether it lives

    def poll(self) -> int | None:
        """See RemoteKernel.poll."""
        connection = self._account.connection
        if self._speaks_last:
            return None
        if connection is None or not self.arrived:
            return self._exit_code
        return None if self._ends_with_job(connection) else connection.exit_code

    def _ends_with_job(self, connection: Connection) -> bool:
        asks_why = self._guard is not None and not self._guard.done()
        return connection.agent_ends and asks_why and not self._account.end

    async def wait(self) -> int:
        """Until the kernel process has ended."""
        connection = self._account.connection
        if connection is not None and self.arrived:
            return await connection.wait()
        await self._exited.wait()
        return self._exit_code or 0

    def set_exited(self, code: int) -> None:
        """It is dead although no connection says so; the first word counts."""
        if self._exit_code is None:
            self._exit_code = code
        self._exited.set()

    def begin(self) -> None:
        """It is waited for, and lives."""
        self._exit_code = None
        self._speaks_last = False
        self._exited.clear()

    # Its end

    async def _watch_over(self, job: Job, tunnel: Tunnel) -> None:
        """While the kernel lives: notice the end of its job."""
        self._job_ended(await until_the_end(tunnel, job, self._account.tell))

    def _job_ended(self, end: End) -> None:
        """Say it in the notebook, the log and the record; then the kernel is dead."""
        account, status = self._account, end.status
        self.taken = end.taken
        account.end = end_of(status, self.end_text(end))
        if end.taken:
            account.end = replace(account.end, word=TAKEN)
        account.mark("ended")
        log.warning("kernel=%s %s", account.kernel_id, account.end.text)
        code = (status.exit_code if status is not None else None) or 1
        self._stop_clock()
        if account.connection is not None:
            account.connection.notice(account.end.text)
            account.connection.set_exited(code, None)
        if self.arrived:  # else who waits for it hears of it
            self._bury(code)

    def _bury(self, code: int) -> None:
        """Its job has ended, which has been said.

        For those who ask it lives until they are told that it is dead: jupyter_server
        (2.21) opens no websocket to one that is not alive, and waits 60 s for it to be.
        """
        self.set_exited(code)
        self._speaks_last = True
        self._close_later()
        if not self.taken:
            self._account.seal()
        assert self._account.end is not None
        self._account.tell("ended", self._account.end.text)

    def end_text(self, end: End) -> str:
        told = end_of(end.status, end.text)
        state = f" ({told.word})" if told.is_schedulers else ""
        return f"Job {self._account.job_id}{state}: {end.text}"

    async def end_of_job(self, patience: float) -> JobEnd | None:
        """How it ended, if it does so in so many seconds or has begun to."""
        connection = self._account.connection
        if self._guard is not None and connection is not None:
            await asyncio.wait((self._guard,), timeout=patience)
            if connection.agent_ends:
                await asyncio.wait((self._guard,))
        return self._account.end

    async def await_running(self, connection: Connection, timeout: float) -> None:
        """Until the expected process listens. Raises AgentError, JobError."""
        try:
            await connection.await_running(timeout)
        except AgentError as exc:
            state = connection.state
            by = state.signum if state is not None else None
            killed = by in (signal.SIGTERM, signal.SIGKILL)
            heard = HEARD if killed and not connection.told_to_end else 0.0
            end = await self.end_of_job(heard)
            raise (JobError(end.text) if end else exc) from exc

    def failure_told(self) -> None:
        """Somebody has been told why there is no kernel: soon it is dead."""
        self._stop_clock()
        self._close_later()

    def _close_later(self) -> None:
        """jupyter_server (2.21) calls no cleanup for a kernel that died."""
        self._clock = asyncio.create_task(self._farewell())

    async def _farewell(self) -> None:
        await asyncio.sleep(LAST_WORDS)
        self._speaks_last = False
        self.set_exited(1)
        self._on_dead()
        await asyncio.sleep(FAREWELL)
        await self._close()
        self._on_end()

    # Letting go

    def stop_watching(self) -> None:
        self._stop_clock()
        if self._guard is not None:
            self._guard.cancel()

    def _stop_clock(self) -> None:
        self._speaks_last = False
        if self._clock is not None:
            self._clock.cancel()

    async def stop_tasks(self) -> None:
        mine = [task for task in (self.arrival, self._guard, self._clock) if task]
        self._stop_clock()
        for task in mine:
            task.cancel()
        if mine:
            await asyncio.wait(mine)

    async def stop_agent(self) -> bool:
        """Ask the agent to end its job; whether it did so."""
        tunnel = self._tunnel
        if tunnel is not None and not self._account.end:
            await self._stop(tunnel)
        return tunnel is not None and tunnel.ended.done()

    @property
    def _tunnel(self) -> Tunnel | None:
        connection = self._account.connection
        return connection.tunnel if connection is not None else None

    async def _stop(self, tunnel: Tunnel) -> None:
        if tunnel.connected:
            tunnel.send(control.Stop())
            await asyncio.wait((tunnel.ended,), timeout=STOP_TIMEOUT)

    async def give_up(self) -> None:
        """It is dead, and its agent is to end, with the job where that is its own."""
        self.set_exited(1)
        if self._tunnel is not None:
            await self._stop(self._tunnel)
        self._close_later()

    async def leave_job(self) -> None:
        """Of a kernel that failed: end what is there of it, if its job does not end."""
        job, tunnel = self._account.job, self._tunnel
        if job is not None and job.allocation is not None and tunnel is not None:
            await self._stop(tunnel)

    async def disconnect(self) -> None:
        if self.here is not None:
            self.here.part()
        if self._account.connection is not None:
            await self._account.connection.close()
            self._account.connection = None

    async def detach(self) -> None:
        """Let go of kernel and job: they live on."""
        await self.stop_tasks()
        await self._close()

    async def _close(self) -> None:
        """All that is ours on this host."""
        await self.disconnect()
        if self.here is not None:
            self.here.close()
            self.here = None
        self.set_exited(0)
