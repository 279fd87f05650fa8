"""The jobs of one batch system: submit, ask, follow and cancel them.

Rules: a driver, a way to run commands, and one poller; questions about single jobs that
come together become one; a batch system that does not answer says nothing about a job;
a submission is never left half done. `Jobs` belongs to one event loop; kernel/ has one
for all kernels of a process.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import replace
from typing import TypeVar

from remote_kernels import harmless
from remote_kernels.errors import CommandError, ConfigError, ControllerError

from . import command
from .driver import Clusters, Driver, Ends, Extends, Limits, Preflight
from .drivers import environment
from .job import (
    OUR_NAME,
    SUBMITTED,
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
    Query,
    Submission,
    login_name,
)
from .listing import Listing
from .poller import Poller
from .submission import Submitting

log = harmless.logger(__name__)

T = TypeVar("T")
Run = Callable[..., Awaitable[Completed]]

GATHER = 0.2  # seconds in which questions about single jobs come together
_ENDED_TIMEOUT = 20.0  # seconds; an accounting database may be down
_SAME_START = 2.0  # seconds by which two who tell when a job started may differ
_CANCEL_PAUSES = (1.0, 2.0, 4.0, 8.0)
_CANCEL_PATIENCE = 20.0  # seconds; scancel alone takes 10 s until it gives up


class Jobs:
    """All the jobs of one batch system, as one process sees them.

    Parameters
    ----------
    driver : Driver
        The batch system.
    run : Run
        `command.run`, or the like on another host.
    environ : mapping or None
        What the commands get; what `drivers.environment` leaves of the server's by
        default. A job gets its own.
    poll_interval : float
        Seconds; those who watch may raise it, not lower it.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        run: Run = command.run,
        environ: Mapping[str, str] | None = None,
        poll_interval: float = 2.0,
    ) -> None:
        self.driver = driver
        self._runner = run
        self._environ = environ
        self._poller = poller = Poller(driver, self.statuses, self.ask, poll_interval)
        self.listed, self.wait_ended = poller.listed, poller.wait_ended
        self.listing = Listing(self)
        self._cluster: str | None = None
        self._seen: dict[JobId, JobStatus] = {}  # those that live, as they were last
        self._gone: dict[JobId, float] = {}  # when they were missed first
        self._limits: dict[JobId, float | None] = {}  # of queues, for their jobs
        self._gathered: dict[JobId, asyncio.Future[JobStatus]] = {}
        self._asker: asyncio.Future[None] | None = None

    @property
    def poll_interval(self) -> float:
        """Least time between two questions, in seconds."""
        return self._poller.poll_interval

    @property
    def is_silent(self) -> bool:
        """Whether the batch system did not answer when it was last asked for jobs."""
        return self._poller.is_silent

    def ask_no_more_than_every(self, seconds: float) -> None:
        """Poll as seldom as anybody asks for."""
        self._poller.poll_interval = max(self._poller.poll_interval, seconds)

    # --- submit ---------------------------------------------------------------------

    async def prepare(self, request: JobRequest) -> JobRequest:
        """Return the request as the batch system's answers make it; else ConfigError."""
        if not isinstance(self.driver, Preflight):
            return request
        answers = [await self.ask(each) for each in self.driver.questions(request)]
        return self.driver.prepared(request, answers)

    async def submit(
        self,
        script: str,
        request: JobRequest,
        environ: Mapping[str, str] | None = None,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> JobId:
        """Submit a job, which gets `environ`; return its ID. SubmitError if there is none.

        `on_notice` is called with what the site says besides of a job that was taken.
        Cancelled half way, it cancels the job, then lets the cancellation pass.
        """
        way = self.driver.submission(request, script)
        return await self._submit(Submitting(self, way, request, environ, on_notice))

    async def submit_own(
        self,
        way: Submission,
        request: JobRequest,
        environ: Mapping[str, str] | None = None,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> JobId:
        """Submit a job of which others may have the name, in the way of its driver.

        As `submit`; but where no number was told it is not looked for, or ended, by its
        name.
        """
        submitting = Submitting(
            self, way, request, environ, on_notice, has_own_name=False
        )
        return await self._submit(submitting)

    async def _submit(self, submitting: Submitting) -> JobId:
        job_id = await submitting.job_id()
        self.lived(job_id)
        self.listing.is_old()
        return job_id

    # --- one question ---------------------------------------------------------------

    async def ask(self, query: Query[T], timeout: float = 60.0) -> T:
        """Return what a command says. CommandError if it does not."""
        return query.answer(await self.run(query.argv, timeout=timeout))

    async def status(self, job_id: JobId) -> JobStatus:
        """Return the job's state now. ControllerError if the batch system does not answer.

        One query answers all who ask within GATHER seconds.
        """
        if not self._gathered:
            self._asker = asyncio.ensure_future(self._ask_for_gathered())
        waiting = self._gathered.get(job_id)
        if waiting is None:
            waiting = asyncio.get_running_loop().create_future()
            self._gathered[job_id] = waiting
        return await asyncio.shield(waiting)

    async def _ask_for_gathered(self) -> None:
        await asyncio.sleep(GATHER)
        asked, self._gathered = self._gathered, {}
        try:
            found = await self.statuses(list(asked))
        except Exception as error:  # noqa: BLE001 -- handed to all who asked
            for waiting in asked.values():
                waiting.set_exception(error)
                waiting.exception()  # who asked may have gone
        else:
            for job_id, waiting in asked.items():
                waiting.set_result(found[job_id])

    async def statuses(self, job_ids: Sequence[JobId]) -> dict[JobId, JobStatus]:
        """Return these jobs now; those that the batch system lost are ENDED, UNKNOWN.

        ControllerError if it does not answer.
        """
        rows: dict[JobId, JobStatus] = {}
        for query in self.driver.status(job_ids):
            rows.update(await self.ask(query))
        found = {
            job_id: await self._settled(job_id, rows.get(job_id)) for job_id in job_ids
        }
        if isinstance(self.driver, Limits):
            await self._ask_for_limits(self.driver, found.values())
        return {job_id: self._limited(status) for job_id, status in found.items()}

    async def _ask_for_limits(self, driver: Limits, found: Iterable[JobStatus]) -> None:
        """Ask for the limits of queues, once for each job that has none of its own."""
        new = {
            each.job_id: each.queue
            for each in found
            if each.phase is Phase.RUNNING
            and each.end_time is None
            and each.queue
            and each.job_id not in self._limits
        }
        if not new:
            return
        told: Mapping[str, float] = {}
        try:
            told = await self.ask(driver.limits([*dict.fromkeys(new.values())]))
        except ControllerError as error:
            log.info("limits of queues are asked for again: %s", error)
            return
        except CommandError as error:
            log.info("limits of queues are not known: %s", error)
        self._limits.update({job_id: told.get(queue) for job_id, queue in new.items()})

    def _limited(self, status: JobStatus) -> JobStatus:
        """Return it with the end that its queue sets, if it is known to be that."""
        limit, start = self._limits.get(status.job_id), status.start_time
        if limit is None or start is None or status.end_time is not None:
            return status
        return replace(status, end_time=start + limit)

    async def _settled(self, job_id: JobId, row: JobStatus | None) -> JobStatus:
        """How it ended, for a job that has: the list of jobs has no exit codes."""
        if row is not None and row.phase is not Phase.ENDED:
            self._seen[job_id] = row
            return row
        found = row or JobStatus(job_id, Phase.ENDED, "UNKNOWN", vague=True)
        if isinstance(self.driver, Ends):
            found = await self._told_end(self.driver, job_id, found)
        if found.phase is Phase.ENDED:
            self._seen.pop(job_id, None)
            self._gone.pop(job_id, None)
            self._limits.pop(job_id, None)
        return found

    async def _told_end(
        self, driver: Ends, job_id: JobId, found: JobStatus
    ) -> JobStatus:
        """Return the end that somebody tells of; ENDING while the news may be late."""
        found = await self._account(driver, job_id, found)
        seen = self._seen.get(job_id)
        if found.vague and seen is not None and found.start_time is not None:
            # An end of what we saw, not of what ran inside, or had its number before.
            began = seen.start_time if seen.phase is not Phase.PENDING else None
            same = abs((began or 0) - found.start_time) <= _SAME_START
            found = replace(found, vague=not same)
        if found.vague and seen is not None and self._is_early(driver, job_id):
            return replace(seen, phase=Phase.ENDING)
        return found

    def _is_early(self, driver: Ends, job_id: JobId) -> bool:
        """Whether who tells how jobs ended may not have heard of this one's end yet."""
        now = asyncio.get_running_loop().time()
        return now - self._gone.setdefault(job_id, now) < driver.late

    async def _account(
        self, driver: Ends, job_id: JobId, found: JobStatus
    ) -> JobStatus:
        """Ask one after the other how it ended, until one knows."""
        for query in driver.ended(job_id):
            try:
                said = await self.ask(query, _ENDED_TIMEOUT)
            except ControllerError:
                raise
            except CommandError as error:
                log.debug("job=%s %s", job_id, error)
                continue  # it may not be installed
            if said is not None:
                found = said
            if not found.vague:
                break
        return found

    async def own(self) -> list[JobStatus]:
        """Return this user's live jobs with names of ours. ControllerError: no answer."""
        every = await self._all(self.driver.own(login_name()))
        return [status for status in every if OUR_NAME.fullmatch(status.name)]

    async def every(self) -> list[JobStatus]:
        """Return this user's live jobs, all of them. ControllerError: no answer."""
        return await self._all(self.driver.every(login_name()))

    async def _all(self, queries: Iterable[Query[list[T]]]) -> list[T]:
        return [each for query in queries for each in await self.ask(query)]

    def lived(self, job_id: JobId, status: JobStatus | None = None) -> None:
        """Take note that a job was there when it was last looked at, perhaps like this.

        So that news of its end that may be late is waited for.
        """
        if status is not None:
            self._seen[job_id] = status
        else:
            new = JobStatus(job_id, Phase.PENDING, SUBMITTED)
            self._seen.setdefault(job_id, new)

    async def cluster(self) -> str | None:
        """Return the name of the cluster that we submit to; None while nobody tells."""
        if self._cluster is None and isinstance(self.driver, Clusters):
            try:
                self._cluster = await self.ask(self.driver.cluster())
            except CommandError as error:
                log.info("the cluster's name is not known: %s", error)
        return self._cluster

    async def extend(self, job_id: JobId, minutes: int) -> None:
        """Move the job's time limit. CommandError with the batch system's own words.

        ConfigError where jobs have none, DeniedError where this user may not.
        """
        if not isinstance(self.driver, Extends):
            msg = (
                f"{self.driver.title} cannot move a running job's time limit. Ask for a "
                "longer 'time' when the kernel's next job starts."
            )
            if self.driver.is_fallback:
                msg = f"A job of scheduler '{self.driver.name}' has no time limit."
            raise ConfigError(msg)
        await self.ask(self.driver.extend(job_id, minutes))

    async def cancel(self, job_id: JobId, *, asks_how: bool = False) -> None:
        """End the job; no error if it has ended. Tries again while nobody answers.

        Not for long: a person waits for that. Late news of its end is not waited for,
        as who cancels knows it, unless somebody `asks_how`.
        """
        query = self.driver.cancel(job_id)
        if job_id in self._seen and not asks_how:
            self._gone[job_id] = float("-inf")  # how it ends is known
        loop = asyncio.get_running_loop()
        end = loop.time() + _CANCEL_PATIENCE
        for pause in (*_CANCEL_PAUSES, None):
            try:
                await self.ask(query)
                break
            except CommandError as error:
                if pause is None or loop.time() + pause > end or not error.unanswered:
                    raise
                log.info("job=%s cancel is tried again: %s", job_id, error)
            await asyncio.sleep(pause)
        self._poller.look_now()
        self.listing.is_old()

    async def run(
        self,
        argv: Sequence[str],
        *,
        input: str = "",
        timeout: float = 60.0,
        environ: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        """Run a command of the batch system's; with `environ` for a job."""
        environ = environ or self._environ
        if environ is None:
            environ = environment(self.driver, os.environ)
        place = {} if cwd is None else {"cwd": cwd}
        return await self._runner(
            argv, input=input, env=environ, timeout=timeout, **place
        )

    def watch(self, job_id: JobId) -> AsyncGenerator[JobStatus, None]:
        """Yield the job's status now and at every change; the last one is ENDED.

        To be closed (contextlib.aclosing) where it is left early.
        """
        return self._poller.watch(job_id)
