"""OAR's words in plain words: what a job waits for, how it ended, what to change.

Pure; the words are in `reasons.py`; an unknown one of OAR's is shown as it is. Called
by `driver.py`.
"""

from __future__ import annotations

import re

from remote_kernels.scheduler.job import Completed, JobStatus, Phase, login_name

from .answers import FRAGGED_BY
from .reasons import (
    AGAIN,
    BY_A_RULE,
    ENDS,
    LOG,
    NODE,
    REFUSALS,
    RULE,
    STATES,
    TROUBLE,
    WAITS,
    Row,
)


def pending(status: JobStatus) -> str:
    """Say what a job waits for, as a clause; OAR's own word is in brackets."""
    if status.state in STATES:
        return f"{STATES[status.state][0]} ({status.state})"
    if status.state != "Waiting":
        words = f"{status.state} {status.reason}".strip()
        return f"in a state that we do not know ({words})"
    if not status.reason:
        return "waiting for its turn (Waiting)"
    row = _row(status.reason)
    text = row[1] if row else "waiting"
    return f"{text} ({status.reason})"


def advice(status: JobStatus) -> str:
    """Say what can be done about that; "" if there is only to wait."""
    if status.state in STATES:
        return _filled(STATES[status.state][1], status)
    row = _row(status.reason)
    return _filled(row[2], status) if row else ""


def ended(status: JobStatus) -> str:
    """Say how a job ended, and what can be done."""
    if status.by_itself:
        return _by_itself(status)
    if status.reason.startswith(FRAGGED_BY):
        return _cancelled(status.reason.removeprefix(FRAGGED_BY))
    if status.reason in ENDS:
        return _filled(" ".join(ENDS[status.reason]), status)
    if status.state == "Error" and re.fullmatch(r"[A-Z_]+", status.reason):
        return _filled(f"{TROUBLE} {NODE}", status)
    words = f"{status.state}: {status.reason}" if status.reason else status.state
    return _filled(f"The job ended ({words}). {NODE}", status)


def never(status: JobStatus) -> str | None:
    """Say why a job that waits can never start; None if it may.

    OAR refuses such a request, or sets its job to Error. Only a container that is no
    job any more is left.
    """
    if status.phase is Phase.PENDING and "will never run" in status.reason:
        return f"The job can never start as asked: {status.reason}."
    return None


def submit(completed: Completed) -> str:
    """Say what to do about what oarsub said; "" if we do not know it."""
    said = f"{completed.stderr}\n{completed.stdout}"
    found = (text for form, text in REFUSALS if re.search(form, said, re.IGNORECASE))
    return next(found, BY_A_RULE if RULE in completed.stderr else "")


def _by_itself(status: JobStatus) -> str:
    if status.signal:
        return f"The job's script was ended by signal {status.signal}. {LOG}"
    if status.exit_code:
        return f"The job's script failed with exit code {status.exit_code}. {LOG}"
    return "The job ended on its own."


def _cancelled(who: str) -> str:
    if who == login_name():
        return f"The job was cancelled by you. {AGAIN}"
    return f"The job was cancelled by {who}. Ask them why before you start it again."


def _row(reason: str) -> Row | None:
    found = (row for row in WAITS if re.fullmatch(row[0], reason, re.IGNORECASE))
    return next(found, None)


def _filled(text: str, status: JobStatus) -> str:
    return text.replace("{job}", str(status.job_id)).replace("{reason}", status.reason)
