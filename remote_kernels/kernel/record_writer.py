"""Writes one kernel's record: in order, off the event loop, and whatever fails.

A full disk ends no kernel, and a file server that stalls stops at most one. Made by
status.py, which knows what there is to write.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from functools import partial
from typing import Any

from remote_kernels import harmless
from remote_kernels.errors import RecordError
from remote_kernels.front.interfaces import Request
from remote_kernels.records import JobEnd, Record

log = harmless.logger(__name__)

STALLED = 5.0  # seconds after which a record that is being written is not waited for


class RecordWriter:
    """What writes the record of one kernel.

    Parameters
    ----------
    record:
        The kernel's.
    """

    def __init__(self, record: Record) -> None:
        self._record = record

    async def write(self, name: str, body: dict[str, Any]) -> None:
        """Write one of its files. Raises RecordError."""
        await self._record.worker.run(partial(self._record.write, name, body))

    def write_later(self, name: str, body: dict[str, Any]) -> None:
        """Write one of its files after all that was to be written before."""
        body = copy.deepcopy(body)  # as it is now
        self._record.worker.post(partial(self._told, self._record.write, name, body))

    def hold_later(self, held: list[Request], known: int) -> None:
        """Write what clients ask while they wait; see `HeldFile.write`."""
        self._record.worker.post(partial(self._told, self._hold, list(held), known))

    def _hold(self, held: list[Request], known: int) -> None:
        if self._record.is_live:
            self._record.held.write(held, known)

    def seal_later(self, end: JobEnd, leave: Callable[[], None]) -> None:
        """Write how the job ended, and keep no secret; `leave` is called before."""
        self._record.worker.post(partial(self._told, self._seal, end, leave))

    def _seal(self, end: JobEnd, leave: Callable[[], None]) -> None:
        leave()
        self._record.seal(end)

    async def written(self) -> None:
        """Return once all is in the record, or not for a file server that stalls."""
        done = self._record.worker.run(lambda: None)
        await asyncio.wait((asyncio.ensure_future(done),), timeout=STALLED)

    def _told(self, write: Callable[..., None], *what: Any) -> None:
        try:
            write(*what)
        except RecordError as exc:
            if self._record.path.exists():
                log.warning("kernel=%s %s", self._record.kernel_id, exc)
            else:  # `stop` has done so, or a person
                log.info("kernel=%s its record was removed", self._record.kernel_id)
