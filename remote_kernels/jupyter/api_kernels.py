"""The kernels of this user: those of this server, and others that are on record.

Rules: of its own kernels this server asks nobody; of all others it asks the scheduler
once for all, and not again before `poll_interval` is over, however many clients ask. A
kernel is found by comparing IDs with those that are there: what a client sends never
becomes a path. Lives on the server's loop. Called by the API's handlers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.utils import ensure_async

from remote_kernels import registry
from remote_kernels.errors import CommandError, RecordError
from remote_kernels.kernel.drivers import DRIVERS
from remote_kernels.kernel.inventory import Recorded, cancel, recorded
from remote_kernels.kernel.view import View
from remote_kernels.registry import Record
from remote_kernels.scheduler.queue import shared

from .api_errors import Refusal, unanswered
from .background import background
from .provisioner import RemoteKernelProvisioner

if TYPE_CHECKING:
    from remote_kernels.kernel import RemoteKernel

MOST_BYTES = 1024 * 1024  # of a log, looked at from its end


@dataclass(frozen=True)
class Known:
    """A kernel, its record, and whether this server has it."""

    view: View
    record: Record
    ours: bool

    @property
    def ended(self) -> bool:
        return self.view.state == "ended"


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
        self._asking = asyncio.Lock()
        self._others: list[Known] = []
        self._fresh_until = float("-inf")

    async def all(self, *, ended: bool = True) -> list[Known]:
        """This server's kernels, then the others; of these also what has ended."""
        ours = await self._ours()
        ids = {known.view.kernel_id for known in ours}
        others = [
            known
            for known in map(_as_of_now, await self._on_record(ids))
            if known is not None and known.view.kernel_id not in ids
        ]
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
        """All others, as of `poll_interval` ago or later."""
        async with self._asking:
            if time.monotonic() >= self._fresh_until:
                dirs = list(dict.fromkeys(self._state_dirs()))
                self._others, pace = await background().run(_ask(dirs, ours))
                pace = max(pace, self._poll_interval)
                self._fresh_until = time.monotonic() + pace
            return self._others

    async def stop(self, known: Known) -> None:
        """End the kernel and its job. Raises CommandError; its record then stays."""
        if known.ours:
            await ensure_async(self.manager.shutdown_kernel(known.view.kernel_id))
            return
        if not known.ended:
            await background().run(cancel(known.view.scheduler, known.view.job_id))
        await asyncio.to_thread(known.record.remove)


async def _known(kernels: Iterable[RemoteKernel]) -> list[Known]:
    """Of this server; asks nobody. One whose job is not submitted yet is left out."""
    return [
        Known(kernel.view(), _record_of(kernel), True)
        for kernel in kernels
        if kernel.job_id is not None
    ]


def _record_of(kernel: RemoteKernel) -> Record:
    base = registry.state_dir(kernel.settings.state_dir)
    return Record(base, kernel.kernel_id)


async def _ask(
    dirs: Iterable[Path], ours: Collection[str]
) -> tuple[list[Known], float]:
    """The others on record, and for how many seconds that has to do."""
    records = [r for base in dirs for r in registry.records(base)]
    others = [record for record in records if record.kernel_id not in ours]
    known = [found for found in map(_sealed, others) if found is not None]
    if any(record.is_live for record in others):
        for found in await recorded(dirs):
            if found.kernel_id not in ours and found.record.is_live:
                known.append(Known(found.view(), found.record, False))
    return known, max(shared(make).poll_interval for make in DRIVERS.values())


def _sealed(record: Record) -> Known | None:
    """One that has ended; its record says how, without a question."""
    if record.is_live:
        return None
    try:
        facts = record.read("record.json") or {}
    except RecordError:
        return None
    if not facts.get("job_id") or facts.get("scheduler") not in DRIVERS:
        return None
    found = Recorded(record, facts, None, str(facts.get("end") or "it ended"))
    return Known(found.view(), record, False)


def _as_of_now(known: Known) -> Known | None:
    """What the disk says since: it may have ended, or be gone."""
    if known.ended:
        return known if known.record.path.exists() else None
    return known if known.record.is_live else _sealed(known.record)


async def extend(known: Known, minutes: int) -> View:
    """Move the job's time limit; the kernel with its new end. Raises CommandError."""
    if known.ended:
        raise Refusal(409, f"Its job has ended: {known.view.text}")
    return await background().run(_extend(known.view, minutes))


async def _extend(view: View, minutes: int) -> View:
    queue = shared(DRIVERS[view.scheduler])
    try:
        await queue.extend(view.job_id, minutes)
    except CommandError as error:
        raise Refusal(_refused(error), str(error)) from error
    try:
        status = await queue.status(view.job_id)
    except CommandError:  # it is moved all the same
        return view
    return replace(view, ends=status.end_time)


def _refused(error: CommandError) -> int:
    """The status of an extension that the scheduler did not grant."""
    if unanswered(error):
        return 503
    return 403 if "permission denied" in error.stderr.lower() else 409


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
