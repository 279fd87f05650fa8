"""The kernels of this user: those of this server, and others that are on record.

Rules: of its own kernels this server asks nobody; of all others it asks the scheduler
once for all, and not again before `poll_interval` is over, however many clients ask.
No client waits long for that answer: the disk says which kernels there are. A kernel is
found by comparing IDs with those: what a client sends never becomes a path. Lives on
the server's loop. Called by the API's handlers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.utils import ensure_async

from remote_kernels import records
from remote_kernels.errors import CommandError, ConfigError, DeniedError, RecordError
from remote_kernels.kernel.inventory import Recorded, end, recorded
from remote_kernels.kernel.view import View
from remote_kernels.records import JobEnd, Record
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.jobs import shared

from .api_errors import Refusal, status_of, unanswered
from .background import background
from .provisioner import RemoteKernelProvisioner

if TYPE_CHECKING:
    from remote_kernels.kernel import RemoteKernel

PATIENCE = 5.0  # seconds that a client waits for the scheduler
MOST_BYTES = 1024 * 1024  # of a log, looked at from its end


@dataclass(frozen=True)
class Known:
    """A kernel, its record, and whether this server has it.

    `asked` is whether its job is one of this cluster's: two clusters may share a home
    directory, and both have a job 17.
    """

    view: View
    record: Record
    ours: bool = False
    asked: bool = True

    @property
    def ended(self) -> bool:
        return self.view.state == "ended"


@dataclass(frozen=True)
class _Answer:
    """The kernels that the scheduler was asked for, and those that it has."""

    asked: Collection[str] = frozenset()
    found: Mapping[str, Recorded] = field(default_factory=dict)


class Kernels:
    """What the API tells of kernels, and does to them.

    Parameters
    ----------
    manager:
        The server's kernel manager.
    state_dirs:
        Where this user's records may be.
    poll_interval:
        Seconds between two questions to the scheduler, at least.
    """

    def __init__(
        self,
        manager: Any,
        state_dirs: Callable[[], Iterable[Path]],
        poll_interval: float,
    ) -> None:
        self.manager = manager
        self._state_dirs = state_dirs
        self._poll_interval = poll_interval
        self._dirs: list[Path] = []
        self._question: asyncio.Task[None] | None = None
        self._answer = _Answer()
        self._fresh_until = float("-inf")

    async def all(self, *, ended: bool = True) -> list[Known]:
        """This server's kernels, then the others; of these also what has ended."""
        ours = await self._ours()
        ids = {known.view.kernel_id for known in ours}
        others = await self._on_record(ids)
        return ours + [known for known in others if ended or not known.ended]

    async def find(self, kernel_id: str) -> Known:
        """Raises Refusal when there is none."""
        for known in await self._ours():
            if known.view.kernel_id == kernel_id:
                return known
        for known in await self.all():
            if known.view.kernel_id == kernel_id:
                return known
        raise Refusal(404, f"No kernel of yours has the ID {kernel_id!r}.")

    async def _ours(self) -> list[Known]:
        kernels = []
        for kernel_id in self.manager.list_kernel_ids():
            provisioner = self.manager.get_kernel(kernel_id).provisioner
            if isinstance(provisioner, RemoteKernelProvisioner):
                kernel = provisioner.remote_kernel
                kernels += [kernel] if kernel is not None else []
        return await background().run(_known(kernels)) if kernels else []

    async def _on_record(self, ours: Collection[str]) -> list[Known]:
        """All others; the scheduler's word may be as old as `poll_interval`."""
        if self._question is None and time.monotonic() >= self._fresh_until:
            self._question = asyncio.create_task(self._ask(ours))
        question = self._question
        if question is not None:
            await asyncio.wait((question,), timeout=PATIENCE)
            if question.done():
                question.result()
        others = _others(self._dirs, ours, self._answer)
        return await asyncio.to_thread(list, others)

    async def _ask(self, ours: Collection[str]) -> None:
        try:
            self._dirs = list(dict.fromkeys(self._state_dirs()))
            self._answer, pace = await background().run(_ask(self._dirs, ours))
            pace = max(pace, self._poll_interval)
            self._fresh_until = time.monotonic() + pace
        finally:
            self._question = None

    async def stop(self, known: Known) -> None:
        """End the kernel and its job. Raises CommandError; its record then stays."""
        if known.ours:
            provisioner = self.manager.get_kernel(known.view.kernel_id).provisioner
            await ensure_async(self.manager.shutdown_kernel(known.view.kernel_id))
            if provisioner.left:
                raise Refusal(502, provisioner.left)
            return
        _require_asked(known)
        if known.ended:
            await asyncio.to_thread(known.record.remove)
            return
        view = known.view
        assert view.job is not None
        await background().run(end(known.record, view.scheduler, view.job))


async def _known(kernels: Iterable[RemoteKernel]) -> list[Known]:
    """Of this server; asks nobody. One whose job is not submitted yet is left out."""
    return [
        Known(kernel.view(), _record_of(kernel), ours=True)
        for kernel in kernels
        if kernel.job_id is not None
    ]


def _record_of(kernel: RemoteKernel) -> Record:
    base = records.state_dir(kernel.settings.state_dir)
    return Record(base, kernel.kernel_id)


async def _ask(dirs: Iterable[Path], ours: Collection[str]) -> tuple[_Answer, float]:
    """One question for all others, and for how many seconds its answer has to do."""
    live = (record for record in _records(dirs, ours) if record.is_live)
    asked = {record.kernel_id for record in live}
    found = await recorded(dirs) if asked else []
    pace = max(shared(driver).poll_interval for driver in DRIVERS.values())
    return _Answer(asked, {one.kernel_id: one for one in found}), pace


def _records(dirs: Iterable[Path], ours: Collection[str]) -> Iterator[Record]:
    for base in dirs:
        for record in records.every_record(base):
            if record.kernel_id not in ours:
                yield record


def _others(
    dirs: Iterable[Path], ours: Collection[str], answer: _Answer
) -> Iterator[Known]:
    """What is on record now, with the scheduler's last word."""
    for record in _records(dirs, ours):
        known = _live(record, answer) if record.is_live else _sealed(record)
        if known is not None:
            yield known


def _live(record: Record, answer: _Answer) -> Known | None:
    found = answer.found.get(record.kernel_id)
    if found is not None:
        return Known(found.view(), record)
    if record.kernel_id in answer.asked:  # another cluster's
        return None
    facts = _facts(record)
    if not facts:
        return None
    return Known(Recorded(record, facts, None).view(), record, asked=False)


def _sealed(record: Record) -> Known | None:
    """One that has ended; its record says how, without a question."""
    facts = _facts(record)
    if not facts:
        return None
    end = JobEnd.read(facts) or JobEnd(records.UNKNOWN, text="it ended")
    return Known(Recorded(record, facts, None, end).view(), record)


def _facts(record: Record) -> dict[str, Any]:
    """Empty if its job is not known."""
    try:
        facts = record.read("record.json") or {}
    except RecordError as exc:
        records.tell_once(exc)
        return {}
    known = facts.get("job_id") and facts.get("scheduler") in DRIVERS
    return facts if known else {}


def _require_asked(known: Known) -> None:
    if not known.asked:
        text = "The scheduler has not said yet whether the job is its own. Try again."
        raise Refusal(503, text)


async def extend(known: Known, minutes: int) -> View:
    """Move the job's time limit; the kernel with its new end. Raises CommandError."""
    if known.ended:
        raise Refusal(409, f"Its job has ended: {known.view.text}")
    _require_asked(known)
    return await background().run(_extend(known.view, minutes))


async def _extend(view: View, minutes: int) -> View:
    assert view.job is not None
    jobs = shared(DRIVERS[view.scheduler])
    try:
        await jobs.extend(view.job, minutes)
    except ConfigError as error:  # its scheduler has no limits
        raise Refusal(409, str(error)) from error
    except CommandError as error:
        known = unanswered(error) or isinstance(error, DeniedError)
        raise Refusal(status_of(error) if known else 409, str(error)) from error
    try:
        status = await jobs.status(view.job)
    except CommandError:  # it is moved all the same
        return view
    return replace(view, ends=status.end_time)


def log_end(path: Path, lines: int) -> str:
    """The last lines of a log; empty when nothing has been written."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MOST_BYTES))
            text = file.read(MOST_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as exc:
        msg = f"Cannot read {path}: {exc}"
        raise RecordError(msg) from exc
    return "".join(text.splitlines(keepends=True)[-lines:])
