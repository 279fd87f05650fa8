"""Carries out what the lifecycle demands of one kernel, and holds its tasks.

One method for each action of `lifecycle.Action` but those with which a start or a
restart goes on. Made by remote_kernel.py; supervision.py and startup.py call it.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from remote_kernels import harmless
from remote_kernels.errors import CommandError, JobError
from remote_kernels.front.transcripts import Transcripts
from remote_kernels.records import JobEnd
from remote_kernels.wire import control

from .descriptors import is_exhaustion
from .job import Job
from .lifecycle import Action, Event, State
from .news import News
from .status import KernelStatus

log = harmless.logger(__name__)

STOP_TIMEOUT = 8.0  # seconds for the agent to end its kernels and itself
# Seconds in which a page gets what was said last: once told that the kernel is dead it
# shows no more of it (JupyterLab 4.6), and that comes another way, which is shorter.
LAST_WORDS = 1.0
FAREWELL = 10.0  # seconds for clients to get the last words

STARTUP, WATCH, CLOCK = "startup", "watch", "clock"


class Actions:
    """What the lifecycle demands of one kernel.

    Parameters
    ----------
    status:
        The kernel's.
    on_dead:
        Called when it is dead, unasked, and with its job.
    on_end:
        Called when its job has ended unasked and nothing of it is left here.
    on_left:
        Called when its job has ended unasked, with what pages must still show.
    """

    def __init__(
        self,
        status: KernelStatus,
        on_dead: Callable[[], None],
        on_end: Callable[[], None],
        on_left: Callable[[Transcripts], None] = lambda left: None,
    ) -> None:
        self._status = status
        self._on_dead = on_dead
        self._on_end = on_end
        self._on_left = on_left
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._dealt_with: Job | None = None  # it has ended, or is cancelled
        self._do: dict[Action, Callable[[], Awaitable[None] | None]] = {
            Action.SAY: self._say,
            Action.STOP_AGENT: self._stop_agent,
            Action.END_PROCESS: self._end_process,
            Action.DISCONNECT: self.disconnect,
            Action.CANCEL: self._cancel,
            Action.LEAVE: self._leave,
            Action.SEAL: status.seal,
            Action.REMOVE: self._remove,
            Action.FAREWELL: self.farewell,
            Action.CLOSE: self._close,
        }

    async def carry_out(
        self, event: Event, end: JobEnd | None = None, *, alone: bool = False
    ) -> None:
        """Note an event, and do what has to be done, whatever fails.

        Parameters
        ----------
        event:
            What happened.
        end:
            How the kernel's job ended, where the event is an end.
        alone:
            Whether to stop all tasks before.

        Raises
        ------
        JobError
            When all is done, where a job may be left.
        """
        failed: Exception | None = None
        actions = self._status.move(event, end)
        if alone:
            await self.stop_all()
        for action in actions:
            try:
                if action is Action.NEWS:
                    self._status.tell(News.ENDED, self._status.end_text)
                elif action in self._do:
                    doing = self._do[action]()
                    if doing is not None:
                        await doing
            except Exception as exc:  # noqa: BLE001 - raised when all is done
                failed = failed or exc
        if failed is not None:
            raise failed

    # Tasks

    def run(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a task, instead of the one of that name."""
        self.stop(name)
        task = self._tasks[name] = asyncio.create_task(work)
        return task

    def stop(self, name: str) -> None:
        """Cancel that task, if there is one; it may be the one that asks."""
        task = self._tasks.get(name)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def task(self, name: str) -> asyncio.Task[None] | None:
        """Return the last task of that name, which may be done."""
        return self._tasks.get(name)

    async def stop_all(self) -> None:
        """Cancel all tasks but the one that asks, and await their ends."""
        mine = {*self._tasks.values()} - {asyncio.current_task()}
        for task in mine:
            task.cancel()
        if mine:
            await asyncio.wait(mine)

    # Actions

    def _say(self) -> None:
        """Say the end in the notebook and in the log; then the kernel is dead."""
        status, end = self._status, self._status.end
        assert end is not None
        log.warning("kernel=%s %s", status.kernel_id, end.text)
        self.stop(CLOCK)
        if status.local is not None and not status.local.handed_over:
            status.save_news()  # or who looks hears of the job that we cancel
            status.local.standin.fail(end.text)
            return
        if status.connection is not None:
            status.connection.notice(end.text)
            status.connection.set_exited(end.exit_code or 1, None)
        status.exited(end.exit_code or 1)

    async def _stop_agent(self) -> None:
        """Stop the agent, and with it its job, which need not be cancelled then."""
        if await self._stop():
            self._dealt_with = self._status.job

    async def _end_process(self) -> None:
        job = self._status.job
        if job is not None and job.allocation is not None:
            await self._stop()

    async def _stop(self) -> bool:
        """Stop the agent, or its kernel in a shared job; return whether it ended."""
        connection = self._status.connection
        tunnel = connection.tunnel if connection is not None else None
        if tunnel is not None and tunnel.connected:
            tunnel.send(control.Stop())
            await asyncio.wait((tunnel.ended,), timeout=STOP_TIMEOUT)
        return tunnel is not None and tunnel.ended.done()

    async def disconnect(self) -> None:
        """Close the connection to the agent; kernel and sockets stay."""
        if self._status.local is not None:
            self._status.local.disconnect()
        connection = self._status.connection
        if connection is not None:
            await connection.close()
            self._status.disconnected()

    async def _leave(self) -> None:
        if self._status.job is not None:
            self._status.record.later(self._status.job.leave)
            await self._status.record.written()

    async def _cancel(self) -> None:
        """Cancel the job, or leave it. Raises JobError when it may still be there."""
        status, job = self._status, self._status.job
        if job is None:
            return
        if job is self._dealt_with:
            await self._leave()
            return
        failed = await job.cancel()
        if failed is None:
            self._dealt_with = job
            return
        local = status.local
        if is_exhaustion(failed) and local is not None and await local.cancel_job():
            log.info("job=%s was cancelled by another process", job.id)
            return
        assert job.id is not None
        tried = ""
        silent = isinstance(failed, CommandError) and failed.unanswered
        if silent and local is not None and local.cancel_job_later():
            tried = " That is tried again for four minutes."
        command = shlex.join(job.driver.cancel(job.id).argv)
        msg = (
            f"Job {job.id} could not be cancelled.{tried} It ends without its kernel's "
            f"record, a minute after it has begun; to end it now:\n  {command}\n{failed}"
        )
        raise JobError(msg) from failed

    async def _remove(self) -> None:
        record = self._status.record
        record.later(record.remove)
        await record.written()

    def farewell(self) -> None:
        """Close all on this host in a while: jupyter_server (2.21) does not, after an end."""
        self.run(CLOCK, self._farewell())

    async def _farewell(self) -> None:
        connection = self._status.connection
        if connection is not None and self._status.state is State.ENDING:
            left = connection.leave()
            if left is not None:
                self._on_left(left)
        await asyncio.sleep(LAST_WORDS)
        self._status.exited(1)
        self._status.move(Event.TOLD)
        self._on_dead()
        await asyncio.sleep(FAREWELL)
        self._status.move(Event.CLOSED)
        await self._close()
        self._on_end()

    async def _close(self) -> None:
        """Close and remove all that is ours on this host."""
        await self.stop_all()
        await self.disconnect()
        if self._status.local is not None:
            await self._status.local.close()
            self._status.closed()
        self._status.exited(0)
        await self._status.record.written()
