"""The record of one kernel. See `__init__.py` for its files."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from remote_kernels import harmless
from remote_kernels.errors import RecordError
from remote_kernels.relay import private

from .directory import Directory
from .held import HeldFile
from .job_end import JobEnd
from .trouble import cannot, is_passing, tell_once

log = harmless.logger(__name__)

MEMORY = 24 * 3600.0  # seconds
STALLED = 5.0  # seconds after which a record that is being written is not waited for


class Record(Directory):
    """The record of one kernel.

    Parameters
    ----------
    base:
        The state directory.
    kernel_id:
        The kernel's ID.
    """

    def __init__(self, base: Path, kernel_id: str) -> None:
        super().__init__(base, "kernels", kernel_id)
        self.kernel_id = kernel_id
        self.kernel_log = self.path / "kernel.log"
        self._logs.append(self.kernel_log)
        self.held = HeldFile(self)

    def create(self) -> None:
        """Make the directory. Raises RecordError."""
        if not self.is_live:
            self.remove()  # of a job that ended
        self.make_anew("this kernel's record")

    def write_later(self, name: str, body: dict[str, Any]) -> None:
        """Write one of the JSON files after all that was to be written before."""
        self.later(self.write, name, body)

    def later(self, write: Callable[..., None], *what: Any) -> None:
        """Call this after all that was to be written before, off the event loop.

        A failure is logged: a full disk ends no kernel.
        """
        self.worker.post(partial(self._told, write, *what))

    def _told(self, write: Callable[..., None], *what: Any) -> None:
        try:
            write(*what)
        except RecordError as exc:
            if self.path.exists():
                log.warning("kernel=%s %s", self.kernel_id, exc)
            else:  # `stop` has done so, or a person
                log.info("kernel=%s its record was removed", self.kernel_id)

    async def written(self) -> None:
        """Return once all is written, or not for a file server that stalls."""
        done = self.worker.run(lambda: None)
        await asyncio.wait((asyncio.ensure_future(done),), timeout=STALLED)

    def sessions(self) -> dict[str, Any]:
        """Return the notebooks that use the kernel; if that is damaged, none."""
        return self.read_if_good("sessions.json") or {}

    def read_if_good(self, name: str) -> dict[str, Any] | None:
        """Return a file that is not vital; None, with a warning, if it is damaged."""
        try:
            return self.read(name)
        except RecordError as exc:
            tell_once(exc)
            return None

    def last_word(self) -> str | None:
        """Return why the agent ended on its own, if it did."""
        try:
            own = self.read("ended.json")
        except RecordError as exc:
            if is_passing(exc):
                return None
            return f"its last word cannot be read ({exc})"
        return None if own is None else str(own["reason"])

    @property
    def is_live(self) -> bool:
        """Whether its job may still be there; also if that cannot be seen."""
        try:
            os.stat(self.path / "spec.json", follow_symlinks=False)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def seal(self, end: JobEnd) -> None:
        """Keep for a day how the job ended, for whom, and the logs; but no secret.

        Raises RecordError; where the disk is full, when the secret is gone.
        """
        try:
            facts = self.read("record.json") or {}
        except RecordError as exc:
            tell_once(exc)
            facts = {}
        try:
            self.write("record.json", {**facts, "end": asdict(end)})
        finally:
            self._forget_all_but("record.json", "ended.json", "sessions.json")

    def _forget_all_but(self, *kept: str) -> None:
        try:
            with private.opened(str(self.base), *self.below) as directory:
                for name in os.listdir(directory):  # noqa: PTH208
                    if name.endswith(".json") and name not in kept:
                        os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            return
        except OSError as exc:
            what = f"clear {self.path}"
            raise cannot(what, self.base, exc) from exc

    def purge_if_old(self) -> None:
        """Remove what has been sealed for a day."""
        try:
            old = self.path.lstat().st_mtime < time.time() - MEMORY
        except OSError:
            return
        if old and not self.is_live:
            self.remove()
