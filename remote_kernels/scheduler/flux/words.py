"""Flux's words in plain words: what a job waits for, how it ended, what to change.

Rules: pure. Exceptions and messages are those of flux-core 0.88's sources and tests; an
unknown one is shown as it is. Called by `driver.py`.
"""

from __future__ import annotations

import re

from remote_kernels.causes import EndCause
from remote_kernels.scheduler.job import Completed, JobStatus, Phase

_AGAIN = "Start the kernel again if you still need it."
_TELL = "Start the kernel again; if it happens again, tell the administrators."
_LOG = "The end of its log may tell why."

# One row a line, as a table is read.
# fmt: off
_WAITS: tuple[tuple[str, str, str], ...] = (
    (r"^$", "waiting for free nodes, or behind other jobs", "`flux jobs -o deps {job}` shows its priority, `flux resource list` what is free."),
    (r"^held", "the job is on hold", "`flux job urgency {job} default` lets it go on."),
    (r"^priority-hold", "a limit of your bank or of the site holds it back", "It starts when other jobs of yours end, or the administrators lift that."),
    (r"^depends: .*begin-time", "waiting for its begin time", "Take --begin-time out of 'flux_args' to start at once."),
    (r"^depends: ", "waiting for what it depends on", "Take --dependency out of 'flux_args' to start without that."),
)

_STATES: dict[str, tuple[str, str]] = {
    "RUN": ("the job is running", ""),
    "CLEANUP": ("the job is ending", ""),
    "PRIORITY": ("waiting for its priority to be computed", ""),
}

# By the type of the exception that ended it.
_ENDS: dict[str, tuple[str, str]] = {
    "timeout": ("The job reached its time limit.", "Ask for more with 'time-limit'."),
    "cancel": ("The job was cancelled, by you or by an administrator.", "If it was not you, ask the administrators why."),
    "alloc": ("Flux could not give the job what it asks for: {note}.", "Ask for less ('nodes', 'cores-per-slot', 'gpus-per-slot'), or change 'requires' or 'queue' (`flux resource list` shows what there is)."),
    "exec": ("The job could not be run on its node: {note}.", _TELL),
    "dependency": ("What the job depends on did not come: {note}.", "Take --dependency out of 'flux_args'."),
    "scheduler-restart": ("Flux's scheduler was started anew, and the job did not outlive that.", _TELL),
}

_REFUSED: tuple[tuple[str, str], ...] = (
    (r"Invalid queue|unknown queue|no such queue|queue.*(not found|required)|no queue", "Change 'queue': `flux queue list` shows the queues of this Flux."),
    (r"(submission|queue).* (is|currently) .*disabled", "Choose another 'queue' (`flux queue list` shows which are enabled), or wait."),
    (r"duration.*exceeds policy limit|requested duration|duration.*limit", "Ask for less with 'time-limit', or choose another 'queue' (`flux queue list` shows the limit of each)."),
    (r"exceeds policy limit", "Ask for less ('nodes', 'cores-per-slot', 'gpus-per-slot'), or choose another 'queue' (`flux queue list` shows the limits of each)."),
    (r"unsatisfiable|infeasible|node count|not feasible", "No nodes have what is asked for: ask for less, or change 'requires' (`flux resource list` shows what there is)."),
    (r"user/bank|bank", "Change 'bank' to one that you may use: `flux account view-user $(id -un)` shows yours."),
    (r"max(imum)? .*jobs|job limit", "You have as many jobs as you may have: end one (`flux jobs` lists yours), or wait."),
    (r"constraint|invalid operator|Invalid property", "Correct 'requires': see `flux help batch`."),
    (r"duration", "Correct 'time-limit': minutes, or a number with s, m, h or d."),
    (r"Unable to connect|flux_open|Connection refused|timed out|No service matching", "Flux did not answer. Try again in a while; `flux uptime` shows whether it answers."),
    (r"unrecognized arguments|usage:", "This version of Flux does not know an option: see 'flux_args' and `flux version`."),
)
# fmt: on
CAUSES = {
    "timeout": EndCause.TIME,
    "TIMEOUT": EndCause.TIME,
    "cancel": EndCause.CANCELLED,
    "CANCELED": EndCause.CANCELLED,
    "alloc": EndCause.START,
    "exec": EndCause.START,
    "dependency": EndCause.START,
    "scheduler-restart": EndCause.NODE,
}


def pending(status: JobStatus) -> str:
    """Say what a job waits for, as a clause; Flux's own word is in brackets."""
    found, words = _waiting(status), status.reason.strip().rstrip(".")
    if found is None:
        return f"{status.state}: {words}" if words else f"in state {status.state}"
    return f"{found[0]} ({words})" if words else found[0]


def advice(status: JobStatus) -> str:
    """Say what can be done about that; "" if there is only to wait."""
    found = _waiting(status)
    return found[1].replace("{job}", status.job_id.number) if found else ""


def ended(status: JobStatus) -> str:
    """Say how a job ended, and what can be done."""
    kind, _, note = status.reason.partition(": ")
    if kind in _ENDS:
        text = " ".join(_ENDS[kind])
        return text.replace(": {note}", f": {note}" if note else "")
    if kind:
        return f"Flux ended the job: {status.reason}. {_LOG}"
    if status.state == "COMPLETED":
        return f"The job ended on its own. {_AGAIN}"
    if status.state == "CANCELED":
        return " ".join(_ENDS["cancel"])
    if status.signal:
        return f"The job was ended by signal {status.signal}. {_LOG}"
    if status.exit_code:
        return f"The job's script failed with exit code {status.exit_code}. {_LOG}"
    if status.state == "FAILED":
        return f"The job failed, and Flux does not say why. {_LOG}"
    return (
        "The job is gone, and Flux no longer knows how it ended. The end of its log may "
        "tell; start the kernel again if you still need it."
    )


def submit(completed: Completed) -> str:
    """Say what to do about what `flux batch` said; "" if we do not know it."""
    said = f"{completed.stderr}\n{completed.stdout}"
    for pattern, text in _REFUSED:
        if re.search(pattern, said, re.IGNORECASE | re.MULTILINE):
            return text
    return ""


def _waiting(status: JobStatus) -> tuple[str, str] | None:
    if status.state in _STATES:
        return _STATES[status.state]
    if status.phase is not Phase.PENDING:
        return None
    for pattern, text, remedy in _WAITS:
        if re.search(pattern, status.reason):
            return text, remedy
    return "waiting for free nodes", ""
