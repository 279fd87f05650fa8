"""A driver's questions and answers in a line each, for tests of what was captured."""

from __future__ import annotations

from collections.abc import Sequence

from remote_kernels.scheduler.driver import Driver, Ends
from remote_kernels.scheduler.job import Completed, JobId, JobStatus


def job(text: str) -> JobId:
    """ "12", or "12;big" on another cluster."""
    number, _, where = text.partition(";")
    return JobId(number, where)


def status_argv(driver: Driver, *jobs: str) -> Sequence[str]:
    (query,) = driver.status([job(one) for one in jobs])
    return query.argv


def statuses(driver: Driver, done: Completed, *jobs: str) -> dict[str, JobStatus]:
    """By number."""
    (query,) = driver.status([job(one) for one in jobs])
    return {str(job_id): found for job_id, found in query.parse(done).items()}


def how_it_ended(driver: Ends, done: Completed, job_id: str) -> JobStatus | None:
    """By the question that is asked with that command."""
    (query,) = (q for q in driver.ended(job(job_id)) if q.argv[0] == done.argv[0])
    return query.parse(done)
