"""What there is of a user's kernels, and what is to be done with each of it.

Records are compared with jobs, both ways: kernels that run or have ended, starts that
never got a job, records that cannot be read, jobs without a record. Called by `clean`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote_kernels import records
from remote_kernels.scheduler.job import JobId, JobStatus, Phase

from . import inventory
from .inventory import Damaged, Recorded, Stray
from .runtime import Runtime

UNSUBMITTED = 600.0  # seconds after which a start without a job is a dead one

REMOVE, CANCEL, END = "remove record", "cancel job", "end kernel"


@dataclass(frozen=True)
class Item:
    """A kernel, a record or a job; `action` is "", REMOVE, CANCEL or END."""

    kernel: str
    name: str
    job: JobId | None
    state: str
    node: str
    what: str
    action: str
    scheduler: str = ""
    record: records.Record | None = None

    async def do(self, runtime: Runtime) -> None:
        """Do what is to be done. Raises CommandError, RecordError."""
        job = self.job if self.action in (CANCEL, END) else None
        await inventory.end(runtime, self.record, self.scheduler, job, whole_job=True)


async def take(runtime: Runtime, bases: Iterable[Path], everything: bool) -> list[Item]:
    """Return all that is there; `everything`: kernels that run are to end, too."""
    bases = list(bases)
    known = await inventory.recorded(runtime, bases)
    items = [_kernel(found, everything) for found in known]
    items += [
        _item(record.kernel_id, None, "was never submitted", REMOVE, record=record)
        for record in inventory.unsubmitted(bases, UNSUBMITTED)
    ]
    shown = {found.record.path for found in known}
    items += [
        _damaged(one, everything)
        for one in await inventory.damaged(runtime, bases)
        if one.record.path not in shown
    ]
    strays = await inventory.strays(runtime, bases)
    return items + [_stray(stray, everything) for stray in strays]


def _item(
    kernel: str, status: JobStatus | None, what: str, action: str, **more: Any
) -> Item:
    known: dict[str, Any] = {"name": "", "job": None, "state": "", "node": ""}
    if status is not None:
        known |= {
            "job": status.job_id,
            "state": status.state,
            "node": status.node or "",
        }
    what = " ".join(what.split())
    return Item(kernel, what=what, action=action, **{**known, **more})


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


def _damaged(one: Damaged, everything: bool) -> Item:
    """Return what is left of it; removing the record of a living job would end that."""
    gone = one.job is None and one.asked
    action = REMOVE if gone or everything else ""
    if one.job is not None and everything:
        action = END
    more = {"scheduler": one.scheduler, "record": one.record}
    return _item(one.record.kernel_id, one.job, one.why, action, **more)


def _stray(stray: Stray, everything: bool) -> Item:
    """Return a job without a record; one that runs is not ours to end unasked.

    An agent ends by itself when its record is removed. So this one has a record, in
    a state directory that no kernelspec here names.
    """
    waits = stray.status.phase is Phase.PENDING
    action = CANCEL if waits or everything else ""
    kernel, what = stray.name.removeprefix("jupyter-"), "has no record here"
    return _item(kernel, stray.status, what, action, scheduler=stray.scheduler)
