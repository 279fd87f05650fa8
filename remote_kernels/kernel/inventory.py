"""The kernels that are on record, what has become of their jobs, and how each is ended.

Rules: the disk says which kernels there are, the batch systems what their jobs do; each
of them is asked at most one question in its `poll_interval`, however many ask here
(`scheduler/poller.py`). Called by service.py, and by both doors.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from remote_kernels import harmless, records
from remote_kernels.bounded import waited
from remote_kernels.config import Settings, parse
from remote_kernels.errors import UnknownError
from remote_kernels.records import JobEnd
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.job import JobId, JobStatus, Phase
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.worker import Worker

from .allocation import allocation_of
from .job import id_in
from .job_end import end_of
from .model import KernelModel, kernel_model
from .runtime import Runtime

log = harmless.logger(__name__)

STALLED = 1.0  # seconds after which a look at the disk is not begun beside another


@dataclass(frozen=True)
class Recorded:
    """One kernel on record.

    Parameters
    ----------
    record, facts:
        Its record, and what is in that's `record.json`.
    status:
        The batch system's word on its job; None while there is none, which says nothing.
    end:
        How its job ended, if it has.
    is_sure:
        Whether it is known that the job is one of this cluster's: two clusters may
        share a home directory, and both have a job 17.
    """

    record: records.Record
    facts: dict[str, Any]
    status: JobStatus | None
    end: JobEnd | None = None
    is_sure: bool = True

    @property
    def kernel_id(self) -> str:
        """The kernel's ID."""
        return self.record.kernel_id

    @property
    def job_id(self) -> JobId:
        """The ID of its job."""
        return id_in(self.facts)

    @property
    def ended(self) -> str:
        """How its job ended, in plain words; "" while it has not."""
        return self.end.text if self.end is not None else ""

    def model(self) -> KernelModel:
        """Return the kernel as data."""
        sessions = self.record.sessions()
        driver = DRIVERS[self.facts["scheduler"]]
        end = self.end
        return kernel_model(
            self.kernel_id, self.facts, sessions, driver, self.status, end=end
        )

    @property
    def attachable(self) -> bool:
        """Whether there is, for all we know, an agent to speak to."""
        return not self.ended and self.record.has("agent.json")

    @property
    def owner(self) -> str:
        """Who has it, or had it last."""
        return f"process {self.facts.get('pid')} on {self.facts.get('host')}"

    def settings(self, config: Mapping[str, object]) -> Settings:
        """Return how to reach it, as its kernelspec's config says. Raises ConfigError."""
        base = str(self.record.base)
        place = {"scheduler": self.facts["scheduler"], "state_dir": base}
        return parse({**config, **place})

    @property
    def advice(self) -> str:
        """What can be done while its job waits; "" if there is only to wait."""
        if self.status is None or self.status.phase is not Phase.PENDING:
            return ""
        return DRIVERS[self.facts["scheduler"]].pending_advice(self.status)

    async def seal(self) -> None:
        """Keep on record how it ended, and no secret of it. Raises RecordError."""
        if self.end is not None and self.record.is_live:
            await self.record.worker.run(functools.partial(self.record.seal, self.end))

    def written_end(self) -> str:
        """Return how it ended, as its record tells it; "" while it does not."""
        own = self.record.last_word()
        if own is not None:
            return f"{own}."
        if self.record.is_live:
            return ""
        facts = self.record.read_if_good("record.json")  # it may be being removed
        return "it was shut down." if facts is None else _sealed_end(facts).text


async def cancel(runtime: Runtime, scheduler: str, job_id: JobId) -> None:
    """End a job. Raises CommandError."""
    await runtime.jobs(DRIVERS[scheduler]).cancel(job_id)


async def end(
    runtime: Runtime,
    record: records.Record | None,
    scheduler: str,
    job_id: JobId | None,
    *,
    whole_job: bool = False,
) -> bool:
    """End a kernel that no server has, and remove its record.

    Parameters
    ----------
    runtime:
        Whose questions to the batch systems these are.
    record:
        Its record, if there is one.
    scheduler, job_id:
        Its job, if that may still be there.
    whole_job:
        Whether kernels that share its job are to end, too.

    Returns
    -------
    bool
        Whether its job ends with it. If not, others may be in that, and the agent,
        which looks now and then, ends the kernel without it.

    Raises
    ------
    CommandError, RecordError
        It could not be ended; its record is left.
    """
    alone = True
    if job_id is not None:
        end_job = functools.partial(cancel, runtime, scheduler, job_id)
        place = None if record is None or whole_job else allocation_of(record)
        if place is None or record is None:
            await end_job()
        else:
            alone = await place.give_up(record.kernel_id, runtime, end_job)
    if record is not None:
        await asyncio.to_thread(record.remove)
    return alone


def jobs_here(runtime: Runtime, scheduler: str) -> Jobs | None:
    """Return the jobs of a scheduler; None if its commands are not installed."""
    driver = DRIVERS[scheduler]
    return runtime.jobs(driver) if driver.is_here(os.environ) else None


def records_in(bases: Iterable[Path]) -> Iterator[records.Record]:
    """Yield every record in these state directories, once."""
    for base in dict.fromkeys(bases):
        yield from records.every_record(base)


class _Entry(NamedTuple):
    """What the disk says of one kernel, and which of its files are there."""

    record: records.Record
    facts: dict[str, Any]
    is_live: bool
    files: Hashable


async def recorded(
    runtime: Runtime,
    bases: Iterable[Path],
    without: Collection[str] = (),
    *,
    patience: float | None = None,
    watching: bool = False,
) -> list[Recorded]:
    """Return the kernels of this cluster, in these state directories.

    Parameters
    ----------
    runtime:
        Whose questions to the batch systems these are.
    bases:
        The state directories.
    without:
        IDs of kernels that are left out.
    patience:
        Seconds to wait for the disk, and for each batch system; None waits for as long
        as it takes.
    watching:
        Whether this is asked again and again: then a batch system is asked less and
        less often while nothing changes.

    Raises
    ------
    UnknownError
        A state directory does not answer in time.
    """
    found: list[Recorded] = []
    for name, entries in (await _read(runtime, bases, patience)).items():
        mine = [each for each in entries if each.record.kernel_id not in without]
        if mine:
            found += await _of_scheduler(runtime, name, mine, patience, watching)
    return found


async def _read(
    runtime: Runtime, bases: Iterable[Path], patience: float | None
) -> dict[str, list[_Entry]]:
    """Return what the disk says; where it stalls, all who ask wait for one answer."""
    key, now = tuple(dict.fromkeys(bases)), asyncio.get_running_loop().time()
    begun, reading = runtime.readings.get(key, (now, None))
    if reading is None or reading.done() or now - begun < STALLED:
        reading = asyncio.ensure_future(Worker().run(lambda: _entries(key)))
        runtime.readings[key] = now, reading
    await waited(reading, patience)
    if not reading.done():
        places = ", ".join(map(str, key))
        msg = (
            f"The file server does not answer for the kernels' records in {places}. "
            "Try again later; kernels go on."
        )
        raise UnknownError(msg)
    found: dict[str, list[_Entry]] = reading.result()
    return found


def _entries(bases: Iterable[Path]) -> dict[str, list[_Entry]]:
    """Return what the disk says of each kernel, by scheduler."""
    found: dict[str, list[_Entry]] = {}
    for record in records_in(bases):
        facts = record.read_if_good("record.json") or {}
        if facts.get("job_id") and facts.get("scheduler") in DRIVERS:
            files = tuple(map(record.has, ("agent.json", "ended.json")))
            entry = _Entry(record, facts, record.is_live, files)
            found.setdefault(facts["scheduler"], []).append(entry)
    return found


async def _of_scheduler(
    runtime: Runtime,
    name: str,
    entries: list[_Entry],
    patience: float | None,
    watching: bool,
) -> list[Recorded]:
    driver, jobs = DRIVERS[name], jobs_here(runtime, name)
    if jobs is None:
        return []
    naming = asyncio.ensure_future(jobs.cluster())
    await waited(naming, patience)
    here = naming.result() if naming.done() else None
    mine = [
        each
        for each in entries
        if here is None or each.facts.get("cluster") in (None, here)
    ]
    live = {id_in(each.facts): each for each in mine if each.is_live}
    asked = [job_id for job_id in live if driver.knows(job_id)]
    files = tuple((job_id, each.files) for job_id, each in live.items())
    said = await jobs.listed(
        asked, patience=patience, records=files if watching else None
    )
    found = []
    for record, facts, is_live, _ in mine:
        job_id = id_in(facts)
        status = said.get(job_id) if said and is_live else None
        end = JobEnd.read(facts)  # our own word, where there is one
        if end is None and not is_live:
            end = _sealed_end(facts)
        elif end is None and status is not None and status.phase is Phase.ENDED:
            end = end_of(driver, status, driver.ended_text(status))
        # What has no answer to ask for is as sure as it will be.
        answered = naming.done() and said is not None
        is_known = answered and (not said or job_id in said)
        is_sure = not is_live or job_id not in asked or is_known
        found.append(Recorded(record, facts, status, end, is_sure))
    return found


def _sealed_end(facts: Mapping[str, Any]) -> JobEnd:
    return JobEnd.read(facts) or JobEnd(records.UNKNOWN, text="it ended")
