"""One kernel's batch job: submit it, wait for its agent, learn how it ended.

Made by startup.py and remote_kernel.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from remote_kernels import bundle, harmless
from remote_kernels.config import Settings, no_carrier
from remote_kernels.errors import ConfigError, RemoteKernelError
from remote_kernels.records import TAKEN, Directory, JobEnd, Record
from remote_kernels.scheduler import script
from remote_kernels.scheduler.driver import Driver
from remote_kernels.scheduler.drivers import environment
from remote_kernels.scheduler.job import JobId, JobRequest, JobStatus, Phase

from .job_end import end_of
from .launch import Launch
from .runtime import Runtime
from .waiting import Waiting

log = harmless.logger(__name__)

CANCEL_TIMEOUT = 8.0  # seconds for a cancelled job to end


class Job:
    """The batch job of one kernel.

    Parameters
    ----------
    runtime:
        This process's.
    settings:
        The kernelspec's config.
    record:
        The kernel's record.

    Attributes
    ----------
    place:
        The record that is the job's.
    name:
        The job's name in the scheduler's lists.
    allocation:
        The name of the allocation that other kernels may share, if there is one.
    traces:
        Files and directories that go with this kernel.

    Raises
    ------
    ConfigError
        This machine cannot submit such a job.
    """

    ended_itself = "It ended: {}."  # for a reason that its agent has told

    def __init__(self, runtime: Runtime, settings: Settings, record: Record) -> None:
        self.runtime = runtime
        self._settings = settings
        self._record = record
        self.place: Directory = record
        self.name = name_of(record.kernel_id)
        self.allocation: str | None = None
        self.traces = [record.path]
        self.id: JobId | None = None
        self.notice = ""  # what the site said when it took the job
        self.cluster: str | None = None
        self.status: JobStatus | None = None  # the scheduler's last word while we wait
        self.suspended: JobStatus | None = None  # the same, while it says just that
        self._on_heard: Callable[[], None] = lambda: None
        self.driver = settings.driver
        self._check()
        self.env = environment(self.driver, os.environ, settings.env_keep)
        self.jobs = runtime.jobs(self.driver, settings.poll_interval)

    def _check(self) -> None:
        check_is_here(self.driver)
        wrong = no_carrier(self._settings.carrier, self.driver)
        if wrong:
            raise ConfigError(wrong)

    @property
    def secret(self) -> bytes | None:
        """The job's secret, if it has one that is not this kernel's own."""
        return None

    @property
    def cancel_argv(self) -> list[str]:
        """A command that cancels it by its name, be it submitted or not."""
        return self.driver.cancel_by_name(self._request())

    def _request(self) -> JobRequest:
        return JobRequest(
            name=self.name,
            output=str(self.place.job_log),
            options=self._settings.options,
            user=str(os.getuid()),
            login=bool(self._settings.prologue),
        )

    async def submit(self, launch: Launch) -> None:
        """Submit the job.

        Raises
        ------
        SubmitError
            The scheduler refuses it.
        ControllerError
            The scheduler does not answer.
        """
        request = await self.jobs.prepare(self._request())
        text = self._script(launch, self.driver.script_head(request))
        self.cluster = await self.jobs.cluster()
        self.id = await self.jobs.submit(text, request, self.env, self._note_notice)
        log.info("kernel=%s job=%s submitted", self._record.kernel_id, self.id)

    def _note_notice(self, text: str) -> None:
        """Keep what the site says of this job, unless it said just that before."""
        if text not in self.runtime.notices:
            self.runtime.notices.add(text)
            self.notice = text
            log.warning("the site says: %s", text)

    def _script(self, launch: Launch, head: str) -> str:
        settings = self._settings
        return script.build(
            record_dir=str(self.place.path),
            agent=bundle.agent_pyz(),
            python=settings.python,
            kernel_python=launch.interpreter,
            prologue=settings.prologue,
            node_dir=settings.node_dir,
            head=head,
        )

    async def agent(self, on_status: Callable[[JobStatus], None]) -> dict[str, Any]:
        """Return what the agent writes of itself, once it has.

        Raises
        ------
        JobError
            The job ended, or will not start in time.
        AgentError
            The agent cannot start on its node.
        """
        return await self._reported(self.place, on_status)

    async def _reported(
        self, record: Directory, on_status: Callable[[JobStatus], None]
    ) -> dict[str, Any]:
        assert self.id is not None

        def heard(status: JobStatus) -> None:
            self.status = status
            self._on_heard()
            on_status(status)

        waiting = Waiting(self.id, self.jobs, record, self._settings, heard)
        return await waiting.agent()

    async def ask(self) -> JobStatus:
        """Return the scheduler's word now.

        Raises
        ------
        ControllerError
            It does not answer.
        """
        assert self.id is not None
        self.status = await self.jobs.status(self.id)
        self._on_heard()
        return self.status

    def tell(self, on_heard: Callable[[], None]) -> None:
        """Call this from now on when the scheduler has said how it is."""
        self._on_heard = on_heard

    @property
    def is_unanswered(self) -> bool:
        """Whether the scheduler did not answer when it was last asked for jobs."""
        return self.jobs.is_silent

    async def ended(self, timeout: float = 1e9) -> JobStatus | None:
        """Return how the job ended, once it has; None after so many seconds.

        While this waits, `suspended` is known.
        """
        assert self.id is not None

        def heard(status: JobStatus) -> None:
            self.suspended = status if status.phase is Phase.SUSPENDED else None
            self._on_heard()

        try:
            return await self.jobs.wait_ended(self.id, timeout, heard)
        finally:
            self.suspended = None  # nobody would hear that it goes on

    def why_ended(self, reason: str, status: JobStatus | None) -> str:
        """Return why the job ended: the agent's own word first, then the scheduler's.

        Parameters
        ----------
        reason:
            What ended the session with the agent, if that is known.
        status:
            The scheduler's last word, if it answered.
        """
        own = self._record.last_word()
        if own is not None:
            return self.ended_itself.format(own)
        if status is None:
            return f"Its agent ended ({reason}), and the scheduler does not say why."
        ours = script.explain_exit(status.exit_code or 0)
        return ours or self.driver.ended_text(status)

    async def end(self, reason: str, status: JobStatus | None) -> JobEnd:
        """Return how it ended, with a text that names it; see `why_ended`."""
        why = await self._record.worker.run(partial(self.why_ended, reason, status))
        end = end_of(self.driver, status, why)
        word = f" ({end.word})" if end.is_schedulers else ""
        return replace(end, text=f"Job {self.id}{word}: {why}")

    def taken(self, why: str) -> JobEnd:
        """Return the end that it is for this process when another has the kernel."""
        return JobEnd(TAKEN, text=f"Job {self.id}: {why}")

    def resume(self, job_id: JobId, cluster: str | None) -> None:
        """Continue with a job that another process submitted."""
        self.id, self.cluster = job_id, cluster

    def leave(self) -> None:
        """Leave a job in which there may be other kernels; this one has ended."""

    async def cancel(self) -> RemoteKernelError | None:
        """Cancel it, and wait a while for its end; why that could not be done."""
        if self.id is None:
            return None
        try:
            await self.jobs.cancel(self.id)
            await self.jobs.wait_ended(self.id, CANCEL_TIMEOUT)
        except RemoteKernelError as exc:
            log.warning("job=%s could not be cancelled: %s", self.id, exc)
            return exc
        return None


def check_is_here(driver: Driver) -> None:
    """Raise ConfigError where that batch system's commands are not on PATH."""
    if not driver.is_here(os.environ):
        msg = (
            f"There is no {driver.command} on PATH of this server, so no job can be "
            f"submitted (scheduler: {driver.name}).\n"
            "Start the notebook server on a login node of the cluster, or load the "
            "scheduler's module before; without a batch system, choose a kernel "
            'with "scheduler": "local".\n'
            f"PATH: {os.environ.get('PATH', '')}"
        )
        raise ConfigError(msg)


def id_in(facts: Mapping[str, Any]) -> JobId:
    """Return the ID of the job that a `record.json` names."""
    return JobId(str(facts["job_id"]), str(facts.get("job_where") or ""))


def as_facts(job_id: JobId | None) -> dict[str, str | None]:
    """Return a job's ID as a `record.json` names it."""
    if job_id is None:
        return {"job_id": None}
    return {"job_id": job_id.number, "job_where": job_id.where}


def name_of(kernel_id: str) -> str:
    """Return the job's name in the scheduler's lists."""
    return f"jupyter-{kernel_id[:8]}"
