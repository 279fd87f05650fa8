"""From submission until the agent reports: follow the job, and look for its file.

The job's own word comes first (agent.json in the record); the scheduler is asked
besides, batched and backing off, because it alone knows why a job does not start.
Called by job.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from remote_kernels.bounded import first_of
from remote_kernels.config import Settings
from remote_kernels.errors import AgentError, JobError, RecordError
from remote_kernels.records import Directory, is_passing, tell_once
from remote_kernels.scheduler import script
from remote_kernels.scheduler.job import JobId, JobStatus, Phase
from remote_kernels.scheduler.jobs import Jobs

FIRST_LOOK = 0.02  # seconds between looks for the agent's file, growing to
LAST_LOOK = 0.5  # seconds


@dataclass
class Waiting:
    """The wait for one job's agent.

    Parameters
    ----------
    job_id:
        The job.
    jobs:
        Those of its batch system.
    record:
        Where its agent will report.
    settings:
        For queue_timeout and start_timeout.
    on_status:
        Called with each change of the job.
    """

    job_id: JobId
    jobs: Jobs
    record: Directory
    settings: Settings
    on_status: Callable[[JobStatus], None]
    _running: bool = field(default=False, init=False)
    _deadline: float | None = field(default=None, init=False)  # loop time

    async def agent(self) -> dict[str, Any]:
        """Return what the agent writes of itself, once it has; see `Job.agent`."""
        self._deadline = _after(self.settings.queue_timeout)
        agent: dict[str, Any] = await first_of(
            self._look_for_agent(), self._watch_start()
        )
        if "error" in agent:
            msg = f"The agent could not start on the node: {agent['error']}"
            raise AgentError(msg)
        return agent

    async def _look_for_agent(self) -> dict[str, Any]:
        delay = FIRST_LOOK
        while True:
            agent = await self.record.worker.run(self._agent)
            if agent is not None:
                return agent
            if self._deadline is not None and _now() > self._deadline:
                raise JobError(await self.record.worker.run(self._too_late))
            await asyncio.sleep(delay)
            delay = min(delay * 1.05, LAST_LOOK)

    def _agent(self) -> dict[str, Any] | None:
        """Return what it has written, if that can be seen. Raises RecordError."""
        try:
            return self.record.read("agent.json")
        except RecordError as exc:
            if not is_passing(exc):
                raise
            tell_once(exc)
            return None

    def _too_late(self) -> str:
        if self.settings.queue_timeout is not None and not self._running:
            return (
                f"Job {self.job_id} did not start within queue_timeout "
                f"({self.settings.queue_timeout:g} s); it was cancelled."
            )
        why = script.explain_silence(**self._seen())
        text = (
            f"Job {self.job_id} has been running for start_timeout "
            f"({self.settings.start_timeout:g} s), but its agent has not reported in "
            f"{self.record.path}; the job was cancelled. A slow file system or "
            "prologue needs a longer start_timeout; a state_dir that the node does "
            "not share would never work."
        )
        return "\n".join(filter(None, (text, why, self.record.logs())))

    async def _watch_start(self) -> Any:
        """Follow the job; ends only by raising why there will be no agent."""
        async for status in self.jobs.watch(self.job_id):
            self.on_status(status)
            if status.phase is Phase.RUNNING and not self._running:
                self._running = True
                self._deadline = _after(self.settings.start_timeout)
            never = self.jobs.driver.never(status, self.settings.options)
            if never:
                msg = f"Job {self.job_id} was cancelled. {never}"
                raise JobError(msg)
            if status.phase is Phase.ENDED:
                early = partial(self._ended_early, status)
                raise JobError(await self.record.worker.run(early))

    def _seen(self) -> dict[str, bool]:
        """Return whether the job's script has begun, and whether in a login shell."""
        login = bool(self.settings.prologue) or self.jobs.driver.is_login
        return {"began": self.record.has(script.BEGAN), "login": login}

    def _ended_early(self, status: JobStatus) -> str:
        ours = script.explain_exit(status.exit_code or 0)
        if ours is None and status.by_itself and not status.signal:
            ours = script.explain_end(**self._seen())
        text = ours or self.jobs.driver.ended_text(status)
        where = f" on {status.node}" if status.node else ""
        how = status.state
        if status.exit_code is not None:
            how += f", exit code {status.exit_code}"
        return (
            f"Job {self.job_id} ended{where} before its kernel was ready ({how}).\n{text}\n"
            f"{self.record.logs()}"
        ).rstrip()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _after(seconds: float | None) -> float | None:
    return None if seconds is None else _now() + seconds
