"""Slurm's words in plain words: what a job waits for, how it ended, what to change.

Rules: pure; the words are in `reasons.py`; an unknown one of Slurm's is shown as
it is. Called by `driver.py`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shlex
import signal
from collections.abc import Sequence

from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobStatus,
    Phase,
    named_signal,
)

from . import refusals
from .commands import cluster_option, job_number
from .reasons import AGAIN, ENDS, FAILURES, NEVER, PERHAPS_NEVER, STATES, WAITS, Row

_NO_JOB = JobId("")
PATIENCE = 20.0  # seconds until one of PERHAPS_NEVER is believed

# ExitCode=0:53 is what Slurm (22.05) says of a job whose --output cannot be opened.
_NO_OUTPUT = 53

_LOG = "The end of its log may tell why."
_MEMORY = (
    "This often happens when the memory is used up: ask for more with 'mem', or look "
    "at the end of its log."
)


def never(status: JobStatus) -> str | None:
    """Say why a job that waits can never start, and what to change; None if it may."""
    if status.phase is not Phase.PENDING:
        return None
    found = _match(NEVER, status.reason)
    if found is None and status.standing >= PATIENCE:
        found = _match(PERHAPS_NEVER, status.reason)
    if found is None:
        return None
    text, remedy = found
    remedy = _filled(remedy, status.job_id)
    return f"The job can never start as asked ({status.reason}): {text}. {remedy}"


def pending(status: JobStatus) -> str:
    """Say what a job waits for, as a clause; Slurm's own word is in brackets."""
    found = _waiting(status)
    if found is not None:
        return f"{found[0]} ({status.reason})" if status.reason else found[0]
    if status.state == "PENDING":
        return f"waiting ({status.reason})"
    words = f"{status.state} {status.reason}".strip()
    return f"in a state that we do not know ({words})"


def advice(status: JobStatus) -> str:
    """Say what can be done about that; "" if there is only to wait."""
    return _filled((_waiting(status) or ("", ""))[1], status.job_id)


def ended(status: JobStatus) -> str:
    """Say how a job ended, and what can be done."""
    word = status.state.partition(" ")[0].rstrip("+")
    if word == "FAILED":
        return _failed(status)
    if word == "CANCELLED" and " by " in status.state:
        return _cancelled(_user(status.state.rpartition(" ")[2]))
    return " ".join(ENDS.get(word, (f"The job ended: {status.state}.", _LOG)))


def submit(completed: Completed) -> str:
    """Say what to do about what sbatch said; "" if we do not know it."""
    partition = _partition(completed.argv)
    text = refusals.advice(completed.stderr, completed.stdout)
    return _filled(text.replace("{of}", f" -p {partition}" if partition else ""))


def _partition(argv: Sequence[str]) -> str:
    """Return the partition that was asked for, if it can be told."""
    name = "--partition="
    found = [word.removeprefix(name) for word in argv if word.startswith(name)]
    return shlex.quote(found[-1]) if found else ""


def _filled(text: str, job_id: JobId = _NO_JOB) -> str:
    """With the names that a command to copy needs: the user's own, and the job's."""
    where = "".join(f"{word} " for word in cluster_option(job_id))
    with contextlib.suppress(KeyError):  # else the shell knows it
        text = text.replace("$USER", pwd.getpwuid(os.getuid()).pw_name)
    if where:  # the first word of the command is before the option
        text = re.sub(r"`(\w+) (?=[^`]*\{job\})", rf"`\1 {where}", text)
    return text.replace("{job}", job_number(job_id))


def _waiting(status: JobStatus) -> tuple[str, str] | None:
    if status.state in STATES:
        return STATES[status.state]
    if status.state != "PENDING":
        return None
    return _match((*WAITS, *NEVER, *PERHAPS_NEVER), status.reason)


def _failed(status: JobStatus) -> str:
    if status.signal == _NO_OUTPUT:
        return (
            "The job's log could not be opened on the compute node: the state "
            "directory is not shared with it. Set 'state_dir' to a directory on a "
            "filesystem that the login node and the compute nodes share."
        )
    failure = _match(FAILURES, status.reason)
    if failure:
        return " ".join(failure)
    if status.signal:
        remedy = _MEMORY if status.signal == signal.SIGKILL else _LOG
        return f"The job was ended by signal {named_signal(status.signal)}. {remedy}"
    if status.exit_code:
        return f"The job's script failed with exit code {status.exit_code}. {_LOG}"
    hopeless = _match((*NEVER, *PERHAPS_NEVER), status.reason)
    if hopeless:
        text, remedy = hopeless
        remedy = _filled(remedy, status.job_id)
        return f"The job failed: {text} ({status.reason}). {remedy}"
    return f"The job failed ({status.reason or 'no reason given'}). {_LOG}"


def _cancelled(who: str) -> str:
    if who == "you":
        return f"The job was cancelled by you. {AGAIN}"
    return f"The job was cancelled by {who}. Ask them why before you start it again."


def _user(number: str) -> str:
    """Accounting says who cancelled a job by a number (sacct, 20.11 to 26.05)."""
    if number == str(os.getuid()):
        return "you"
    try:
        return pwd.getpwuid(int(number)).pw_name
    except (KeyError, ValueError):
        return f"user {number}"


def _match(table: tuple[Row, ...], reason: str) -> tuple[str, str] | None:
    """Look a reason up; scontrol prints its spaces as underscores."""
    for pattern, text, remedy in table:
        if re.fullmatch(pattern, reason.replace("_", " ")):
            return text, remedy
    return None
