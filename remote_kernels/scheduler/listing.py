"""All live jobs of this user, as the batch system listed them last.

Rules: one question at a time, for all who ask, and none before FRESH seconds (or the
`poll_interval`) are over; what is not listed any more, but was wanted, is asked for in
the same round, once. Called by `jobs.py`, for kernel/.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from remote_kernels import harmless
from remote_kernels.bounded import waited
from remote_kernels.errors import CommandError, UnknownError

from .driver import Reasons
from .job import JobId, JobStatus, Phase

if TYPE_CHECKING:
    from .jobs import Jobs

log = harmless.logger(__name__)

FRESH = 5.0  # seconds that a list is good for
REASONS = 60.0  # seconds until it is asked again what the same jobs wait for
MOST_ENDS = 20  # jobs whose end is asked for in a round, as each is a question


@dataclass(frozen=True)
class Listed:
    """What one round has found.

    Parameters
    ----------
    asked
        When it began, in seconds since the epoch.
    live
        The jobs that are there, in the batch system's order.
    others
        What is known of jobs that were wanted and are not listed.
    """

    asked: float
    live: Sequence[JobStatus]
    others: Mapping[JobId, JobStatus] = field(default_factory=dict)


class Listing:
    """Asks for the list, and keeps it for a while.

    Parameters
    ----------
    jobs : Jobs
        Whose list it is.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._round: asyncio.Future[Listed] | None = None
        self._begun = float("-inf")
        self._wanted: set[JobId] = set()
        self._reasons: Mapping[JobId, str] = {}
        self._reasons_for: object = None
        self._reasons_asked = float("-inf")

    def is_old(self) -> None:
        """Ask again when the next one asks, as something has happened."""
        self._begun = float("-inf")

    async def now(
        self, wanted: Iterable[JobId] = (), patience: float | None = None
    ) -> Listed:
        """Return the list.

        Parameters
        ----------
        wanted
            Jobs of which is to be known how they ended.
        patience
            Seconds to wait for the answer; None waits for as long as it takes.

        Raises
        ------
        CommandError
            The batch system did not answer.
        UnknownError
            It has not, in that time.
        """
        self._wanted |= {*wanted}
        asking, age = self._round, asyncio.get_running_loop().time() - self._begun
        if asking is None or (
            asking.done() and age >= max(FRESH, self._jobs.poll_interval)
        ):
            self._begun = asyncio.get_running_loop().time()
            asking = self._round = asyncio.ensure_future(self._ask())
            asking.add_done_callback(_seen)
        await waited(asking, patience)
        if not asking.done():
            msg = (
                f"{self._jobs.driver.title} has not answered for {patience:g} s; it is "
                "still being asked for your jobs. Try again in a while."
            )
            raise UnknownError(msg)
        return asking.result()

    async def _ask(self) -> Listed:
        asked, wanted, self._wanted = time.time(), self._wanted, set()
        live = await self._with_reasons(await self._jobs.every())
        missing = wanted - {status.job_id for status in live}
        for each in live:
            if each.job_id in wanted:
                self._jobs.lived(each.job_id, each)
        for job_id in missing:
            self._jobs.lived(job_id)
        others = await self._jobs.statuses([*missing][:MOST_ENDS]) if missing else {}
        return Listed(asked, live, others)

    async def _with_reasons(self, live: list[JobStatus]) -> list[JobStatus]:
        """Ask what waiting jobs wait for, where that is a question of its own."""
        driver = self._jobs.driver
        waiting = [
            status.job_id
            for status in live
            if status.phase is Phase.PENDING and not status.reason
        ]
        if not isinstance(driver, Reasons) or not waiting:
            return live
        now = asyncio.get_running_loop().time()
        if waiting != self._reasons_for or now - self._reasons_asked > REASONS:
            self._reasons_for, self._reasons_asked = waiting, now
            try:
                self._reasons = await self._jobs.ask(driver.reasons(waiting))
            except CommandError as error:  # what else is known is told
                log.info("no reasons for waiting: %s", error)
        return [
            replace(each, reason=each.reason or self._reasons.get(each.job_id, ""))
            for each in live
        ]


def _seen(asking: asyncio.Future[Listed]) -> None:
    """Who asked may have gone; then nobody is to hear that it failed."""
    if not asking.cancelled():
        asking.exception()
