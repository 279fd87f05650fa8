"""The record of a job of the user's own: a script, or a notebook that runs in a job.

    STATE_DIR/jobs/NAME/   0700
        job.json        what was submitted, which job it is, how it ended   written by the login end
        notebook.ipynb  the notebook as it was when it was submitted        written by the login end
        progress.json   how far a notebook is, and what became of it        written by its job
        job.log         what the job wrote, where the batch system has no place for that

Rules: NAME is ours, and no client's; records of jobs that have ended are few and do not
last. Called by kernel/.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remote_kernels.errors import RecordError
from remote_kernels.relay import private

from .directory import Directory
from .trouble import is_passing, tell_once

FACTS, NOTEBOOK, PROGRESS = "job.json", "notebook.ipynb", "progress.json"
MEMORY = 7 * 24 * 3600.0  # seconds that one is kept after its job's end
FORGOTTEN = 90 * 24 * 3600.0  # seconds without a change; of a cluster that is gone
MOST = 200  # records of jobs that have ended


class JobRecord(Directory):
    """One of them.

    Parameters
    ----------
    base:
        The state directory.
    name:
        Its own.
    """

    def __init__(self, base: Path, name: str) -> None:
        super().__init__(base, "jobs", name)
        self.notebook = self.path / NOTEBOOK

    @classmethod
    def new(cls, base: Path) -> JobRecord:
        """Make one, with a name that no other has. Raises RecordError."""
        record = cls(base, os.urandom(8).hex())
        record.make_anew("the record of a job")
        return record

    def facts(self) -> dict[str, Any]:
        """Return what was submitted; nothing where that is damaged."""
        return self._good(FACTS)

    def progress(self) -> dict[str, Any]:
        """Return what its job tells; nothing where it tells nothing."""
        return self._good(PROGRESS)

    def _good(self, name: str) -> dict[str, Any]:
        try:
            return self.read(name) or {}
        except RecordError as exc:
            if not is_passing(exc):
                tell_once(exc)
            return {}

    def write_notebook(self, text: str) -> None:
        """Keep the notebook as it is now. Raises RecordError."""
        self._put(private.write, NOTEBOOK, text)


def purge(found: Sequence[tuple[JobRecord, dict[str, Any]]]) -> list[JobRecord]:
    """Remove what is old, or too much; return what was removed.

    Parameters
    ----------
    found
        Records, with their facts.
    """
    ended = [(_ended(facts), record) for record, facts in found if facts.get("end")]
    ended.sort(key=lambda one: one[0])
    too_many = len(ended) - MOST
    now = time.time()
    old = [
        record
        for index, (at, record) in enumerate(ended)
        if index < too_many or at < now - MEMORY
    ]
    old += [r for r, facts in found if not facts.get("end") and _is_forgotten(r, now)]
    for record in old:
        record.remove()
    return old


def _ended(facts: dict[str, Any]) -> float:
    times = facts.get("times") or {}
    return float(times.get("ended") or times.get("submitted") or 0.0)


def _is_forgotten(record: JobRecord, now: float) -> bool:
    try:
        return record.path.lstat().st_mtime < now - FORGOTTEN
    except OSError:
        return False
