"""Ask for jobs, again and again: one poller for all of a process.

Rules: one query serves all jobs that are watched or listed, backs off while nothing
changes, and never is more frequent than `poll_interval`; a batch system that does not
answer says nothing about a job. Called by `jobs.py`.
"""

from __future__ import annotations

import asyncio
import operator
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from remote_kernels import harmless
from remote_kernels.bounded import waited, within
from remote_kernels.errors import CommandError

from .driver import Driver, Places, Reasons
from .job import JobId, JobStatus, Phase, Query

log = harmless.logger(__name__)

_Updates = asyncio.Queue[JobStatus | Exception]

SLOWEST = 60.0  # seconds between two queries while nothing changes
PLACES = 300.0  # seconds between two looks at the whole queue, which may be long
PLACES_AFTER = 20.0  # seconds that a job must have waited for that
REASONS = 30.0  # seconds, growing to PLACES, until it is asked again why jobs wait
_GROWTH = 1.5
_TOLD = operator.attrgetter(
    "phase", "state", "reason", "node", "place", "start_time", "end_time"
)


@dataclass
class _Watched:
    """One job that somebody watches."""

    updates: list[_Updates] = field(default_factory=list)
    last: JobStatus | None = None
    since: float = 0.0
    begun: float = field(default_factory=lambda: _now())


class Poller:
    """Asks for the jobs that somebody watches, or wants listed.

    Parameters
    ----------
    driver : Driver
        Their batch system.
    query : callable
        Asks for all of these jobs; may raise CommandError.
    ask : callable
        Runs another question of the driver's.
    poll_interval : float
        Least time between two questions, in seconds.
    """

    def __init__(
        self,
        driver: Driver,
        query: Callable[[Sequence[JobId]], Awaitable[dict[JobId, JobStatus]]],
        ask: Callable[[Query[Any]], Awaitable[Any]],
        poll_interval: float,
    ) -> None:
        self.poll_interval = poll_interval
        self._driver = driver
        self._query = query
        self._ask = ask
        self._watched: dict[JobId, _Watched] = {}
        self._poller: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._silent = False
        self._asked = self._due = float("-inf")
        self._pause = poll_interval
        self._listed: Sequence[JobId] = ()
        self._listed_at = self._list_asked = float("-inf")
        self._records: object = None
        self._listing: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._found: Mapping[JobId, JobStatus] | None = None
        self._places: dict[JobId, int] = {}
        self._places_asked = float("-inf")
        self._reasons: dict[JobId, str] = {}
        self._reasons_for: object = None
        self._reasons_asked = float("-inf")
        self._reasons_pause = REASONS

    @property
    def is_silent(self) -> bool:
        """Whether the last question had no answer; nothing said since is true for sure."""
        return self._silent

    def look_now(self) -> None:
        """Ask at once, as something has happened."""
        self._wake.set()
        self._due = float("-inf")

    async def listed(
        self,
        job_ids: Sequence[JobId],
        *,
        patience: float | None = None,
        records: object = None,
    ) -> Mapping[JobId, JobStatus] | None:
        """Return the last word on jobs that somebody wants listed.

        Asks if that is older than `poll_interval`, in one question with the jobs that
        are watched, and from then on with them.

        Parameters
        ----------
        job_ids:
            The jobs.
        patience:
            Seconds to wait for the answer; None waits for as long as it takes.
        records:
            For who looks again and again: what else is known of these jobs. While
            neither that nor the answer changes, it is asked less and less often.

        Returns
        -------
        mapping or None
            Those of which something is known; none where the batch system does not
            answer. None if it has not answered yet.
        """
        is_time = self._is_time(records)
        self._listed, self._listed_at = job_ids, _now()
        if job_ids and self._listing is None and is_time:
            if records != self._records:
                self._pause = 0.0
            self._records, self._asked = records, _now()
            self._listing = asyncio.ensure_future(self._round())
            self._listing.add_done_callback(self._end_listing)
        if self._listing is not None:
            await waited(self._listing, patience)
        if self._failure is not None:
            raise self._failure
        return self._found

    def _is_time(self, records: object) -> bool:
        """Whether a list is to be asked for.

        Where there was none for long, the last question may not have been about it.
        """
        recent = _now() - self._listed_at <= SLOWEST
        soonest = (self._asked if recent else self._list_asked) + self.poll_interval
        if records is not None and records == self._records:
            # A look that comes a little early is this one.
            soonest = max(soonest, self._due - 0.2 * self.poll_interval)
        return _now() >= soonest

    def _end_listing(self, _: asyncio.Future[None]) -> None:
        self._listing = None

    async def watch(self, job_id: JobId) -> AsyncGenerator[JobStatus, None]:
        """Yield the job's status now and at every change; the last one is ENDED.

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

    async def wait_ended(
        self,
        job_id: JobId,
        timeout: float,
        on_status: Callable[[JobStatus], None] = lambda status: None,
    ) -> JobStatus | None:
        """Return the status with which the job ended; None if it has not, in that time.

        `on_status` is called with each status until then.
        """
        try:
            return await within(self._ended(job_id, on_status), timeout)
        except asyncio.TimeoutError:
            return None

    async def _ended(
        self, job_id: JobId, on_status: Callable[[JobStatus], None]
    ) -> JobStatus:
        async with aclosing(self.watch(job_id)) as watching:
            async for status in watching:
                last = status
                on_status(status)
        return last

    def _watch(self, job_id: JobId, updates: _Updates) -> None:
        watched = self._watched.setdefault(job_id, _Watched())
        watched.updates.append(updates)
        if watched.last is not None:
            updates.put_nowait(watched.last)
        self._wake.set()
        if self._poller is None:
            self._poller = asyncio.ensure_future(self._poll())

    async def _unwatch(self, job_id: JobId, updates: _Updates) -> None:
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
        self._pause = self.poll_interval
        # Before Python 3.12 wait_for loses a cancellation that comes with its result.
        mine = asyncio.current_task()
        while self._poller is mine:
            # A list may be asked for while this waits.
            while (rest := self._asked + self.poll_interval - _now()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(rest)
            self._wake.clear()
            await self._round()
            await asyncio.sleep(self.poll_interval)
            try:
                await within(self._wake.wait(), max(0.0, self._due - _now()))
                self._pause = self.poll_interval
            except asyncio.TimeoutError:
                pass

    async def _round(self) -> None:
        """Ask for all, tell it, and see when to ask again."""
        self._asked, self._failure = _now(), None
        if self._asked - self._listed_at > SLOWEST:
            self._listed = ()
        if self._listed:
            self._list_asked = self._asked
        try:
            found = await self._query([*dict.fromkeys((*self._watched, *self._listed))])
            await self._look_at_places(found)
            found = await self._with_reasons(found)
        except CommandError as error:
            if not self._silent:
                log.warning("the scheduler does not answer; jobs go on: %s", error)
            self._silent, self._found, changed = True, {}, False
        except Exception as error:  # noqa: BLE001 -- handed to all who ask
            changed = False
            self._fail(error)
        else:
            if self._silent:
                log.info("the scheduler answers again")
            self._silent = False
            changed = self._is_news(found)
            self._found = found
        grown = min(self._pause * _GROWTH, SLOWEST)
        self._pause = self.poll_interval if changed else max(grown, self.poll_interval)
        self._due = self._asked + self._pause * random.uniform(0.9, 1.1)  # noqa: S311

    def _is_news(self, found: Mapping[JobId, JobStatus]) -> bool:
        """Tell all who watch; whether a job of theirs, or of a list, has changed."""
        changes = [self._tell(status) for status in found.values()]
        before = self._found or {}
        changes += [_said(found, one) != _said(before, one) for one in self._listed]
        return any(changes)

    async def _look_at_places(self, found: Mapping[JobId, JobStatus]) -> None:
        """Where the waiting jobs are in their queues; now and then."""
        if not isinstance(self._driver, Places):
            return
        waiting = [
            job_id
            for job_id, status in found.items()
            if status.phase is Phase.PENDING
            and (watched := self._watched.get(job_id)) is not None  # still
            and _now() - watched.begun >= PLACES_AFTER
        ]
        if not waiting or _now() - self._places_asked < PLACES:
            return
        self._places_asked = _now()
        try:
            self._places = await self._ask(self._driver.places(waiting))
        except CommandError as error:  # what else is known is told
            log.info("no places in the queue: %s", error)

    async def _with_reasons(
        self, found: dict[JobId, JobStatus]
    ) -> dict[JobId, JobStatus]:
        """Ask what waiting jobs wait for: when one is new, and now and then."""
        if not isinstance(self._driver, Reasons):
            return found
        waiting = {
            job_id: status.state
            for job_id, status in found.items()
            if status.phase is Phase.PENDING and not status.reason
        }
        is_new = waiting != self._reasons_for
        is_time = _now() - self._reasons_asked >= self._reasons_pause
        if waiting and (is_new or is_time):
            grown = min(self._reasons_pause * _GROWTH, PLACES)
            self._reasons_pause = REASONS if is_new else grown
            self._reasons_for, self._reasons_asked = waiting, _now()
            try:
                self._reasons = await self._ask(self._driver.reasons([*waiting]))
            except CommandError as error:  # what else is known is told
                log.info("no reasons for waiting: %s", error)
        return {
            job_id: replace(status, reason=self._reasons.get(job_id, ""))
            if job_id in waiting
            else status
            for job_id, status in found.items()
        }

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
        return (*_TOLD(status), self._driver.never(status, {}))

    def _fail(self, error: Exception) -> None:
        self._failure = error
        for watched in self._watched.values():
            for updates in watched.updates:
                updates.put_nowait(error)


def _said(found: Mapping[JobId, JobStatus], job_id: JobId) -> object:
    """Return what is news when it changes; not the batch system's guesses."""
    status = found.get(job_id)
    return status and (status.state, status.reason, status.node)


def _now() -> float:
    return asyncio.get_running_loop().time()
