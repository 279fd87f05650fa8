"""What OAR's commands say of jobs: captured text in, states out.

Rules: pure. The forms are those of 2.5.9. Called by `driver.py`.

OAR keeps each job in its database for good, so a job that has ended is asked for as one
that runs; who killed one is in its events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from remote_kernels.errors import ControllerError
from remote_kernels.scheduler.job import Completed, JobId, JobStatus, Phase

_PHASES = {
    Phase.PENDING: "Waiting Hold toLaunch toAckReservation Launching",
    Phase.RUNNING: "Running",
    Phase.ENDING: "Finishing toError",
    Phase.SUSPENDED: "Suspended Resuming",
    Phase.ENDED: "Terminated Error",
}
_PHASE_OF = {word: phase for phase, words in _PHASES.items() for word in words.split()}

# The database, or Almighty, was not reached. The last three are PostgreSQL's (15).
_UNREACHED = re.compile(
    r"^DBI connect|DB connection error|Cannot connect to executor|"
    r"Could not connect to the socket|terminating connection|"
    r"server closed the connection|no connection to the server",
    re.IGNORECASE | re.MULTILINE,
)
# A question in the middle failed, whatever the exit code is: half an answer is none.
_BROKEN = re.compile(r"^DBD::\w+::", re.MULTILINE)
_ALARM = 128 + 14  # `program.py` has ended it
# "R=1,W=2:0:0,J=B,N=name (Karma=0.000,quota_ok)", until the scheduler has more to say.
_SUMMARY = re.compile(r"R=\d+,W=[^(]*?(?: \((?:Karma=[^,)]*,?)?(.*)\))?", re.DOTALL)
_FRAGGED = re.compile(r"User (\S+) requested to frag the job")
# What ended a job, the first that is found; after them comes who asked for it.
_ENDS = (
    *("WALLTIME", "BESTEFFORT_KILL", "OUTPUT_FILES", "WORKING_DIRECTORY"),
    *("CPUSET_ERROR", "PING_CHECKER_NODE_SUSPECTED", "LAUNCHING_OAREXEC_TIMEOUT"),
    *("EXIT_VALUE_OAREXEC", "SSH_TRANSFER_TIMEOUT", "BAD_HASHTABLE_DUMP"),
    *("CANNOT_WRITE_NODE_FILE", "CANNOT_WRITE_PID_FILE", "CANNOT_CREATE_TMP_DIRECTORY"),
    *("USER_SHELL", "PROLOGUE_ERROR", "SERVER_PROLOGUE_ERROR"),
    *("SERVER_PROLOGUE_TIMEOUT", "SERVER_PROLOGUE_EXIT_CODE_ERROR", "EXTERMINATE_JOB"),
)
FRAGGED_BY = "FRAG_JOB_REQUEST by "


def answer(completed: Completed) -> str:
    """Return what a command printed. ControllerError where OAR did not answer."""
    if completed.returncode != 0 or _BROKEN.search(completed.stderr):
        raise no_answer(completed)
    return completed.stdout


def is_no_answer(completed: Completed) -> bool:
    """Return whether that says that the database or the server was not reached."""
    return completed.returncode == _ALARM or bool(_UNREACHED.search(completed.stderr))


def no_answer(completed: Completed) -> ControllerError:
    """Return the error that says that OAR did not answer."""
    return completed.error(
        ControllerError,
        "OAR did not answer.",
        "This says nothing about the job. OAR's server or its database may be "
        "restarting; `oarnodes -s` shows whether it answers.",
    )


def jobs(completed: Completed) -> list[JobStatus]:
    """Return the jobs in what oarstat -J prints: nothing at all where there are none."""
    told = json.loads(answer(completed).strip() or "{}") or {}
    return [_status(number, job) for number, job in told.items()]


def known(completed: Completed, job_ids: Sequence[JobId]) -> dict[JobId, JobStatus]:
    """Return those of these jobs that are told."""
    found = {status.job_id: status for status in jobs(completed)}
    return {job_id: found[job_id] for job_id in job_ids if job_id in found}


def _status(number: str, job: Mapping[str, Any]) -> JobStatus:
    state = str(job["state"])
    phase = _PHASE_OF.get(state, Phase.UNKNOWN)
    nodes = job.get("assigned_network_address") or [None]
    code = _number(job, "exit_code") if phase is Phase.ENDED else None
    return JobStatus(
        JobId(number),
        phase,
        state,
        reason=_why(phase, job),
        node=nodes[0],  # they are sorted, and the script runs on the first
        exit_code=None if code is None else code >> 8,
        signal=None if code is None else code & 127 or None,
        start_time=_number(job, "startTime") or _number(job, "scheduledStart") or None,
        end_time=_end(phase, job),
        name=job.get("name") or "",
        by_itself=state == "Terminated",
    )


def _end(phase: Phase, job: Mapping[str, Any]) -> float | None:
    """Return when it ended, or when its time is over, which stands still if it is suspended."""
    start, walltime = _number(job, "startTime"), _number(job, "walltime")
    if phase is Phase.ENDED or not start or walltime is None:
        return _number(job, "stopTime") or None
    if phase is Phase.SUSPENDED:
        return None
    return start + walltime + _suspended(job.get("events", ()))


def _suspended(events: Sequence[Mapping[str, Any]]) -> int:
    """Return for how many seconds a job was suspended that is not any more."""
    since, total = 0, 0
    for event in sorted(events, key=lambda event: int(event["date"])):
        when = int(event["date"])
        if event["type"] == "HOLD_RUNNING_JOB":
            since = since or when
        elif event["type"] == "RESUME_JOB" and since:
            since, total = 0, total + when - since
    return total


def _number(job: Mapping[str, Any], name: str) -> int | None:
    """Return a number, which MySQL gives as text; a time of 0 is none."""
    value = job.get(name)
    return None if value in (None, "") else int(value)


def _why(phase: Phase, job: Mapping[str, Any]) -> str:
    """Return what a job waits for, or what ended it; "" where nothing is told."""
    if phase is not Phase.ENDED:
        return _waits_for(str(job.get("message") or ""))
    events = {
        event["type"]: str(event["description"])
        for event in job.get("events", ())
        if "walltime changed" not in event["description"]  # its type is WALLTIME, too
    }
    for name in _ENDS:
        if name in events:
            return name
    asked = _FRAGGED.match(events.get("FRAG_JOB_REQUEST", ""))
    if asked and job["state"] == "Error":
        return FRAGGED_BY + asked[1]
    return "" if job["state"] == "Terminated" else _waits_for(job.get("message") or "")


def _waits_for(message: str) -> str:
    """Leave out what only sums the request up, and what changes with each look."""
    summary = _SUMMARY.fullmatch(message.strip())
    found = (summary[1] or "") if summary else message.strip()
    return "" if found == "quota_ok" else found
