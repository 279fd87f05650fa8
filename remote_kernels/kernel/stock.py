"""What there is of a user's kernels, and what is to be done with each of it.

Records are compared with jobs, both ways: kernels that run or have ended, starts that
never got a job, records that cannot be read, jobs without a record. Called by `clean`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from remote_kernels import harmless, records
from remote_kernels.errors import CommandError, RecordError
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.job import JobId, JobStatus, Phase

from . import inventory
from .allocation import allocations
from .inventory import Recorded, records_in
from .job import name_of
from .runtime import Runtime

log = harmless.logger(__name__)

UNSUBMITTED = 600.0  # seconds after which a start without a job is a dead one

REMOVE, CANCEL, END = "remove record", "cancel job", "end kernel"


@dataclass(frozen=True)
class Item:
    """A kernel, a record or a job; `action` is "", REMOVE, CANCEL or END."""

    kernel: str
    what: str
    action: str
    name: str = ""
    job: JobId | None = None
    state: str = ""
    node: str = ""
    scheduler: str = ""
    record: records.Record | None = None

    async def do(self, runtime: Runtime) -> None:
        """Do what is to be done. Raises CommandError, RecordError."""
        job = self.job if self.action in (CANCEL, END) else None
        await inventory.end(runtime, self.record, self.scheduler, job, whole_job=True)


def _item(
    kernel: str, status: JobStatus | None, what: str, action: str, **more: Any
) -> Item:
    said: dict[str, Any] = {}
    if status is not None:
        node = status.node or ""
        said = {"job": status.job_id, "state": status.state, "node": node}
    return Item(kernel, " ".join(what.split()), action, **{**said, **more})


async def take(runtime: Runtime, bases: Iterable[Path], everything: bool) -> list[Item]:
    """Return all that is there; `everything`: kernels that run are to end, too."""
    bases = list(bases)
    known = await inventory.recorded(runtime, bases)
    shown = {found.record.path for found in known}
    hurt = await damaged(runtime, bases, everything)
    return [
        *(_kernel(found, everything) for found in known),
        *unsubmitted(bases, UNSUBMITTED),
        *(item for record, item in hurt if record.path not in shown),
        *await strays(runtime, bases, everything),
    ]


def _kernel(found: Recorded, everything: bool) -> Item:
    what, action = found.ended, REMOVE
    if not found.ended:
        what, action = f"last used by {found.owner}", END if everything else ""
    if not found.ended and found.status is None:
        what, action = "the scheduler does not answer", ""
    return _item(
        found.kernel_id,
        found.status,
        what,
        action,
        name=str(found.facts.get("name", "")),
        job=found.job_id,
        node=str(found.facts.get("node") or ""),
        scheduler=str(found.facts["scheduler"]),
        record=found.record,
    )


# --- jobs without a record ----------------------------------------------------------


class _OwnJob(NamedTuple):
    """A job of the user's, with a name like those of ours."""

    scheduler: str
    status: JobStatus


async def strays(
    runtime: Runtime, bases: Iterable[Path], everything: bool
) -> list[Item]:
    """Return jobs without a record in any of these state directories.

    A job ends itself when its record is removed; what is left is one that waits in
    the queue, or whose state directory is not among these.
    """
    found, _ = await _own_jobs(runtime)
    # Looked for last: the record of a kernel that starts now is there before its job.
    bases = list(bases)
    known = {name_of(record.kernel_id) for record in records_in(bases)}
    known |= {place.job_name for base in bases for place in allocations(base)}
    return [_stray(job, everything) for job in found if job.status.name not in known]


def _stray(job: _OwnJob, everything: bool) -> Item:
    """Return a job without a record; one that runs is not ours to end unasked.

    An agent ends by itself when its record is removed. So this one has a record, in
    a state directory that no kernelspec here names.
    """
    waits = job.status.phase is Phase.PENDING
    action = CANCEL if waits or everything else ""
    kernel, what = job.status.name.removeprefix("jupyter-"), "has no record here"
    return _item(kernel, job.status, what, action, scheduler=job.scheduler)


async def _own_jobs(runtime: Runtime) -> tuple[list[_OwnJob], bool]:
    """Return the user's jobs, recorded or not, and whether every scheduler answered."""
    found, asked = [], True
    for scheduler in DRIVERS:
        jobs = inventory.jobs_here(runtime, scheduler)
        if jobs is None:
            continue
        try:
            own = await jobs.own()
        except CommandError as exc:
            log.warning("the scheduler does not answer: %s", exc)
            asked = False
            continue
        found += [_OwnJob(scheduler, status) for status in own]
    return found, asked


# --- records without a job ----------------------------------------------------------


def unsubmitted(bases: Iterable[Path], seconds: float) -> list[Item]:
    """Return records that got no job in all that time: their makers were killed."""
    oldest = time.time() - seconds
    return [
        _item(record.kernel_id, None, "was never submitted", REMOVE, record=record)
        for record in records_in(bases)
        if _without_job(record, oldest)
    ]


def _without_job(record: records.Record, oldest: float) -> bool:
    """Return whether it has no job; one that cannot be read may have one."""
    try:
        facts = record.read("record.json")
        submitted = facts is not None and facts["job_id"] is not None
        return not submitted and record.path.stat().st_mtime < oldest
    except (OSError, RecordError):  # see `damaged`
        return False


async def damaged(
    runtime: Runtime, bases: Iterable[Path], everything: bool
) -> list[tuple[records.Record, Item]]:
    """Return records that cannot be read, with the schedulers' jobs of their names.

    To remove the record of a living job would end that.
    """
    bases = list(bases)
    found = [(r, why) for r in records_in(bases) if (why := _damage(r))]
    if not found:
        return []
    own, asked = await _own_jobs(runtime)
    jobs = {job.status.name: job for job in own}
    places = [place for base in bases for place in allocations(base)]
    items = []
    for record, why in found:
        kernel = record.kernel_id
        shared = [place.job_name for place in places if place.has_member(kernel)]
        scheduler, job = jobs.get((shared or [name_of(kernel)])[-1], ("", None))
        gone = job is None and asked and not await _is_elsewhere(runtime, record)
        action = REMOVE if gone or everything else ""
        if job is not None and everything:
            action = END
        more = {"scheduler": scheduler, "record": record}
        items.append((record, _item(kernel, job, why, action, **more)))
    return items


async def _is_elsewhere(runtime: Runtime, record: records.Record) -> bool:
    """Return whether its job seems to be of a scheduler that was not asked here."""
    try:
        facts = records.read_private(record.path / "record.json")
    except (OSError, ValueError):
        return False
    scheduler, cluster = facts.get("scheduler"), facts.get("cluster")
    if not isinstance(scheduler, str) or scheduler not in DRIVERS:
        return False
    jobs = inventory.jobs_here(runtime, scheduler)
    if jobs is None:
        return True
    return cluster is not None and await jobs.cluster() not in (None, cluster)


def _damage(record: records.Record) -> str:
    """Return what is wrong with what must be in it; "" if nothing is."""
    try:
        facts = record.read("record.json") or {"job_id": None}
        if record.is_live:
            record.read("spec.json")
    except RecordError as exc:
        return str(exc)
    if facts["job_id"] is None or facts["scheduler"] in DRIVERS:
        return ""
    return f"{record.path}: there is no scheduler '{facts['scheduler']}'"
