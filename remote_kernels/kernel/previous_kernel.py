"""The kernel that a notebook had before, whose job ended: its variables are gone.

A page starts a new kernel, under a new ID, when one runs a cell and there is none (and
asks nobody), so only the notebook's name tells that there was one. Called by
remote_kernel.py and startup.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from remote_kernels import harmless, records
from remote_kernels.errors import RecordError

log = harmless.logger(__name__)


@dataclass(frozen=True)
class PreviousKernel:
    """How that kernel ended, in plain words; its record, where that is another's."""

    end: str
    record: records.Record | None = None

    @property
    def text(self) -> str:
        """What its notebook is told."""
        return (
            "This is a new kernel in a new job. The one before has ended, and all of its "
            f"variables are gone: run again the cells that make them.\n{self.end}"
        )

    def note_told(self, kernel_id: str) -> None:
        """Note that a new kernel has told of the end; the next one need not."""
        if self.record is not None:
            try:
                facts = self.record.read("record.json")
                if facts is not None:
                    self.record.write("record.json", {**facts, "followed": kernel_id})
            except RecordError as exc:
                log.info("%s", exc)


def previous_kernel(base: Path, notebook: str) -> PreviousKernel | None:
    """Return the notebook's kernel that ended last, if none has followed it.

    Parameters
    ----------
    base:
        The state directory.
    notebook:
        The notebook's file.
    """
    last: tuple[float, PreviousKernel] | None = None
    for record in records.every_record(base) if notebook else ():
        facts = {} if record.is_live else record.read_if_good("record.json") or {}
        times, end = facts.get("times") or {}, records.JobEnd.read(facts)
        lived = facts.get("notebook") == notebook and "ready" in times
        if lived and end and "followed" not in facts:
            ended = float(times.get("ended", 0.0))
            if last is None or ended > last[0]:
                last = ended, PreviousKernel(end.text, record)
    return last[1] if last is not None else None
