"""What `%remote_kernel` shows: where the kernel runs, for how long, and what it uses.

Called by `remote_kernel.py`.
"""

from __future__ import annotations

import html
import time
from dataclasses import asdict, dataclass
from typing import Any

from remote_kernels import spans


@dataclass(frozen=True)
class Report:
    """What `%remote_kernel` returns: shown as a table, and usable by its attributes.

    Sizes are in bytes, times in seconds (`end_time`: since the epoch); None is what is
    not known.

    Parameters
    ----------
    cpus, memory_asked, gpus_asked
        What the job got on this node.
    cpu_percent, cpu_since
        The use of CPUs in the last `cpu_since` seconds; 100 is one CPU in full use.
    cpus_usable
        How many CPUs the kernel may run on.
    memory, memory_limit
        What is in use, and the limit beyond which processes are killed.
    notes
        What is missing, and why.
    """

    node: str
    pid: int
    job_id: str | None
    job_name: str | None
    partition: str | None
    account: str | None
    cpus: int | None
    memory_asked: int | None
    gpus_asked: str | None
    end_time: float | None
    time_left: float | None
    cpu_percent: float | None
    cpu_since: float | None
    cpus_usable: int
    memory: int
    memory_limit: int | None
    gpus: list[dict[str, Any]]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return {**asdict(self), "notes": list(self.notes)}

    def __str__(self) -> str:
        rows = self._rows()
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {value}" for name, value in rows]
        return "\n".join([*lines, *self.notes])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        cell = "<td style='text-align:left'>"
        rows = [
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"{cell}{html.escape(value)}</td></tr>"
            for name, value in self._rows()
        ]
        notes = [f"<p>{html.escape(note)}</p>" for note in self.notes]
        return "\n".join(["<table>", *rows, "</table>", *notes])

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("kernel", f"process {self.pid} on {self.node}"), ("job", self._job())]
        if self.job_id is not None:
            rows += [("asked for", self._asked()), ("time left", self._left())]
        rows += [("CPU", self._cpu()), ("memory", self._memory())]
        return rows + [(f"GPU {gpu['index']}", _gpu(gpu)) for gpu in self.gpus]

    def _job(self) -> str:
        if self.job_id is None:
            return "none: this kernel is not in a job"
        words = [self.job_id, self.job_name, self.partition and f"in {self.partition}"]
        return " ".join(word for word in words if word)

    def _asked(self) -> str:
        words = [] if self.cpus is None else [_counted(self.cpus, "CPU")]
        if self.memory_asked is not None:
            words.append(f"{spans.size(self.memory_asked)} of memory")
        if self.gpus_asked:
            words.append(f"GPU {self.gpus_asked}")
        return ", ".join(words) or "unknown"

    def _left(self) -> str:
        if self.time_left is None or self.end_time is None:
            return "no limit" if not self.notes else "unknown"
        clock = time.strftime("%a %H:%M:%S", time.localtime(self.end_time))
        return f"{spans.say(self.time_left)}, until {clock}"

    def _cpu(self) -> str:
        usable = f"{_counted(self.cpus_usable, 'CPU')} usable"
        if self.cpu_percent is None or self.cpu_since is None:
            return usable
        seconds = self.cpu_since
        since = spans.say(seconds) if seconds >= 10 else f"{seconds:.1f} s"
        return f"{self.cpu_percent:.0f} % of one CPU in the last {since}, {usable}"

    def _memory(self) -> str:
        if self.memory_limit is None:
            return f"{spans.size(self.memory)}, no limit"
        share = 100 * self.memory / self.memory_limit
        return f"{spans.size(self.memory)} of {spans.size(self.memory_limit)} ({share:.0f} %)"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _gpu(gpu: dict[str, Any]) -> str:
    words = [str(gpu["name"])]
    if gpu["utilization"] is not None:
        words.append(f"{gpu['utilization']} %")
    if gpu["memory"] is not None and gpu["memory_total"] is not None:
        words.append(
            f"{spans.size(gpu['memory'])} of {spans.size(gpu['memory_total'])}"
        )
    return ", ".join(words)
