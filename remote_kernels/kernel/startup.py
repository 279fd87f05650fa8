"""A kernel's start: its job's submission, and all until it answers its clients.

Until then its stand-in answers, and says below their cells how the job stands; if the
kernel does not come, it says why. Made by remote_kernel.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from remote_kernels import harmless
from remote_kernels.causes import EndCause
from remote_kernels.errors import (
    ChoiceError,
    CommandError,
    JobError,
    RecordError,
    RemoteKernelError,
    TunnelError,
)
from remote_kernels.records import NOT_STARTED, JobEnd, KernelInfoCache
from remote_kernels.scheduler.job import JobStatus, Phase

from .actions import CLOCK, STARTUP, WATCH, Actions
from .connector import Connector
from .descriptors import check_room
from .job import Job
from .job_choice import choose_job
from .job_end import end_of
from .launch import Launch, ProcessSpec
from .lifecycle import Event
from .news import News
from .previous_kernel import previous_kernel
from .previous_owner import PreviousOwner
from .queue_display import Introduction, OnProgress, introduce, queue_display
from .runtime import Runtime
from .shared_job import job_for
from .status import KernelStatus
from .supervision import Supervision

log = harmless.logger(__name__)

ENDS = 20.0  # seconds for the scheduler to say how a job that is ending ended


@dataclass
class Startup:
    """The start of one kernel.

    Parameters
    ----------
    runtime:
        This process's.
    status, actions, supervision:
        The kernel's.
    on_progress:
        Called with how the job stands, by line.
    """

    runtime: Runtime
    status: KernelStatus
    actions: Actions
    supervision: Supervision
    on_progress: OnProgress
    _launch: Launch | None = field(default=None, init=False)  # while one must choose

    # Its job

    async def _submit(self, launch: Launch) -> tuple[Job, ProcessSpec]:
        """Submit a job. What can be wrong with it is looked for before."""
        status, settings = self.status, self.status.settings
        check_room()
        job = job_for(self.runtime, settings, status.record, settings.allocation)
        status.begin(job, launch.env.get("JPY_SESSION_NAME", ""))
        worker = status.record.worker
        await worker.run(status.record.create)
        await status.here.start_watchdog(job)
        if status.previous_kernel is None:
            look = partial(previous_kernel, status.record.base, status.notebook)
            status.follows(await worker.run(look))
        status.mark("submitting")
        process = launch.process(settings)
        await status.write_spec(process)
        await job.submit(launch)
        if status.take_secret(await worker.run(lambda: job.secret)):
            await status.write_spec(process)
        status.mark("submitted")
        await status.save()
        status.save_sessions()
        if status.outlives:
            status.here.outlive_server()
        status.happened(Event.SUBMITTED)
        return job, process

    async def begin(self, launch: Launch, *, wait: bool) -> dict[str, Any]:
        """Submit a job, and return Jupyter's connection info; see RemoteKernel.start."""
        try:
            job, process = await self._submit(launch)
        except ChoiceError as exc:
            if wait:
                raise
            return self._ask_first(launch, exc)
        return await self._follow(job, process, wait=wait)

    async def _follow(
        self, job: Job, process: ProcessSpec, *, wait: bool = False, take: bool = True
    ) -> dict[str, Any]:
        """Open sockets; the stand-in answers there until the kernel is there.

        Parameters
        ----------
        job:
            What is waited for.
        process:
            What is to start.
        wait:
            Whether to return when the kernel answers. Who waits asks nothing before.
        take:
            Whether to take the kernel from a server that has it.
        """
        info = self.status.here.open(process.key)
        self.status.lives()
        run = self._run if wait else self._run_and_tell
        task = self.actions.run(STARTUP, run(job, process, take=take))
        if wait:
            await task
        return info

    async def again(self, launch: Launch) -> dict[str, Any]:
        """Submit a new job for a kernel that did not start. Raises RemoteKernelError."""
        try:
            await self.actions.carry_out(Event.RESTART, alone=True)
        except JobError as exc:  # it has ended, or does so without its record
            log.warning("kernel=%s %s", self.status.kernel_id, exc)
        try:
            job, process = await self._submit(launch)
            return await self._follow(job, process)
        except (OSError, RecordError) as exc:
            raise JobError(str(exc)) from exc

    async def adopt(self, job: Job, before: PreviousOwner) -> dict[str, Any]:
        """Wait for a kernel for which another process has waited so far."""
        before.refuse_if_it_waits()
        self.status.happened(Event.ADOPTED)
        info = await self._follow(job, before.process, take=False)
        record = self.status.record
        held = await record.worker.run(record.held.read)
        self.status.here.standin.restore(held)
        before.clear_away()
        self.status.save_news()
        return info

    # There is no job before a person has chosen one

    def _ask_first(self, launch: Launch, choice: ChoiceError) -> dict[str, Any]:
        self.status.record.worker.post(self.status.record.remove)
        self.status.happened(Event.CHOOSE)
        self.choose_for(launch)
        self.actions.run(STARTUP, self._choose(choice))
        return self.status.here.open(launch.key)

    def choose_for(self, launch: Launch) -> None:
        """Start this, once somebody has chosen a job."""
        self._launch = launch
        self.status.lives()

    async def _choose(self, choice: ChoiceError) -> None:
        assert self._launch is not None
        status = self.status
        about = self._introduction(self._launch.process(status.settings), probe=True)
        try:
            value = await choose_job(status.here.standin, choice, about)
            status.choose(choice.option, value)
            job, process = await self._submit(self._launch)
        except Exception as exc:  # noqa: BLE001 - nobody awaits it
            await self._failed(str(exc) or repr(exc))
            return
        await self._run_and_tell(job, process)

    # Until the kernel answers

    def _introduction(self, process: ProcessSpec, *, probe: bool) -> Introduction:
        """`probe`: try on this host what kernel it is, if nobody knows."""
        settings = self.status.settings
        command = (*settings.prologue, *process.argv)
        known = KernelInfoCache(self.status.record.base, command)
        tried = probe and not (settings.prologue or settings.prefix)
        here = self.status.here
        to_try = process if tried else None
        return partial(introduce, known, to_try, here.standin, here.directory)

    async def _run(
        self, job: Job, process: ProcessSpec, *, take: bool = True, probe: bool = False
    ) -> None:
        """Return once the kernel answers. Raises RemoteKernelError."""
        status, supervision = self.status, self.supervision
        introduction = self._introduction(process, probe=probe)
        async with queue_display(status, introduction, self.on_progress):
            agent = await job.agent(self._waits)
            status.reported(str(agent["node"]))
            connection = await supervision.connect(agent, process)
            connector = Connector(status, job, agent, connection)
            try:
                supervision.reached(job, await connector.open(take=take))
            except TunnelError as exc:
                end = await self._end_of_job(job)
                raise (JobError(end.text) if end is not None else exc) from exc
            connection.expect(1)
            await supervision.await_running(connection, status.settings.start_timeout)
            status.mark("kernel")
            if status.previous_kernel is not None:
                connection.notice(status.previous_kernel.text)
                told = partial(status.previous_kernel.note_told, status.kernel_id)
                status.record.worker.post(told)
                status.follows(None)
            await supervision.serve()

    async def _end_of_job(self, job: Job) -> JobEnd | None:
        """Return the end of a job whose agent is not reached, if it is near or past."""
        try:
            found = await job.ask()
            if found.phase not in (Phase.ENDING, Phase.ENDED):
                return None
            ended = await job.ended(ENDS)
        except CommandError:
            return None
        end = await job.end("", ended)
        self.status.move(Event.JOB_ENDED, end)
        return end

    def _waits(self, found: JobStatus) -> None:
        status = self.status
        log.info("kernel=%s job=%s %s", status.kernel_id, status.job_id, found.state)
        if found.phase is Phase.RUNNING:
            status.happened(Event.JOB_RUNS)
        elif found.phase is Phase.PENDING:
            status.tell(News.PENDING, found.reason)

    async def _run_and_tell(
        self, job: Job, process: ProcessSpec, *, take: bool = True
    ) -> None:
        """Run, unawaited, and tell those who wait for the kernel what went wrong.

        And what the site said of the job: a program that awaits it has that in its log.
        """
        try:
            await self._run(job, process, take=take, probe=True)
            if job.notice and self.status.connection is not None:
                self.status.connection.notice(f"The site says: {job.notice}")
        except RemoteKernelError as exc:
            await self._failed(str(exc))
        except Exception as exc:
            log.exception("kernel=%s did not start", self.status.kernel_id)
            await self._failed(repr(exc))

    async def _failed(self, why: str) -> None:
        """Note that it did not start; the stand-in stays, to say so."""
        self.actions.stop(WATCH)
        self.actions.stop(CLOCK)
        try:
            await self.actions.carry_out(Event.FAILED, self._end(why))
        except JobError as exc:
            log.warning("kernel=%s %s", self.status.kernel_id, exc)

    def _end(self, why: str) -> JobEnd:
        """Return the job's end, if it was that which the kernel did not survive."""
        job = self.status.job
        found = job.status if job is not None else None
        if job is not None and found is not None and found.phase is Phase.ENDED:
            return end_of(job.driver, found, why)
        return JobEnd(NOT_STARTED, text=why, cause=EndCause.START)
