"""What Torque's commands say: text in, states out.

Rules: pure. Read is XML, as `qstat -x` prints it: a document for each job that it is
asked for. It is searched for fields, as some versions escape less than they should. The
codes and texts are those of Torque 6.1 (src/include/pbs_job.h, pbs_error_db.h). Called
by `driver.py`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from remote_kernels.errors import ControllerError
from remote_kernels.scheduler.job import Completed, JobId, JobStatus, Phase
from remote_kernels.scheduler.pbs.answers import seconds

_PHASE_OF = {
    **dict.fromkeys("QHWT", Phase.PENDING),
    "R": Phase.RUNNING,
    "E": Phase.ENDING,
    "S": Phase.SUSPENDED,
    "C": Phase.ENDED,
}
GONE = re.compile(
    r"Unknown Job Id|nonexistent job id|invalid state for job - COMPLETE", re.IGNORECASE
)
BUSY = re.compile(r"Request invalid for state of job|job cancel in progress")
_UNANSWERED = re.compile(
    r"cannot connect to (server|default server|specified server)|cannot resolve|timed out"
    r"|Connection refused|Communication failure|protocol failure|Batch protocol error"
    r"|Unable to authorize user|trqauthd|munge|Too many open connections"
    r"|Could not contact|End of File",
    re.IGNORECASE,
)
OVER_MEM, OVER_TIME, OVER_CPUT = -10, -11, -12
_OF_SIGNALS = 256


def is_no_answer(completed: Completed) -> bool:
    """Return whether that command did not reach the server."""
    return completed.returncode != 0 and bool(_UNANSWERED.search(completed.stderr))


def no_answer(completed: Completed) -> ControllerError:
    """Return the error that says that Torque did not answer."""
    return completed.error(
        ControllerError,
        "Torque did not answer.",
        "This says nothing about the job. Torque's server, or trqauthd on this host, may "
        "be restarting; `qstat -B` shows whether it answers.",
    )


def is_gone(completed: Completed) -> bool:
    """Return whether the command failed for nothing but jobs that are not there."""
    lines = [line for line in completed.stderr.splitlines() if line.strip()]
    return bool(lines) and all(GONE.search(line) for line in lines)


def answer(completed: Completed) -> str:
    """Return what a command printed, also where it failed for some jobs only.

    ControllerError where nothing is known.
    """
    if completed.returncode != 0 and not is_gone(completed):
        raise no_answer(completed)
    return completed.stdout


def listed(completed: Completed, job_ids: Sequence[JobId]) -> dict[JobId, JobStatus]:
    """Return these jobs, as far as they are listed."""
    found = {status.job_id.number: status for status in every(completed)}
    by_number = {name.partition(".")[0]: each for name, each in found.items()}
    listed = {}
    for job_id in job_ids:
        number = job_id.number
        status = found.get(number) or by_number.get(number.partition(".")[0])
        if status is not None:
            listed[job_id] = JobStatus(**{**vars(status), "job_id": job_id})
    return listed


def every(completed: Completed) -> list[JobStatus]:
    """Return all jobs in an answer. ValueError for half of one."""
    text = answer(completed)
    if completed.returncode == 0 and text.count("<Data>") != text.count("</Data>"):
        message = "the document has no end"
        raise ValueError(message)
    return [_status(body) for body in re.findall(r"<Job>(.*?)</Job>", text, re.DOTALL)]


def ended(completed: Completed, job_id: JobId) -> JobStatus | None:
    """Return how a job ended; None where Torque has forgotten it (keep_completed)."""
    status = listed(completed, [job_id]).get(job_id)
    return status if status is not None and status.phase is Phase.ENDED else None


def _status(body: str) -> JobStatus:
    """One job of `qstat -x`; what is in the user's variables is none of its fields."""
    body = re.sub(r"<(Variable_List|submit_args)>.*?</\1>", "", body, flags=re.DOTALL)
    word = _field(body, "job_state")
    phase = _PHASE_OF.get(word, Phase.UNKNOWN)
    host = re.match(r"[^/+\s]+", _field(body, "exec_host"))
    start, end = _number(_field(body, "start_time")), None
    limit = seconds(_field(_field(body, "Resource_List", ""), "walltime"))
    used = seconds(_field(_field(body, "resources_used", ""), "walltime"))
    code, signal, state = None, None, word
    if phase is Phase.RUNNING and start is not None and limit is not None:
        end = start + limit
    if phase is Phase.ENDED:
        end = _number(_field(body, "comp_time")) or _number(_field(body, "mtime"))
        code, signal, state = _exit(_field(body, "exit_status"), word)
        if signal and None not in (used, limit) and (used or 0) >= (limit or 0):
            state = f"{word} {OVER_TIME}"  # before there was a code for it
    return JobStatus(
        JobId(_field(body, "Job_Id")),
        phase,
        state,
        reason="" if phase is Phase.RUNNING else _reason(body, word),
        node=host[0] if host else None,
        exit_code=code,
        signal=signal,
        start_time=None if start is None else float(start),
        end_time=None if end is None else float(end),
        name=_field(body, "Job_Name"),
        by_itself=code is not None and state == word,
    )


def _exit(text: str, word: str) -> tuple[int | None, int | None, str]:
    """Return an exit code, a signal, and the state with Torque's own code, if there is one."""
    code = _number(text)
    if code is None:
        return None, None, word
    if code < 0:
        return None, None, f"{word} {code}"
    if code >= _OF_SIGNALS:
        return None, code % _OF_SIGNALS, word
    return code, None, word


def _reason(body: str, word: str) -> str:
    comment = " ".join(_field(body, "comment").split())
    holds = _field(body, "Hold_Types")
    if comment or word != "H" or holds in ("", "n"):
        return comment
    return f"Hold_Types={holds}"


def _field(body: str, name: str, default: str = "") -> str:
    found = re.search(rf"<{name}>\s*(.*?)\s*</{name}>", body, re.DOTALL)
    return html.unescape(found[1]) if found else default


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d+", text) else None
