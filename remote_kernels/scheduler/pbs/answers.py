"""What PBS's commands say: text in, states out.

Rules: pure. Read is JSON, as `qstat -f -F json` prints it from PBS Professional 14 on.
The codes and texts are those of OpenPBS 23.06 (src/include/job.h, pbs_error.h,
src/lib/Liblog/pbs_messages.c). Called by `driver.py` and `site.py`.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from remote_kernels.errors import ControllerError
from remote_kernels.scheduler.job import Completed, JobId, JobStatus, Phase

_PHASE_OF = {
    **dict.fromkeys("QHWT", Phase.PENDING),
    "R": Phase.RUNNING,
    "E": Phase.ENDING,
    **dict.fromkeys("SU", Phase.SUSPENDED),
    **dict.fromkeys("FM", Phase.ENDED),
}

# A job's number, and PBS's own words for one that is not in the queue any more. What has
# finished is told with -x alone, and only where the site keeps a history.
GONE = re.compile(
    r"Unknown Job Id|Job has finished|not configured to maintain job history",
    re.IGNORECASE,
)
# The job is ending, or is being set up: asked again, it is gone, or takes the request.
BUSY = re.compile(r"Request invalid for state of job|Delete already in progress")
_UNANSWERED = re.compile(
    r"cannot connect to server|couldn't connect to cluster|Connection (refused|timed out)"
    r"|No route to host|Network is unreachable|Communication failure|Batch protocol error"
    r"|Unknown Host|No free connections|Too many open connections|connection table full"
    r"|server shutting down|End of File|timed out|expired credential",
    re.IGNORECASE,
)
# A value that is neither text nor the beginning of more: each is on a line of its own.
_BARE = re.compile(r'^(\s*"[^"\n]+":\s*)([^\s"{\[].*?)(,?)$', re.MULTILINE)

# Exit_status: what is not the script's own is PBS's (below 0), or a signal's.
OVER_VMEM, OVER_MEM, OVER_CPUT, OVER_TIME = -26, -27, -28, -29
_OF_SIGNALS = 256
# The substate of a job in the history that somebody has deleted.
_DELETED = 91
DELETED = "F deleted"  # no word of PBS's, for a job with that substate


def is_no_answer(completed: Completed) -> bool:
    """Return whether that command did not reach the server."""
    return completed.returncode != 0 and bool(_UNANSWERED.search(completed.stderr))


def no_answer(completed: Completed) -> ControllerError:
    """Return the error that says that PBS did not answer."""
    return completed.error(
        ControllerError,
        "PBS did not answer.",
        "This says nothing about the job. PBS's server may be restarting; `qstat -B` "
        "shows whether it answers.",
    )


def is_gone(completed: Completed) -> bool:
    """Return whether the command failed for nothing but jobs that are not there."""
    lines = [line for line in completed.stderr.splitlines() if line.strip()]
    return bool(lines) and all(GONE.search(line) for line in lines)


def answer(completed: Completed, part: str) -> Mapping[str, Any]:
    """Return a part of an answer in JSON, such as "Jobs"; what is not there is empty.

    qstat fails if it fails for one of its jobs (its exit code is the error's number,
    modulo 256), and prints the others. ControllerError where nothing is known.
    """
    failed = completed.returncode != 0
    if failed and not is_gone(completed):
        raise no_answer(completed)
    if failed and "{" not in completed.stdout:
        return {}
    found: Mapping[str, Any] = _loaded(completed.stdout).get(part, {})
    return found


def _loaded(text: str) -> Mapping[str, Any]:
    """Read JSON; a wrapper may say more before.

    Older versions print what looks like a number as one: an account "007" or "1.e", and
    so what is no JSON. Then each number is read as text.
    """
    text = text[text.index("{") :]
    try:
        found = json.loads(text, strict=False)
    except ValueError:
        found = json.loads(_BARE.sub(r'\1"\2"\3', text), strict=False)
    return found  # type: ignore[no-any-return]


def documents(text: str) -> dict[str, Any]:
    """Return what several commands printed one after the other, as far as it is read."""
    found: dict[str, Any] = {}
    decoder, rest = json.JSONDecoder(strict=False), text
    with contextlib.suppress(ValueError):
        while True:
            document, end = decoder.raw_decode(rest, rest.index("{"))
            found, rest = {**found, **document}, rest[end:]
    return found


def listed(completed: Completed, job_ids: Sequence[JobId]) -> dict[JobId, JobStatus]:
    """Return these jobs, as far as they are listed."""
    jobs = answer(completed, "Jobs")
    by_number = {name.partition(".")[0]: name for name in jobs}
    found = {}
    for job_id in job_ids:
        number = job_id.number
        name = number if number in jobs else by_number.get(number.partition(".")[0])
        if name is not None:
            found[job_id] = _status(job_id, jobs[name])
    return found


def every(completed: Completed) -> list[JobStatus]:
    """Return all jobs that are listed; none where nothing was printed."""
    if completed.returncode == 0 and not completed.stdout.strip():
        return []
    jobs = answer(completed, "Jobs")
    return [_status(JobId(name), fields) for name, fields in jobs.items()]


def ended(completed: Completed, job_id: JobId) -> JobStatus | None:
    """Return how a job ended; None where the site keeps no history, or not so long."""
    if completed.returncode == 0 and GONE.search(completed.stderr):
        return None
    status = listed(completed, [job_id]).get(job_id)
    return status if status is not None and status.phase is Phase.ENDED else None


def _status(job_id: JobId, fields: Mapping[str, Any]) -> JobStatus:
    """One job of `qstat -f -F json`."""
    word = str(fields.get("job_state", ""))
    phase = _PHASE_OF.get(word, Phase.UNKNOWN)
    start, end = _times(phase, fields)
    code = _number(fields.get("Exit_status"))
    host = re.match(r"[^/+*\s]+", str(fields.get("exec_host", "")))
    status = JobStatus(
        job_id,
        phase,
        word,
        reason=_reason(phase, fields),
        node=host[0] if host else None,
        start_time=start,
        end_time=end,
        name=str(fields.get("Job_Name", "")),
    )
    return status if phase is not Phase.ENDED else _ended(status, fields, code)


def _ended(status: JobStatus, fields: Mapping[str, Any], code: int | None) -> JobStatus:
    """With what is known of the end: its state is F, and PBS's own code where it has one."""
    deleted = _number(fields.get("substate")) == _DELETED
    known = {**vars(status)}
    if deleted:
        known["state"] = DELETED
    elif code is not None and code < 0:
        known["state"] = f"F {code}"
    elif code and _is_over(fields):  # before there was a code for it
        known["state"] = f"F {OVER_TIME}"
    if code is not None and 0 <= code < _OF_SIGNALS:
        known["exit_code"] = code
    elif code is not None and code >= _OF_SIGNALS:
        known["signal"] = code % _OF_SIGNALS
    known["by_itself"] = known["state"] == "F" and known["exit_code"] is not None
    return JobStatus(**known)


def _is_over(fields: Mapping[str, Any]) -> bool:
    used = seconds(_part(fields, "resources_used", "walltime"))
    limit = seconds(_part(fields, "Resource_List", "walltime"))
    return used is not None and limit is not None and used >= limit


def _reason(phase: Phase, fields: Mapping[str, Any]) -> str:
    """Return why it is not running, or what the history says of its end."""
    if phase is Phase.RUNNING:
        return ""
    comment = str(fields.get("comment", "")).strip()
    holds = str(fields.get("Hold_Types", "n"))
    if comment or fields.get("job_state") != "H" or holds == "n":
        return comment
    return f"Hold_Types={holds}"


def _times(
    phase: Phase, fields: Mapping[str, Any]
) -> tuple[float | None, float | None]:
    """Return when it starts or started, and when it ends or ended."""
    if phase is Phase.PENDING:
        return _epoch(_part(fields, "estimated", "start_time")), None
    start = _epoch(fields.get("stime"))
    if phase is Phase.ENDED:
        return start, _epoch(fields.get("obittime") or fields.get("mtime"))
    limit = seconds(_part(fields, "Resource_List", "walltime"))
    if phase is not Phase.RUNNING or start is None or limit is None:
        return start, None
    return start, start + limit


def _part(fields: Mapping[str, Any], name: str, resource: str) -> object:
    found = fields.get(name)
    return found.get(resource) if isinstance(found, Mapping) else None


def _number(value: object) -> int | None:
    """Return a number; some versions print it as text."""
    text = str(value)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def seconds(value: object) -> int | None:
    """Return a duration, HH:MM:SS or a number of seconds; None where it is none."""
    text = str(value)
    if not re.fullmatch(r"\d+(:\d+){0,2}(\.\d+)?", text):
        return None
    total = 0
    for part in text.partition(".")[0].split(":"):
        total = total * 60 + int(part)
    return total


def _epoch(value: object) -> float | None:
    """Read a time, local on the host where qstat runs: Tue Oct 11 08:13:45 2022."""
    if isinstance(value, int):
        return float(value)
    try:
        return time.mktime(time.strptime(str(value), "%a %b %d %H:%M:%S %Y"))
    except ValueError:
        return None
