"""What HTCondor's commands say of jobs: captured text in, states out.

Rules: pure. -json of condor_q and condor_history, which is ClassAds' own and the same in
all versions from 8.6 on; without a match condor_q prints nothing, condor_history [].
Called by `driver.py`. Quirks were seen on 23.9.6.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from remote_kernels.errors import CommandError, ControllerError
from remote_kernels.scheduler.job import Completed, JobId, JobStatus, Phase

from .description import SCRIPT

_Ad = Mapping[str, Any]

# The values of JobStatus.
_WORDS = {
    1: ("IDLE", Phase.PENDING),
    2: ("RUNNING", Phase.RUNNING),
    3: ("REMOVED", Phase.ENDING),  # while it is listed
    4: ("COMPLETED", Phase.ENDED),
    5: ("HELD", Phase.PENDING),
    6: ("TRANSFERRING_OUTPUT", Phase.ENDING),
    7: ("SUSPENDED", Phase.SUSPENDED),
}
EVICTED = "EVICTED"  # our word: it was running, and is to begin anew
_NO_MATCH = "no match found"
UNMATCHED = f"IDLE ({_NO_MATCH})"
BY_THE_USER = (1, 15, 16)  # codes of holds: see `description.py`

ATTRIBUTES = ",".join(
    (
        *("ClusterId", "ProcId", "JobStatus", "JobBatchName", SCRIPT),
        *("HoldReason", "HoldReasonCode", "LastHoldReason", "LastHoldReasonCode"),
        *("RemoveReason", "VacateReason", "LastRejMatchReason", "NumJobStarts"),
        "LastJobStatus",
        *("JobStartDate", "JobCurrentStartDate", "JobCurrentReconnectAttempt"),
        *("AllowedJobDuration", "CompletionDate", "EnteredCurrentStatus"),
        *("RemoteHost", "LastRemoteHost", "ExitCode", "ExitBySignal", "ExitSignal"),
    )
)

_UNANSWERED = re.compile(
    r"Can't find address|unknown host|Unable to locate|Failed to fetch ads|"
    r"Failed to connect|communication error|SECMAN:|AUTHENTICATE:|CEDAR:|"
    r"Failed to (start|end) |timed? ?out|Connection refused|Unable to contact",
    re.IGNORECASE,
)


def is_no_answer(completed: Completed) -> bool:
    """Return whether that says that the schedd was not reached."""
    said = f"{completed.stderr}\n{completed.stdout}"
    return completed.returncode != 0 and bool(_UNANSWERED.search(said))


def no_answer(completed: Completed) -> ControllerError:
    """Return the error that says that HTCondor did not answer."""
    return completed.error(
        ControllerError,
        "HTCondor did not answer.",
        "This says nothing about the job. The schedd may be restarting; "
        "`condor_q -totals` shows whether it answers.",
    )


def listed(completed: Completed, known: Mapping[str, JobId]) -> dict[JobId, JobStatus]:
    """Return those of the jobs in condor_q's answer that are known by their numbers."""
    found = (_status(ad, known.get(_number(ad))) for ad in _ads(completed))
    return {status.job_id: status for status in found if status.job_id.number in known}


def own(completed: Completed) -> list[JobStatus]:
    """Return all that are in condor_q's answer, and have not ended."""
    found = [_status(ad) for ad in _ads(completed)]
    return [status for status in found if status.phase is not Phase.ENDED]


def ended(completed: Completed, job_id: JobId) -> JobStatus | None:
    """Return how it ended, as condor_history's answer says; None if it does not.

    Raises CommandError where this host has no history, which then never tells.
    """
    if completed.returncode != 0 and not is_no_answer(completed):
        text = "How the job ended cannot be read from HTCondor's history."
        raise completed.error(CommandError, text)
    for ad in _ads(completed):
        if _number(ad) == job_id.number:
            return _past(ad, job_id)
    return None


def reasons(completed: Completed, known: Mapping[str, JobId]) -> dict[JobId, str]:
    """Return what idle jobs wait for; see `analyze.sh` for the form."""
    parts = [part.partition("\n") for part in completed.stdout.split("\nRK ")[1:]]
    return {
        known[number]: _analyzed(text) for number, _, text in parts if number in known
    }


def _analyzed(text: str) -> str:
    """Return how many machines match, and which wishes none fulfils; "" if untold."""
    total = re.search(r"Of (\d+) machines", text)
    rejected = re.search(r"(\d+) are rejected by your job", text)
    if total is None or rejected is None:
        return ""
    match = int(total[1]) - int(rejected[1])
    found = f"{match} of {total[1]} machines match"
    steps = re.findall(r"^\[(\d+)\]\s+(\d+)\s+(\S.*?)\s*$", text, re.MULTILINE)
    conditions = {number: condition for number, _, condition in steps}
    hopeless = [  # a step may be one of several that came before: [5] && [7]
        re.sub(r"\[(\d+)\]", lambda of: conditions.get(of[1], of[0]), condition)
        for _, slots, condition in steps
        if slots == "0" and not match
    ]
    return f"{found}; none: {', '.join(hopeless)}" if hopeless else found


def _ads(completed: Completed) -> list[_Ad]:
    if completed.returncode != 0:
        raise no_answer(completed)
    ads = json.loads(completed.stdout) if completed.stdout.strip() else []
    return [ad for ad in ads if "ClusterId" in ad]


def _number(ad: _Ad) -> str:
    return f"{ad['ClusterId']}.{ad['ProcId']}"


def _status(ad: _Ad, job_id: JobId | None = None) -> JobStatus:
    """Of a job that is in the queue."""
    value, code = ad.get("JobStatus"), ad.get("HoldReasonCode")
    word, phase = _WORDS.get(value, (str(value), Phase.UNKNOWN))  # type: ignore[arg-type] # any JSON
    reason, began = "", "JobStartDate" in ad
    if value == 5:
        word, reason = f"HELD {code}", _text(ad, "HoldReason")
        phase = Phase.ENDED if began else Phase.PENDING
    elif value == 1 and (_whole(ad, "NumJobStarts") or 0) > 0:
        word, reason, phase = EVICTED, _text(ad, "VacateReason"), Phase.ENDED
    elif value == 1:
        reason = _text(ad, "LastRejMatchReason")
        if reason == _NO_MATCH:  # which `reasons` tells more of
            word, reason = UNMATCHED, ""
    elif value == 2 and code is not None:  # it is told to end, and then will be on hold
        word, reason, phase = f"HELD {code}", _text(ad, "HoldReason"), Phase.ENDING
    elif value == 2 and ad.get("JobCurrentReconnectAttempt") is not None:
        reason = "disconnected"
    start, limit = _whole(ad, "JobCurrentStartDate"), _whole(ad, "AllowedJobDuration")
    end = None
    if phase is Phase.ENDED:
        end = _whole(ad, "EnteredCurrentStatus")
    elif phase in (Phase.RUNNING, Phase.SUSPENDED) and start and limit:
        end = start + limit
    return _made(ad, job_id, phase, word, reason, start, end)


def _past(ad: _Ad, job_id: JobId) -> JobStatus:
    """Of a job that has left the queue.

    What `description.py` had removed tells why it was on hold, or lost its machine.
    """
    value = ad.get("JobStatus")
    word, _ = _WORDS.get(value, (str(value), Phase.ENDED))  # type: ignore[arg-type] # any JSON
    reason = ""
    if value == 3:
        reason, code = _text(ad, "RemoveReason"), ad.get("LastHoldReasonCode")
        held, vacated = _text(ad, "LastHoldReason"), _text(ad, "VacateReason")
        if ad.get("LastJobStatus", 5) != 5:  # of an earlier time
            held = ""
        if held and code not in (None, *BY_THE_USER):
            word, reason = f"HELD {code}", held
        elif "PeriodicRemove" in reason:
            word, reason = (f"HELD {code}", held) if held else (EVICTED, vacated)
    end = _whole(ad, "CompletionDate") or _whole(ad, "EnteredCurrentStatus")
    start = _whole(ad, "JobCurrentStartDate")
    return _made(ad, job_id, Phase.ENDED, word, reason, start, end)


def _made(
    ad: _Ad,
    job_id: JobId | None,
    phase: Phase,
    word: str,
    reason: str,
    start: int | None,
    end: int | None,
) -> JobStatus:
    completed = word == "COMPLETED"
    host = _text(ad, "RemoteHost") or _text(ad, "LastRemoteHost")
    return JobStatus(
        job_id or JobId(_number(ad), _text(ad, SCRIPT)),
        phase,
        word,
        reason,
        node=host.rpartition("@")[2] or None if phase is not Phase.PENDING else None,
        exit_code=_whole(ad, "ExitCode") if completed else None,
        signal=_whole(ad, "ExitSignal") if completed else None,
        start_time=start,
        end_time=end,
        name=_text(ad, "JobBatchName"),
        by_itself=completed,
    )


def _text(ad: _Ad, name: str) -> str:
    value = ad.get(name)
    return value.strip() if isinstance(value, str) else ""


def _whole(ad: _Ad, name: str) -> int | None:
    """Return a number; None for an expression, which -json writes as text."""
    value = ad.get(name)
    return int(value) if isinstance(value, (int, float)) else None
