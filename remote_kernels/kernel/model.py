"""The kernel model: one form for the REST API, the command line, events and tests.

Made of its record and of the scheduler's last word. Called by status.py for kernels
of this process, and by inventory.py for all others.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from remote_kernels import harmless
from remote_kernels.records import JobEnd
from remote_kernels.scheduler.driver import Driver
from remote_kernels.scheduler.job import JobId, JobStatus, Phase

from .job import id_in
from .lifecycle import ARRIVED, State


class Word(str, enum.Enum):
    """A word that programs are told: as text, and as a key, it is its value."""

    __str__ = str.__str__
    __hash__ = str.__hash__


class ModelState(Word):
    """What people and programs are told of a kernel's state, in the order of its life."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    LOST = "lost"
    SUSPENDED = "suspended"
    ENDING = "ending"
    ENDED = "ended"
    UNKNOWN = "unknown"  # the scheduler does not answer


*STATES, UNKNOWN = ModelState

_STATE_OF = {
    Phase.PENDING: ModelState.WAITING,
    Phase.RUNNING: ModelState.RUNNING,
    Phase.SUSPENDED: ModelState.SUSPENDED,
    Phase.ENDING: ModelState.ENDING,
    Phase.ENDED: ModelState.ENDED,
    Phase.UNKNOWN: ModelState.UNKNOWN,
}


@dataclass(frozen=True)
class KernelModel:
    """One kernel.

    Times are in seconds since the epoch, None where they are not known. `state` is one
    of `ModelState`, or of a later version; `text` says it in plain words. `job_state`
    and `reason` are the scheduler's own words. `expected_start` is the scheduler's
    guess, `place` the job's place in its queue, from 1. `host` and `pid` are the server
    that has, or had, the kernel. `usage` is what the kernel uses, where that is
    measured. `end` is how its job ended.
    """

    kernel_id: str
    name: str
    spec_name: str
    notebooks: tuple[str, ...]
    scheduler: str
    cluster: str | None
    job: JobId | None
    state: str
    text: str
    job_state: str
    reason: str
    place: int | None
    node: str | None
    carrier: str | None
    host: str
    pid: int
    submitted: float | None
    ready: float | None
    expected_start: float | None
    ends: float | None
    usage: Mapping[str, Any] | None
    end: JobEnd | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API and `--json` show it; `time_left` is in seconds.

        What is for people is harmless; what is looked for by its name is as it is.
        """
        left = None if self.ends is None else max(0, round(self.ends - time.time()))
        body = asdict(self)
        del body["job"]
        return {
            **body,
            "name": harmless.line(self.name),
            "job_id": self.job_id,
            "notebooks": list(self.notebooks),
            "text": harmless.text(self.text),
            "job_state": harmless.line(self.job_state),
            "reason": harmless.line(self.reason),
            "end": None if self.end is None else self.end.as_json(),
            "time_left": left,
        }

    @property
    def job_id(self) -> str:
        """The job's number, for people; "" if it has none yet."""
        return "" if self.job is None else str(self.job)

    @property
    def called(self) -> str:
        """What people know it by: the paths of its notebooks, else its own name."""
        return ", ".join(self.notebooks) or self.name


def kernel_model(
    kernel_id: str,
    facts: Mapping[str, Any],
    sessions: Mapping[str, Any],
    driver: Driver,
    status: JobStatus | None,
    *,
    end: JobEnd | None = None,
    own: State | None = None,
    usage: Mapping[str, Any] | None = None,
) -> KernelModel:
    """Return a kernel as its record and the scheduler show it.

    Parameters
    ----------
    kernel_id:
        The kernel's ID.
    facts:
        Its `record.json`.
    sessions:
        Its `sessions.json`.
    driver:
        Its scheduler's words.
    status:
        What the scheduler said last, if it was asked and answered.
    end:
        How its job ended, if it has.
    own:
        Where it is in its life, if this process has it.
    usage:
        What its agent measured last.
    """
    times = facts.get("times") or {}
    state = _state(status, times, end, own)
    live = status if state not in (ModelState.ENDED, ModelState.UNKNOWN) else None
    waiting = live if state is ModelState.WAITING else None
    node = facts.get("node") or (status.node if status is not None else None)
    return KernelModel(
        kernel_id=kernel_id,
        name=str(facts.get("name", "")),
        spec_name=str(facts.get("spec_name", "")),
        notebooks=tuple(str(session.get("path", "")) for session in sessions.values()),
        scheduler=str(facts.get("scheduler", "")),
        cluster=facts.get("cluster"),
        job=id_in(facts) if facts.get("job_id") else None,
        state=state,
        text=end.text
        if end is not None
        else _text(state, driver, status, node or "a node"),
        job_state=_job_state(status, end),
        reason=status.reason if status is not None and end is None else "",
        place=waiting.place if waiting is not None else None,
        node=node,
        carrier=facts.get("carrier"),
        host=str(facts.get("host", "")),
        pid=int(facts.get("pid") or 0),
        submitted=times.get("submitted"),
        ready=times.get("ready"),
        expected_start=waiting.start_time if waiting is not None else None,
        ends=live.end_time if live is not None and waiting is None else None,
        usage=usage,
        end=end,
    )


def _job_state(status: JobStatus | None, end: JobEnd | None) -> str:
    """Return the scheduler's word; a word of the living job is none of its end."""
    if end is not None:
        return end.word if end.is_schedulers else ""
    return status.state if status is not None else ""


def _state(
    status: JobStatus | None,
    times: Mapping[str, float],
    end: JobEnd | None,
    own: State | None,
) -> ModelState:
    """Return its state; of our own kernels, the scheduler's word may be old."""
    if end is not None:
        return ModelState.ENDED
    if own in ARRIVED and own is not State.LOST:
        return ModelState.RUNNING
    if own is State.LOST:  # a job that is suspended does not answer
        suspended = status is not None and status.phase is Phase.SUSPENDED
        return ModelState.SUSPENDED if suspended else ModelState.LOST
    if status is not None:
        state = _STATE_OF[status.phase]
    else:
        state = ModelState.UNKNOWN if own is None else ModelState.WAITING
    began = state is ModelState.RUNNING and "ready" not in times
    late = state is ModelState.WAITING and own is State.STARTING
    return ModelState.STARTING if began or late else state


def _text(
    state: ModelState, driver: Driver, status: JobStatus | None, node: str
) -> str:
    if state is ModelState.UNKNOWN:
        said = "" if status is None else f" ({status.state})"
        return f"unknown{said}; the scheduler does not say"
    if state is ModelState.WAITING:
        return driver.pending_text(status) if status is not None else "submitted"
    texts = {
        ModelState.STARTING: f"its job runs on {node}; the kernel is starting",
        ModelState.RUNNING: f"runs on {node}",
        ModelState.LOST: f"the connection to {node} is lost; it is being made anew",
        ModelState.SUSPENDED: "its job is suspended",
        ModelState.ENDING: "its job is ending",
        ModelState.ENDED: "its job has ended",
    }
    return texts[state]
