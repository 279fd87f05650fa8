"""A job of the user's own, which is no kernel: one form for the REST API and the shell.

Made of its record, if it was submitted here, and of the scheduler's last word. Pure.
Called by own_jobs.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from remote_kernels import harmless
from remote_kernels.records import UNKNOWN, JobEnd
from remote_kernels.records.job_record import JobRecord
from remote_kernels.scheduler import notebook_script
from remote_kernels.scheduler.driver import Driver, Logs
from remote_kernels.scheduler.job import SUBMITTED, JobId, JobStatus, Phase

from .job import id_in
from .model import STATE_OF, ModelState


@dataclass(frozen=True)
class JobModel:
    """One of them.

    Times are in seconds since the epoch, None where they are not known. `state` is one
    of `ModelState` without those that only kernels have; `text` says it in plain words.
    `job_state` and `reason` are the scheduler's own words. `ours`: it was submitted
    here. `log`: what it writes can be shown. `result` and `report` are what a notebook
    becomes: absolute paths; the report is there at its end. `end` is how the job ended.
    """

    job_id: str
    scheduler: str
    name: str
    state: str
    text: str
    job_state: str
    reason: str
    node: str | None
    queue: str | None
    submitted: float | None
    started: float | None
    ends: float | None
    expected_start: float | None
    ours: bool
    log: bool
    script: str | None
    notebook: str | None
    result: str | None
    report: str | None
    end: JobEnd | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API and `--json` show it."""
        return asdict(self)


@dataclass(frozen=True)
class Found:
    """One of them, with what is needed to do something to it.

    Parameters
    ----------
    model, driver, job
        The job, its batch system, and its ID there.
    record, facts
        What is on record of it; None and empty where it was submitted elsewhere.
    """

    model: JobModel
    driver: Driver
    job: JobId
    record: JobRecord | None
    facts: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.model.end is not None


def found(
    driver: Driver,
    status: JobStatus | None,
    record: JobRecord | None = None,
    facts: Mapping[str, Any] | None = None,
    progress: Mapping[str, Any] | None = None,
) -> Found:
    """Return a job as the scheduler and its record show it.

    Parameters
    ----------
    driver
        Its scheduler's words.
    status
        What the scheduler said last; None where it said nothing.
    record, facts, progress
        Its record and what is in that, if there is one.
    """
    facts, progress = facts or {}, progress or {}
    times = facts.get("times") or {}
    end = JobEnd.read(facts)
    if end is None and status is not None and status.phase is Phase.ENDED:
        end = end_of(driver, status, facts, progress)
    job = status.job_id if status is not None else id_in(facts)
    state = _state(status, end)
    live = status if end is None else None
    is_new = live is not None and live.state == SUBMITTED
    waits = live is not None and live.phase is Phase.PENDING
    node = (status and status.node) or facts.get("node")
    start = status.start_time if status is not None else None
    over = status.end_time if status is not None and not waits else None
    has_report = progress.get("has_report", False)
    model = JobModel(
        job_id=str(job),
        scheduler=driver.name,
        name=harmless.line((live and live.name) or facts.get("name") or ""),
        state=state,
        text=end.text if end else _text(driver, state, live, node, progress),
        job_state=end.word if end else live.state if live and not is_new else "",
        reason=harmless.line(live.reason) if live else "",
        node=node,
        queue=(live and live.queue) or facts.get("queue") or None,
        submitted=times.get("submitted") or (live and live.submit_time) or None,
        started=times.get("started") or (start if not waits else None),
        ends=times.get("ended") or over,
        expected_start=start if waits else None,
        ours=record is not None,
        log=bool(facts.get("log")) if record else isinstance(driver, Logs),
        script=facts.get("script"),
        notebook=facts.get("notebook"),
        result=facts.get("result"),
        report=facts.get("report") if end is None or has_report else None,
        end=end,
    )
    return Found(model, driver, job, record, facts)


def end_of(
    driver: Driver,
    status: JobStatus,
    facts: Mapping[str, Any],
    progress: Mapping[str, Any],
) -> JobEnd:
    """Return how it ended: in the scheduler's words, and a notebook's own."""
    text = _sentence(driver.ended_text(status))
    said = progress.get("text", "")
    if facts.get("notebook"):
        why = notebook_script.explain_exit(status.exit_code or 0)
        if why and not said:
            text = why
        elif said:
            text = said if status.by_itself else f"{text} {said}"
    word = UNKNOWN if status.vague and status.state == "UNKNOWN" else status.state
    cause = driver.cause(status)
    return JobEnd(word, status.exit_code, status.signal, text, cause)


def _sentence(text: str) -> str:
    """Return the first one: what comes then is about kernels."""
    return text.partition(". ")[0].rstrip(".") + "."


def _state(status: JobStatus | None, end: JobEnd | None) -> ModelState:
    if end is not None:
        return ModelState.ENDED
    return ModelState.UNKNOWN if status is None else STATE_OF[status.phase]


def _text(
    driver: Driver,
    state: ModelState,
    status: JobStatus | None,
    node: str | None,
    progress: Mapping[str, Any],
) -> str:
    if status is None or state is ModelState.UNKNOWN:
        said = "" if status is None else f" ({status.state})"
        return f"unknown{said}; the scheduler does not say"
    if state is ModelState.WAITING:
        if status.state == SUBMITTED:
            return SUBMITTED
        return harmless.line(driver.pending_text(status))
    if state is ModelState.RUNNING:
        where = f"runs on {node}" if node else "runs"
        return ": ".join(filter(None, [where, progress.get("text", "")]))
    return {ModelState.SUSPENDED: "it is suspended"}.get(state, "it is ending")
