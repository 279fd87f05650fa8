"""Submit, watch and cancel jobs: a driver, a way to run commands, and one poller.

Rules: one query serves all jobs that are watched, backs off while nothing changes,
and never is more frequent than `poll_interval`; questions about single jobs that
come together become one; a scheduler that does not answer says nothing about a job;
a submission is never left half done. A Queue belongs to one event loop; `shared`
gives all kernels of a process the same. Called by the kernel's story.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import random
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from remote_kernels import harmless
from remote_kernels.bounded import within
from remote_kernels.errors import CommandError, ConfigError
from remote_kernels.scheduler import command
from remote_kernels.scheduler.base import (
    Completed,
    Driver,
    JobRequest,
    JobStatus,
    Phase,
)
from remote_kernels.scheduler.submission import Submission

log = harmless.logger(__name__)

Run = Callable[..., Awaitable[Completed]]
_Updates = asyncio.Queue[JobStatus | Exception]

SLOWEST = 60.0  # seconds between two queries while nothing changes
GATHER = 0.2  # seconds in which questions about single jobs come together
PLACES = 300.0  # seconds between two looks at the whole queue, which may be long
PLACES_AFTER = 20.0  # seconds that a job must have waited for that
_GROWTH = 1.5
_NAME_TIMEOUT = 30.0
_ENDED_TIMEOUT = 20.0  # seconds; an accounting database may be down
_CANCEL_PAUSES = (1.0, 2.0, 4.0, 8.0)


@dataclass
class _Watched:
    """One job that somebody watches."""

    updates: list[_Updates] = field(default_factory=list)
    last: JobStatus | None = None
    since: float = 0.0
    begun: float = field(default_factory=lambda: _now())


class Queue:
    """All the jobs of one scheduler, as one process sees them.

    `environ` is what the commands get: `driver.environment(...)` of the server's by
    default; a job gets its own. `run` is `command.run`, or the like on another host.
    `poll_interval` is in seconds; those who watch may raise it, not lower it.
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
        self.poll_interval = poll_interval
        self._runner = run
        self._environ = environ
        self._watched: dict[str, _Watched] = {}
        self._poller: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._silent = False
        self._cluster: str | None = None
        self._asked = float("-inf")
        self._places: dict[str, int] = {}
        self._places_asked = float("-inf")
        self._gathered: dict[str, asyncio.Future[JobStatus]] = {}

    # --- submit ---------------------------------------------------------------------

    async def prepare(self, request: JobRequest) -> JobRequest:
        """As the scheduler's answers make it. ConfigError if it can't be submitted."""
        questions = self.driver.questions(request)
        answers = [await self._run(argv) for argv in questions]
        return self.driver.answered(request, answers)

    async def submit(
        self,
        script: str,
        request: JobRequest,
        environ: Mapping[str, str] | None = None,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> str:
        """The id of the new job, which gets `environ`; SubmitError if there is none.

        `on_notice` is called with what the site says besides of a job that was taken.
        Cancelled half way, it cancels the job, then lets the cancellation pass.
        """
        ways = self.driver, self._run, self.cancel, self._cancel_name, self.own
        return await Submission(*ways, script, request, environ, on_notice).job_id()

    # --- one question ---------------------------------------------------------------

    async def status(self, job_id: str) -> JobStatus:
        """The job's state now. ControllerError if the scheduler does not answer.

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
            found = await self._query(list(asked))
        except Exception as error:  # noqa: BLE001 -- handed to all who asked
            for waiting in asked.values():
                waiting.set_exception(error)
                waiting.exception()  # who asked may have gone
        else:
            for job_id, waiting in asked.items():
                waiting.set_result(found[job_id])

    async def statuses(self, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        """Their states now. ControllerError if the scheduler does not answer."""
        return await self._query(job_ids)

    async def own(self) -> list[tuple[str, JobStatus]]:
        """This user's live jobs with names of ours. ControllerError if none answers."""
        done = await self._run(self.driver.own_argv(_user()))
        return self.driver.parse_own(done)

    async def cluster(self) -> str | None:
        """The name of the cluster that we submit to; None while nobody tells."""
        if self._cluster is None:
            try:
                done = await self._run(self.driver.cluster_argv())
            except CommandError as error:
                log.info("the cluster's name is not known: %s", error)
            else:
                self._cluster = self.driver.parse_cluster(done)
        return self._cluster

    async def extend(self, job_id: str, minutes: int) -> None:
        """Move the job's time limit. CommandError with the scheduler's own words.

        ConfigError where jobs have none.
        """
        argv = self.driver.extend_argv(job_id, minutes)
        if not argv:
            msg = f"A job of scheduler '{self.driver.name}' has no time limit."
            raise ConfigError(msg)
        done = await self._run(argv)
        if done.returncode != 0:
            summary = f"The time limit of job {job_id} was not moved."
            raise CommandError(
                summary,
                done.argv,
                done.returncode,
                done.stdout,
                done.stderr,
                "Most sites let only their staff move it: ask them, or save your work "
                "and start the kernel anew with more 'time'.",
            )

    async def cancel(self, job_id: str) -> None:
        """End the job; no error if it has ended. Tries again while nobody answers."""
        argv = self.driver.cancel_argv([job_id])
        for pause in (*_CANCEL_PAUSES, None):
            try:
                self.driver.check_cancel(await self._run(argv))
                break
            except CommandError as error:
                if pause is None or not (error.transient or error.returncode is None):
                    raise
                log.info("job=%s cancel is tried again: %s", job_id, error)
            await asyncio.sleep(pause)
        self._wake.set()

    async def _cancel_name(self, name: str) -> None:
        """End the job of that name if there is one."""
        argv = self.driver.cancel_name_argv(name, _user())
        await self._run(argv, timeout=_NAME_TIMEOUT)

    async def _query(self, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        """All of these jobs; those that the scheduler lost are ENDED, UNKNOWN."""
        found: dict[str, JobStatus] = {}
        for group in self.driver.groups(job_ids):
            done = await self._run(self.driver.status_argv(group))
            rows = self.driver.parse_status(done, group)
            for job_id in group:
                found[job_id] = await self._settled(job_id, rows.get(job_id))
        return found

    async def _settled(self, job_id: str, row: JobStatus | None) -> JobStatus:
        """How it ended, for a job that has: the list of jobs has no exit codes."""
        if row is not None and row.phase is not Phase.ENDED:
            return row
        found = row or JobStatus(job_id, Phase.ENDED, "UNKNOWN")
        for argv in self.driver.ended_argvs(job_id):
            try:
                done = await self._run(argv, timeout=_ENDED_TIMEOUT)
            except CommandError as error:
                log.debug("job=%s %s", job_id, error)
                continue  # sacct may not be installed
            found = self.driver.parse_ended(done, job_id) or found
            if found.state not in ("UNKNOWN", "CANCELLED"):  # by whom? Ask further
                break
        return found

    async def _run(
        self,
        argv: Sequence[str],
        *,
        input: str = "",
        timeout: float = 60.0,
        environ: Mapping[str, str] | None = None,
    ) -> Completed:
        environ = environ or self._environ
        if environ is None:
            environ = self.driver.environment(os.environ)
        return await self._runner(argv, input=input, env=environ, timeout=timeout)

    # --- watching -------------------------------------------------------------------

    async def watch(self, job_id: str) -> AsyncGenerator[JobStatus, None]:
        """The job's status now and at every change; the last one is ENDED.

        To be closed (contextlib.aclosing) where it is left early.
        """
        updates: _Updates = asyncio.Queue()
        self._watch(job_id, updates)
        try:
            while True:
                status = await updates.get()
                if isinstance(status, Exception):
                    raise status
                yield status
                if status.phase is Phase.ENDED:
                    return
        finally:
            await self._unwatch(job_id, updates)

    async def wait_ended(self, job_id: str, timeout: float) -> JobStatus | None:
        """The status with which the job ended; None if it has not, in that time."""
        try:
            return await within(self._ended(job_id), timeout)
        except asyncio.TimeoutError:
            return None

    async def _ended(self, job_id: str) -> JobStatus:
        updates: _Updates = asyncio.Queue()
        self._watch(job_id, updates)
        try:
            while True:
                status = await updates.get()
                if isinstance(status, Exception):
                    raise status
                if status.phase is Phase.ENDED:
                    return status
        finally:
            await self._unwatch(job_id, updates)

    def _watch(self, job_id: str, updates: _Updates) -> None:
        watched = self._watched.setdefault(job_id, _Watched())
        watched.updates.append(updates)
        if watched.last is not None:
            updates.put_nowait(watched.last)
        self._wake.set()
        if self._poller is None:
            self._poller = asyncio.ensure_future(self._poll())

    async def _unwatch(self, job_id: str, updates: _Updates) -> None:
        watched = self._watched[job_id]
        watched.updates.remove(updates)
        if not watched.updates:
            del self._watched[job_id]
        if not self._watched and self._poller is not None:
            poller, self._poller = self._poller, None
            poller.cancel()
            await asyncio.wait([poller])

    async def _poll(self) -> None:
        """Ask, tell, wait; for as long as somebody watches."""
        pause = self.poll_interval
        await asyncio.sleep(self._asked + self.poll_interval - _now())
        # Before Python 3.12 wait_for loses a cancellation that comes with its result.
        mine = asyncio.current_task()
        while self._poller is mine:
            self._wake.clear()
            changed = await self._round()
            pause = self.poll_interval if changed else min(pause * _GROWTH, SLOWEST)
            await asyncio.sleep(self.poll_interval)
            rest = pause * random.uniform(0.9, 1.1) - self.poll_interval  # noqa: S311
            try:
                await within(self._wake.wait(), max(0.0, rest))
                pause = self.poll_interval
            except asyncio.TimeoutError:
                pass

    async def _round(self) -> bool:
        """One query for all; whether any job's phase changed."""
        self._asked = _now()
        try:
            found = await self._query(list(self._watched))
            await self._look_at_places(found)
        except CommandError as error:
            if not self._silent:
                log.warning("the scheduler does not answer; jobs go on: %s", error)
            self._silent = True
            return False
        except Exception as error:  # noqa: BLE001 -- handed to all who watch
            self._fail(error)
            return False
        if self._silent:
            log.info("the scheduler answers again")
        self._silent = False
        changes = [self._tell(status) for status in found.values()]
        return any(changes)

    async def _look_at_places(self, found: Mapping[str, JobStatus]) -> None:
        """Where the waiting jobs are in their queues; now and then."""
        waiting = [
            job_id
            for job_id, status in found.items()
            if status.phase is Phase.PENDING
            and (watched := self._watched.get(job_id)) is not None  # still
            and _now() - watched.begun >= PLACES_AFTER
        ]
        argv = self.driver.places_argv()
        if not waiting or not argv or _now() - self._places_asked < PLACES:
            return
        self._places_asked = _now()
        try:
            self._places = self.driver.parse_places(await self._run(argv), waiting)
        except CommandError as error:  # what else is known is told
            log.info("no places in the queue: %s", error)

    def _tell(self, status: JobStatus) -> bool:
        watched = self._watched.get(status.job_id)
        if watched is None:
            return False
        now, last = _now(), watched.last
        if last is None or (last.state, last.reason) != (status.state, status.reason):
            watched.since = now
        place = self._places.get(status.job_id)
        if status.phase is not Phase.PENDING:
            place = None
        status = replace(status, standing=now - watched.since, place=place)
        watched.last = status
        if last is None or self._news(last) != self._news(status):
            for updates in watched.updates:
                updates.put_nowait(status)
        return last is None or last.phase is not status.phase

    def _news(self, status: JobStatus) -> tuple[object, ...]:
        return (
            status.phase,
            status.state,
            status.reason,
            status.node,
            status.place,
            status.start_time,
            status.end_time,
            self.driver.never(status),
        )

    def _fail(self, error: Exception) -> None:
        for watched in self._watched.values():
            for updates in watched.updates:
                updates.put_nowait(error)


_QUEUES: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Queue]]
_QUEUES = weakref.WeakKeyDictionary()


def shared(make: Callable[[], Driver], poll_interval: float = 2.0) -> Queue:
    """This loop's one Queue for that driver; it polls as seldom as anybody asks for."""
    queues = _QUEUES.setdefault(asyncio.get_running_loop(), {})
    driver = make()
    queue = queues.setdefault(driver.name, Queue(driver))
    queue.poll_interval = max(queue.poll_interval, poll_interval)
    return queue


def _now() -> float:
    return asyncio.get_running_loop().time()


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
