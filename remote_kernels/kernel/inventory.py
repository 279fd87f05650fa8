"""The kernels that are on record, and what has become of their jobs.

Called by the server extension, which brings kernels back, and by `clean`.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote_kernels import harmless, records
from remote_kernels.errors import CommandError, RecordError
from remote_kernels.records import JobEnd
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.job import JobId, JobStatus, Phase
from remote_kernels.scheduler.jobs import Jobs, shared

from .allocation import allocation_of, allocations
from .job import id_in, name_of
from .job_end import end_of
from .view import View, view

log = harmless.logger(__name__)


@dataclass(frozen=True)
class Recorded:
    """One kernel on record.

    `status` is None while the scheduler does not answer: that says nothing.
    """

    record: records.Record
    facts: dict[str, Any]
    status: JobStatus | None
    end: JobEnd | None = None

    @property
    def kernel_id(self) -> str:
        return self.record.kernel_id

    @property
    def job_id(self) -> JobId:
        return id_in(self.facts)

    @property
    def ended(self) -> str:
        """How its job ended, in plain words; "" while it has not."""
        return self.end.text if self.end is not None else ""

    def view(self) -> View:
        """It as data."""
        sessions = self.record.sessions()
        driver = DRIVERS[self.facts["scheduler"]]
        return view(
            self.kernel_id,
            self.facts,
            sessions,
            driver,
            self.status,
            end=self.end,
        )

    @property
    def attachable(self) -> bool:
        """Whether there is, for all we know, an agent to speak to."""
        return not self.ended and self.record.has("agent.json")


@dataclass(frozen=True)
class Stray:
    """A job with a name like ours, of which no record is left."""

    scheduler: str
    name: str
    status: JobStatus


async def strays(bases: Iterable[Path]) -> list[Stray]:
    """Jobs without a record in any of these state directories.

    A job ends itself when its record is removed; what is left is one that waits in
    the queue, or whose state directory is not among these.
    """
    found, _ = await _own()
    # Looked for last: the record of a kernel that starts now is there before its job.
    bases = list(bases)
    known = {name_of(record.kernel_id) for record in _records(bases)}
    known |= {place.job_name for base in bases for place in allocations(base)}
    return [stray for stray in found if stray.name not in known]


async def _own() -> tuple[list[Stray], bool]:
    """The user's jobs, recorded or not; and whether every scheduler here answered."""
    found, asked = [], True
    for scheduler in DRIVERS:
        jobs = _jobs(scheduler)
        if jobs is None:
            continue
        try:
            own = await jobs.own()
        except CommandError as exc:
            log.warning("the scheduler does not answer: %s", exc)
            asked = False
            continue
        found += [Stray(scheduler, status.name, status) for status in own]
    return found, asked


async def cancel(scheduler: str, job_id: JobId) -> None:
    """End a job. Raises CommandError."""
    await shared(DRIVERS[scheduler]).cancel(job_id)


async def end(record: records.Record, scheduler: str, job_id: JobId) -> bool:
    """End a kernel that no server has. Raises CommandError, RecordError.

    With its job, unless other kernels may be in that: then False, and the agent, which
    looks now and then, ends the kernel without it.
    """
    place = allocation_of(record)
    end_job = functools.partial(cancel, scheduler, job_id)
    if place is None:
        alone = True
        await end_job()
    else:
        alone = await place.give_up(record.kernel_id, end_job)
    record.remove()
    return alone


def _jobs(scheduler: str) -> Jobs | None:
    """None where that scheduler's commands are not installed."""
    driver = DRIVERS[scheduler]
    return shared(driver) if driver.is_here(os.environ) else None


def _records(bases: Iterable[Path]) -> Iterator[records.Record]:
    for base in dict.fromkeys(bases):
        yield from records.every_record(base)


def unsubmitted(bases: Iterable[Path], seconds: float) -> list[records.Record]:
    """Records that got no job in all that time: whoever made them was killed."""
    oldest = time.time() - seconds
    return [record for record in _records(bases) if _without_job(record, oldest)]


def _without_job(record: records.Record, oldest: float) -> bool:
    """Not one that cannot be read: removing it may end a kernel."""
    try:
        facts = record.read("record.json")
        submitted = facts is not None and facts["job_id"] is not None
        return not submitted and record.path.stat().st_mtime < oldest
    except (OSError, RecordError):  # see `damaged`
        return False


@dataclass(frozen=True)
class Damaged:
    """A record that cannot be read.

    `job` is the one that is there for it, `asked` whether that is known.
    """

    record: records.Record
    why: str
    scheduler: str = ""
    job: JobStatus | None = None
    asked: bool = True


async def damaged(bases: Iterable[Path]) -> list[Damaged]:
    """Records of which nothing can be said but what the scheduler has of that name."""
    bases = list(bases)
    found = [(r, why) for r in _records(bases) if (why := _damage(r))]
    if not found:
        return []
    own, asked = await _own()
    jobs = {one.name: (one.scheduler, one.status) for one in own}
    names = {record.kernel_id: name_of(record.kernel_id) for record, _ in found}
    for place in (place for base in bases for place in allocations(base)):
        members = [kernel for kernel in names if place.has_member(kernel)]
        names.update(dict.fromkeys(members, place.job_name))
    items = []
    for record, why in found:
        scheduler, job = jobs.get(names[record.kernel_id]) or ("", None)
        sure = asked and not await _is_elsewhere(record)
        items.append(Damaged(record, why, scheduler, job, sure))
    return items


async def _is_elsewhere(record: records.Record) -> bool:
    """Whether its job, as far as can be made out, is of a scheduler not asked here."""
    try:
        facts = records.read_private(record.path / "record.json")
    except (OSError, ValueError):
        return False
    scheduler, cluster = facts.get("scheduler"), facts.get("cluster")
    if not isinstance(scheduler, str) or scheduler not in DRIVERS:
        return False
    jobs = _jobs(scheduler)
    if jobs is None:
        return True
    return cluster is not None and await jobs.cluster() not in (None, cluster)


def _damage(record: records.Record) -> str:
    """What is wrong with what must be there of it; "" if nothing is."""
    try:
        facts = record.read("record.json") or {"job_id": None}
        if record.is_live:
            record.read("spec.json")
    except RecordError as exc:
        return str(exc)
    if facts["job_id"] is None or facts["scheduler"] in DRIVERS:
        return ""
    return f"{record.path}: there is no scheduler '{facts['scheduler']}'"


async def recorded(bases: Iterable[Path]) -> list[Recorded]:
    """The kernels of this cluster, in these state directories."""
    found: list[Recorded] = []
    by_scheduler = await asyncio.to_thread(_by_scheduler, bases)
    for name, entries in by_scheduler.items():
        found += await _of_scheduler(name, entries)
    return found


def _by_scheduler(
    bases: Iterable[Path],
) -> dict[str, list[tuple[records.Record, dict[str, Any]]]]:
    by_scheduler: dict[str, list[tuple[records.Record, dict[str, Any]]]] = {}
    for record in _records(bases):
        facts = record.read_if_good("record.json") or {}
        if facts.get("job_id") and facts.get("scheduler") in DRIVERS:
            by_scheduler.setdefault(facts["scheduler"], []).append((record, facts))
    return by_scheduler


async def _of_scheduler(
    name: str, entries: list[tuple[records.Record, dict[str, Any]]]
) -> list[Recorded]:
    driver, queue = DRIVERS[name], _jobs(name)
    if queue is None:
        return []
    here = await queue.cluster()
    # Two clusters may share a home directory, and both have a job 17.
    mine = [
        e
        for e in entries
        if None in (here, e[1].get("cluster")) or e[1]["cluster"] == here
    ]
    try:
        live = [id_in(facts) for record, facts in mine if record.is_live]
        jobs = [job_id for job_id in live if driver.knows(job_id)]
        statuses = await queue.statuses(jobs) if jobs else {}
    except CommandError as exc:  # also one that hangs
        log.warning("the scheduler does not answer: %s", exc)
        statuses = {}
    found = []
    for record, facts in mine:
        status = statuses.get(id_in(facts))
        end = JobEnd.read(facts)  # our own word, where there is one
        if end is None and not record.is_live:
            end = JobEnd(records.UNKNOWN, text="it ended")
        elif end is None and status is not None and status.phase is Phase.ENDED:
            end = end_of(status, driver.ended_text(status))
        found.append(Recorded(record, facts, status, end))
    return found
