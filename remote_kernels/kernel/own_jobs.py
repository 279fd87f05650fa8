"""The jobs of a user that are no kernels: which there are, one of them, its log, its end.

Rules: the batch systems say which jobs live, one question for all who ask
(scheduler/listing.py); the disk says what was submitted here, and how it ended. Where
nobody answers, that is told beside what is on record. A job is found by comparing IDs
with those: what a client sends never becomes a path. Called by both doors.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from remote_kernels import harmless, records
from remote_kernels.bounded import waited
from remote_kernels.errors import (
    CommandError,
    NotFoundError,
    RecordError,
    StateError,
    UnknownError,
)
from remote_kernels.records.job_record import FACTS, JobRecord, purge
from remote_kernels.scheduler.driver import Driver, Logs
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.here import detected
from remote_kernels.scheduler.job import OUR_NAME, SUBMITTED, JobStatus, Phase
from remote_kernels.scheduler.listing import Listed
from remote_kernels.worker import Worker

from .job import id_in
from .own_job import Found, found
from .runtime import Runtime

log = harmless.logger(__name__)


@dataclass(frozen=True)
class OwnJobs:
    """What is known of them.

    Parameters
    ----------
    asked
        When a batch system was asked for those that live, in seconds since the epoch;
        None if none has answered.
    jobs
        Those that live, then those that ended; of each the newest first.
    error
        What was said where a batch system did not answer; "" if all did.
    kernels
        The numbers of live jobs that are kernels', which are not among them.
    """

    asked: float | None
    jobs: tuple[Found, ...]
    error: str
    kernels: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API and `--json` show it."""
        jobs = [each.model.as_json() for each in self.jobs]
        return {"asked": self.asked, "jobs": jobs, "error": self.error or None}


class _OnRecord(NamedTuple):
    record: JobRecord
    facts: dict[str, Any]
    progress: dict[str, Any]


async def own_jobs(
    runtime: Runtime, bases: Iterable[Path], patience: float | None = None
) -> OwnJobs:
    """Return all of them.

    Parameters
    ----------
    runtime
        Whose questions to the batch systems these are.
    bases
        The state directories.
    patience
        Seconds to wait for the disk, and for each batch system; None waits for as long
        as it takes.

    Raises
    ------
    UnknownError
        A state directory does not answer in time.
    """
    entries = await _read([*dict.fromkeys(bases)], patience)
    asked, errors, kernels = [], [], set()
    jobs: list[Found] = []
    for driver in await asyncio.to_thread(_drivers, entries):
        mine = [each for each in entries if each.facts["scheduler"] == driver.name]
        mine = await _of_this_cluster(runtime, driver, mine, patience)
        listed: Listed | None = None
        live = [id_in(each.facts) for each in mine if not each.facts.get("end")]
        try:
            listed = await runtime.jobs(driver).listing.now(live, patience)
            asked.append(listed.asked)
        except (CommandError, UnknownError) as error:
            errors.append(str(error))
        jobs += await _of(driver, mine, listed)
        if listed is not None:
            kernels |= {str(each.job_id) for each in listed.live if _is_kernel(each)}
    jobs.sort(key=_order)
    asked_at = min(asked, default=None)
    return OwnJobs(asked_at, tuple(jobs), "\n".join(errors), frozenset(kernels))


def _order(one: Found) -> tuple[bool, float]:
    """Those that live come first, and of each kind the newest."""
    at = one.model.ends if one.ended else one.model.submitted
    return one.ended, -(at or 0.0)


async def find(
    runtime: Runtime, bases: Iterable[Path], job_id: str, patience: float | None = None
) -> Found:
    """Return the job of this number.

    Raises
    ------
    NotFoundError
        There is none.
    StateError
        It is a kernel's.
    UnknownError
        None is on record, and the batch system does not answer.
    """
    known = await own_jobs(runtime, bases, patience)
    for each in known.jobs:
        if each.model.job_id == job_id:
            return each
    if job_id in known.kernels:
        msg = (
            f"Job {job_id} is a kernel's. The list of kernels says whose; ask for that "
            "kernel, or end it, by its ID (kernels/ID)."
        )
        raise StateError(msg)
    if known.error:
        msg = f"Job {job_id!r} is not on record, and: {known.error}"
        raise UnknownError(msg)
    msg = f"No job of yours has the ID {job_id!r}."
    raise NotFoundError(msg)


async def end(runtime: Runtime, job: Found) -> None:
    """Cancel a job; forget one that has ended. Raises CommandError."""
    if not job.ended:
        await runtime.jobs(job.driver).cancel(job.job, asks_how=True)
    elif job.record is not None:
        await asyncio.to_thread(job.record.remove)


async def log_path(runtime: Runtime, job: Found) -> Path:
    """Return where a job's log is. Raises StateError where nobody tells, CommandError."""
    path = job.facts.get("log")
    if path is None and job.record is None and isinstance(job.driver, Logs):
        path = await runtime.jobs(job.driver).ask(job.driver.log_of(job.job))
    if path is None:
        msg = (
            f"Where the log of job {job.model.job_id} is, is not known: it is where its "
            "script, or the batch system, puts it."
        )
        raise StateError(msg)
    return Path(path)


# --- what the disk says -----------------------------------------------------------------


async def _read(bases: list[Path], patience: float | None) -> list[_OnRecord]:
    reading = asyncio.ensure_future(Worker().run(lambda: _entries(bases)))
    await waited(reading, patience)
    if not reading.done():
        msg = (
            f"The file server does not answer for the records of jobs in "
            f"{', '.join(map(str, bases))}. Try again later; jobs go on."
        )
        raise UnknownError(msg)
    return reading.result()


def _entries(bases: list[Path]) -> list[_OnRecord]:
    """Return what is on record; what is too old goes."""
    every = [record for base in bases for record in records.every_job(base)]
    read = [(record, record.facts()) for record in every]
    gone = {record.path for record in purge(read)}
    return [
        _OnRecord(record, facts, record.progress())
        for record, facts in read
        if record.path not in gone
        and facts.get("job_id")
        and facts.get("scheduler") in DRIVERS
    ]


def _drivers(entries: Iterable[_OnRecord]) -> list[Driver]:
    """Return whom to ask: the one that is here, and those of jobs on record.

    Which one is here may itself be a question.
    """
    names = dict.fromkeys([detected().name, *(e.facts["scheduler"] for e in entries)])
    return [DRIVERS[name] for name in names if DRIVERS[name].is_here(os.environ)]


async def _of_this_cluster(
    runtime: Runtime, driver: Driver, entries: list[_OnRecord], patience: float | None
) -> list[_OnRecord]:
    """Another cluster that shares the home directory has jobs of the same numbers."""
    naming = asyncio.ensure_future(runtime.jobs(driver).cluster())
    await waited(naming, patience)
    here = naming.result() if naming.done() else None
    if here is None:
        return entries
    return [each for each in entries if each.facts.get("cluster") in (None, here)]


# --- both together ----------------------------------------------------------------------


def _is_kernel(status: JobStatus) -> bool:
    return OUR_NAME.fullmatch(status.name) is not None


async def _of(
    driver: Driver, entries: list[_OnRecord], listed: Listed | None
) -> list[Found]:
    live = {each.job_id: each for each in listed.live} if listed is not None else {}
    jobs, ids = [], set()
    for entry in entries:
        job_id = id_in(entry.facts)
        ids.add(job_id)
        status = live.get(job_id)
        if status is None and listed is not None and not entry.facts.get("end"):
            status = listed.others.get(job_id) or _not_listed(entry, listed)
        one = found(driver, status, *entry)
        await _note(one, entry)
        jobs.append(one)
    others = (one for one in live.values() if one.job_id not in ids)
    jobs += [found(driver, one) for one in others if not _is_kernel(one)]
    return jobs


def _not_listed(entry: _OnRecord, listed: Listed) -> JobStatus | None:
    """Return what that means of a job: it may be younger than the list."""
    submitted = (entry.facts.get("times") or {}).get("submitted", 0.0)
    if submitted < listed.asked:
        return None
    return JobStatus(id_in(entry.facts), Phase.PENDING, SUBMITTED)


async def _note(one: Found, entry: _OnRecord) -> None:
    """Keep on record where and when it ran, and how it ended."""
    model, times = one.model, dict(entry.facts.get("times") or {})
    facts = {**entry.facts, "times": times}
    seen = {"node": model.node, "queue": model.queue, "name": model.name}
    facts.update({name: value for name, value in seen.items() if value})
    if model.started is not None:
        times["started"] = model.started
    if one.ended and "end" in facts and not facts["end"]:
        assert model.end is not None
        facts["end"] = asdict(model.end)
        times["ended"] = model.ends or time.time()
    if facts == entry.facts:
        return
    try:
        await asyncio.to_thread(functools.partial(entry.record.write, FACTS, facts))
    except RecordError as error:
        log.warning("%s", error)
