"""What Flux's commands say of jobs: captured text in, states out.

Rules: pure. `flux jobs --json` is there since 0.49; a job asked for alone comes bare,
several come in a list, and what is not known yet has no key. Called by `driver.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from remote_kernels.errors import ControllerError
from remote_kernels.scheduler.job import Completed, JobId, JobStatus, Phase

_PHASES = {
    Phase.PENDING: "NEW DEPEND PRIORITY SCHED",
    Phase.RUNNING: "RUN",
    Phase.ENDING: "CLEANUP",
    Phase.ENDED: "INACTIVE",
}
_PHASE_OF = {word: phase for phase, words in _PHASES.items() for word in words.split()}
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
NUMBER = f"f[{_BASE58}]+"
_UNLIMITED = 4e9  # seconds since 1970: Flux says 9223372036 where there is no limit
_BEFORE_IT_RAN = -128

GONE = re.compile(
    r"JobID \S+ unknown|unknown job id|job is inactive|not a valid Flux jobid",
    re.IGNORECASE,
)
_UNANSWERED = re.compile(
    r"Unable to connect|flux_open|Connection (refused|reset)|Host is unreachable|"
    r"No route to host|timed out|No service matching|Function not implemented|"
    r"broker (has|is)|lost connection|Broken pipe",
    re.IGNORECASE,
)


def f58(number: int) -> str:
    """Return a job's number as people read it, in letters that any terminal has."""
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return f"f{digits or _BASE58[0]}"


def plain(text: str) -> str:
    """Return such a number with an f, where Flux writes ƒ."""
    return re.sub("^ƒ", "f", text)


def is_no_answer(completed: Completed) -> bool:
    """Return whether nobody answered that command."""
    return completed.returncode != 0 and bool(_UNANSWERED.search(completed.stderr))


def no_answer(completed: Completed) -> ControllerError:
    """Return the error that says that Flux did not answer."""
    return completed.error(
        ControllerError,
        f"Flux did not answer `{' '.join(completed.argv[:2])}`.",
        "This says nothing about the job. Flux's broker on this host may be restarting; "
        "`flux uptime` shows whether it answers.",
    )


def listed(completed: Completed, known: Mapping[str, JobId]) -> dict[JobId, JobStatus]:
    """Return the jobs, of those that are known by their numbers.

    It fails if it knows none of them; of others it says so, and lists the rest.
    """
    found = {status.job_id.number: status for status in named(completed)}
    return {
        known[number]: status for number, status in found.items() if number in known
    }


def named(completed: Completed) -> list[JobStatus]:
    """Return all the jobs, with their names."""
    text = completed.stdout.strip()
    strange = [line for line in completed.stderr.splitlines() if "rpc:" in line]
    if strange or (not text and not GONE.search(completed.stderr)):
        raise no_answer(completed)
    read = json.loads(text) if text else {"jobs": []}
    rows: list[dict[str, Any]] = read.get("jobs", [read])
    return [_status(row) for row in rows]


def _status(row: Mapping[str, Any]) -> JobStatus:
    state = str(row.get("state", ""))
    phase = _PHASE_OF.get(state, Phase.UNKNOWN)
    code, reason = row.get("returncode"), _reason(row, phase)
    if not isinstance(code, int) or code == _BEFORE_IT_RAN:
        code = None
    result = str(row.get("result", ""))
    ended = phase is Phase.ENDED
    sched = row.get("annotations", {}).get("sched", {})
    return JobStatus(
        job_id=JobId(f58(row["id"])),
        phase=phase,
        state=(result or state) if ended else state,
        reason=reason,
        node=first_node(str(row.get("nodelist", ""))) or None,
        exit_code=None if code is None or code < 0 else code,
        signal=-code if code is not None and code < 0 else None,
        start_time=row.get("t_run") or sched.get("t_estimate"),
        end_time=row.get("t_inactive") if ended else _limit(row),
        name=str(row.get("name", "")),
        by_itself=ended and result in ("COMPLETED", "FAILED") and not reason,
    )


def _reason(row: Mapping[str, Any], phase: Phase) -> str:
    """Return what a job waits for, or what ended it, in Flux's words."""
    exception = row.get("exception", {})
    if phase is Phase.ENDED:
        if exception.get("severity"):  # it went on; only severity 0 ends a job
            return ""
        words = exception.get("type", ""), exception.get("note", "")
        return ": ".join(str(word) for word in words if word)
    if phase is not Phase.PENDING:
        return ""
    if row.get("dependencies"):
        return "depends: " + ", ".join(map(str, row["dependencies"]))
    if row.get("urgency") == 0:
        return "held"
    if row.get("priority") == 0:
        return "priority-hold"
    return str(row.get("annotations", {}).get("sched", {}).get("reason_pending", ""))


def _limit(row: Mapping[str, Any]) -> float | None:
    """Return when its time is over; that of the instance it is in, if that is sooner."""
    expiration = row.get("expiration") or 0.0
    return float(expiration) if 0 < expiration < _UNLIMITED else None


def first_node(nodes: str) -> str:
    """Return the first of "fluke[1-4,7],asp" (RFC 29)."""
    first = re.match(r"(?:[^,\[]|\[[^]]*\])*", nodes)
    return re.sub(r"\[(\w+)[^]]*\]", r"\1", first[0]) if first else ""
