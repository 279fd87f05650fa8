"""HTCondor's words in plain words: what a job waits for, how it ended, what to change.

Rules: pure; what is not known is shown as it is. The codes of holds are those of
HTCondor's source (src/condor_utils/condor_holdcodes.h). Called by `driver.py`.
"""

from __future__ import annotations

import re
import signal

from remote_kernels.causes import EndCause
from remote_kernels.scheduler.job import (
    Completed,
    JobStatus,
    Phase,
    login_name,
    named_signal,
)

from .answers import BY_THE_USER, EVICTED, UNMATCHED

Row = tuple[str, str, str]

_ANALYZE = (
    "`condor_q -better-analyze {job}` shows which of its wishes no machine fulfils."
)
_LOG = "The end of its log may tell why."
_AGAIN = "Start the kernel again if you still need it."
_TELL = "Start the kernel again; if it happens again, tell the administrators."
_MEMORY = "Ask for more with 'request_memory'."
_TIME = "Ask for more with 'allowed_job_duration'."
_POLICY = "Ask the administrators which rule that is, or ask for what it allows."
_WRAPPED = (
    "Is the condor_submit that comes first on PATH a wrapper of this site? `type -a "
    "condor_submit` lists all; put the directory of HTCondor's own before it in the PATH "
    "of the notebook server, or ask the administrators to let its output through."
)
_SHARED = (
    "Set 'state_dir' to a directory on a filesystem that the login node and the "
    "machines share, or 'requirements' to machines that have it."
)

# One row a line, as a table is read.
# fmt: off

# What a job that is idle was last told by the negotiator.
_WAITS: tuple[Row, ...] = (
    (r"0 of .*", "no machine of this pool has what it asks for", f"Ask for less; {_ANALYZE}"),
    (r"\d+ of \d+ machines match.*", "the machines that have what it asks for are in use, or do not take it", _ANALYZE),
    (r"insufficient priority.*", "jobs of higher priority come first", "`condor_userprio` shows yours; asking for less may let it start sooner."),
    (r".*(concurrency limit).*", "a licence, or the like, is in use by others", "Take 'concurrency_limits' out of 'submit_commands' if it needs none."),
    (r".*(quota|limit).*", "your group has as much as it may have", "It starts when another job of yours, or of your group, ends: `condor_q -allusers` lists them."),
    (r".*PREEMPTION_REQUIREMENTS.*|.*rank.*", "other jobs have the machines, and may keep them", ""),
)

# What put a job on hold: by code.
_HELD: dict[int, tuple[str, str]] = {
    1: ("it was put on hold", "`condor_release {job}` lets it go on."),
    3: ("a rule of its own put it on hold", "See 'periodic_hold' in 'submit_commands'."),
    6: ("it could not be started on its machine", _TELL),
    7: ("its log could not be opened", _SHARED),
    8: ("its input could not be opened", _SHARED),
    12: ("its files could not be copied", _TELL),
    13: ("its files could not be copied", _TELL),
    14: ("its directory is not on its machine", _SHARED),
    15: ("it was submitted on hold", "`condor_release {job}` lets it start."),
    16: ("its files are being copied", ""),
    20: ("its begin time had passed when it got a machine", "Give it a longer 'deferral_window' in 'submit_commands'."),
    21: ("its machine put it on hold", _POLICY),
    22: ("its log could not be opened", _SHARED),
    23: ("its user is not known on its machine", _TELL),
    26: ("a rule of this site put it on hold", _POLICY),
    27: ("a rule of this site put it on hold", _POLICY),
    34: ("it used more memory, or disk, than it had asked for", "Ask for more with 'request_memory', or 'request_disk'."),
    46: ("it reached its time limit", _TIME),
    47: ("it reached its time limit", _TIME),
}

_REFUSED: tuple[tuple[str, str], ...] = (
    (r"Can't find address|unknown host|Failed to connect|communication error|timed out", "HTCondor's schedd did not answer. Try again in a while; `condor_q -totals` shows whether it answers."),
    (r"AUTHENTICATE|DENIED|not authorized|Permission denied", "HTCondor does not let you submit from this host: ask the administrators for a token, or use a host that they name."),
    (r"Parse error in expression|require_gpus", "Correct 'requirements', 'require_gpus' or 'submit_commands': they are expressions, in which text has double quotes."),
    (r"MAX_JOBS_PER_(OWNER|SUBMISSION)|MAX_JOBS_SUBMITTED", "You have as many jobs in the queue as you may have: `condor_q` lists them."),
    (r"[Ss]ubmit requirement|SUBMIT_REQUIREMENT", "A rule of this site refuses such jobs: change what it names, with the options or 'submit_commands'."),
    (r"accounting group|AcctGroup", "Set 'accounting_group' to one of yours."),
    (r"does not exist|Config file|CONDOR_CONFIG", "This host is not set up for HTCondor, or CONDOR_CONFIG does not name the site's file."),
    (r"cannot create|No such file|Read-only|No space left|Disk quota", "The job's script is kept beside its log until the job begins: is there room, and may you write, in 'state_dir'?"),
)
# fmt: on
CAUSES = {
    "HELD 46": EndCause.TIME,
    "HELD 47": EndCause.TIME,
    "HELD 34": EndCause.MEMORY,
    "REMOVED": EndCause.CANCELLED,
    "HELD 1": EndCause.CANCELLED,
    "HELD 3": EndCause.CANCELLED,
    "HELD 15": EndCause.CANCELLED,
    "HELD 16": EndCause.CANCELLED,
    "HELD 21": EndCause.CANCELLED,
    "HELD 26": EndCause.CANCELLED,
    "HELD 27": EndCause.CANCELLED,
    "HELD 6": EndCause.START,
    "HELD 7": EndCause.START,
    "HELD 8": EndCause.START,
    "HELD 12": EndCause.START,
    "HELD 13": EndCause.START,
    "HELD 14": EndCause.START,
    "HELD 20": EndCause.START,
    "HELD 22": EndCause.START,
    "HELD 23": EndCause.START,
    EVICTED: EndCause.PREEMPTED,
}


def never(status: JobStatus) -> str | None:
    """Say why a job that waits can never start, and what to change; None if it may."""
    code = _code(status)
    if status.phase is not Phase.PENDING or code is None or code in BY_THE_USER:
        return None
    text, remedy = _held(status)
    return f"The job is on hold for good ({_reason(status)}): {text}. {remedy}".rstrip()


def pending(status: JobStatus) -> str:
    """Say what a job waits for, as a clause; HTCondor's own words are in brackets."""
    if _code(status) is not None:
        return f"on hold: {_held(status)[0]} ({_reason(status)})"
    if status.state == "IDLE" and not status.reason:
        return "waiting for the next round of negotiation (IDLE)"
    if status.state == UNMATCHED and not status.reason:
        return "no machine that is free has what it asks for (no match found)"
    if status.state in ("IDLE", UNMATCHED):
        text, _ = _match(_WAITS, status.reason) or ("waiting", "")
        return f"{text} ({status.reason})"
    if status.phase is not Phase.UNKNOWN:
        return f"waiting ({status.state})"
    words = f"{status.state} {status.reason}".strip()
    return f"in a state that we do not know ({words})"


def advice(status: JobStatus) -> str:
    """Say what can be done about that; "" if there is only to wait."""
    if _code(status) is not None:
        return _filled(_held(status)[1], status)
    if status.state == UNMATCHED and not status.reason:
        return _filled(_ANALYZE, status)
    if status.state in ("IDLE", UNMATCHED):
        return _filled((_match(_WAITS, status.reason) or ("", ""))[1], status)
    return ""


def ended(status: JobStatus) -> str:
    """Say how a job ended, and what can be done."""
    code = _code(status)
    if code is not None:
        return _ended_by_hold(status, code)
    if status.state == EVICTED:
        return _evicted(status)
    if status.state == "REMOVED":
        return _removed(status.reason)
    if status.state == "COMPLETED":
        return _completed(status)
    if status.state == "UNKNOWN":
        return f"The job is gone, and HTCondor no longer knows how it ended. {_LOG}"
    return f"The job ended: {status.state}. {_LOG}"


def submit(completed: Completed) -> str:
    """Say what to do about what condor_submit said; "" if we do not know it."""
    said = f"{completed.stderr}\n{completed.stdout}"
    if completed.returncode == 0:
        return _WRAPPED
    for pattern, text in _REFUSED:
        if re.search(pattern, said):
            return text
    return ""


def _ended_by_hold(status: JobStatus, code: int) -> str:
    reason = _reason(status)
    if code in (46, 47):
        return f"The job reached its time limit ({reason}). {_TIME}"
    if code in BY_THE_USER:
        return f"The job was put on hold, which ended its kernel ({reason}). {_AGAIN}"
    text, remedy = _held(status)
    return f"HTCondor ended the job: {text} ({reason}). {_filled(remedy, status)}"


def _evicted(status: JobStatus) -> str:
    why = f" ({status.reason})" if status.reason else ""
    return (
        f"The job lost its machine, which failed or was given to others{why}; the "
        f"kernel's memory is lost. {_AGAIN}"
    )


def _removed(reason: str) -> str:
    who = re.search(r"by user (\S+?)\)?$", reason)
    if who and who[1] == login_name():
        return f"The job was removed by you. {_AGAIN}"
    if who:
        return (
            f"The job was removed by {who[1]}. Ask them why before you start it again."
        )
    if "SYSTEM_PERIODIC_REMOVE" in reason:
        return f"A rule of this site ended the job ({reason}). {_POLICY}"
    return f"The job was removed ({reason or 'no reason given'}). {_LOG}"


def _completed(status: JobStatus) -> str:
    if status.signal:
        remedy = _LOG
        if status.signal == signal.SIGKILL:
            remedy = f"This often happens when the memory is used up. {_MEMORY}"
        return f"The job was ended by signal {named_signal(status.signal)}. {remedy}"
    if status.exit_code:
        return f"The job's script failed with exit code {status.exit_code}. {_LOG}"
    return f"The job ended on its own. {_AGAIN}"


def _code(status: JobStatus) -> int | None:
    """Return the code of the hold, if it is on hold, or was when it ended."""
    found = re.fullmatch(r"HELD (\d+)", status.state)
    return int(found[1]) if found else None


def _held(status: JobStatus) -> tuple[str, str]:
    unknown = "HTCondor put it on hold", "Ask the administrators what that means."
    return _HELD.get(_code(status) or 0, unknown)


def _reason(status: JobStatus) -> str:
    return status.reason.rstrip(".") or status.state


def _filled(text: str, status: JobStatus) -> str:
    return text.replace("{job}", status.job_id.number)


def _match(table: tuple[Row, ...], reason: str) -> tuple[str, str] | None:
    for pattern, text, remedy in table:
        if re.fullmatch(pattern, reason, re.IGNORECASE):
            return text, remedy
    return None
