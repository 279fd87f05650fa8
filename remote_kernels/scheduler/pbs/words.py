"""PBS's words in plain words: what a job waits for, how it ended, what to change.

Rules: pure; an unknown one of PBS's is shown as it is. The scheduler's comments are
those of OpenPBS 23.06 (src/scheduler/job_info.cpp), refusals those of
src/lib/Liblog/pbs_messages.c; sites change them by hooks of theirs. Called by
`driver.py`; the texts of signals and the log serve Torque's driver, too.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from typing import Any

from remote_kernels.causes import EndCause
from remote_kernels.scheduler.job import (
    Completed,
    JobStatus,
    Phase,
    login_name,
    named_signal,
)

from .answers import DELETED, OVER_CPUT, OVER_MEM, OVER_TIME, OVER_VMEM

Row = tuple[str, str, str]

PATIENCE = 20.0  # seconds until "Can Never Run" is believed: nodes come back
LOG = "The end of its log may tell why."
AGAIN = "Start the kernel again if you still need it."
_TELL = "Start the kernel again; if it happens again, tell the administrators."
_MEMORY = (
    "This often happens when the memory is used up: ask for more with 'mem', or look "
    "at the end of its log."
)
_SMALLER = (
    "Asking for less ('walltime', 'ncpus', 'mem', 'ngpus') may let it start sooner."
)
_NODES = "`pbsnodes -aSj` shows what the nodes have"
_QUEUES = "`qstat -Q` lists the queues, `qstat -Qf NAME` shows the limits of one"
_GIVEN_UP = r"[Jj]ob held, too many failed attempts to run"
_PREFIX = r"(Not Running|Can Never Run): "

# One row a line, as a table is read: a pattern that fits the whole comment, what it
# means, and what can be done ("" where there is only to wait).
# fmt: off
_WAITS: tuple[Row, ...] = (
    (r"", "waiting in the queue", ""),
    (r"Insufficient amount of (queue |server )?resource:? (?P<name>\S+).*", "waiting for {name}", _SMALLER),
    (r"Not enough (free|total|of the right type of) nodes.*|No available resources on nodes.*|.*set .* has too few free resources.*|Node has reached .* limit", "waiting for free nodes", _SMALLER),
    (r".*requesting an exclusive node and node is in use.*|Nodes not available|Node is in an ineligible state.*|Node is of an ineligible type.*", "the nodes it needs are in use or out of order", f"Asking for less may help ({_NODES})."),
    (r"User has reached .*|.*per-user limit.*|.*job limit reached for user .*|.*user .*'s limit on resource .*", "your running jobs reach a limit of yours", "It starts when one of them ends: `qstat -u $USER` lists them."),
    (r"(Group|Project) has reached .*|.*per-(group|project) limit.*|.*job limit reached for (group|project) .*|.*(group|project) .*'s limit on resource .*|.*overall limit on resource .*|(Queue|Server) .*job limit has been reached.*", "as many jobs of your group, or of its queue, run as may run at once", "It starts when one of them ends; another 'queue', 'account' or 'project' may start it sooner."),
    (r"Queue not started\.?", "its queue is closed for the time being", f"Choose another 'queue' ({_QUEUES}), or wait until the administrators open it."),
    (r"Queue not an execution queue\.?", "it is being sent to a queue", ""),
    (r"Job would (cross|not finish).*|Job will cross.*|Dedicated time conflict.*|Job will run in (non)?primetime only", "it would still run when the machine, or its queue, is kept for something else", "Ask for less with 'walltime', so that it ends before."),
    (r"Job would (interfere|conflict|break).*|Job is under job_sort_formula threshold value|Can't preempt enough work.*", "other jobs are ahead in the queue", _SMALLER),
    (r"PBS Error: .*", "a node refused to start it, and it is tried again", "If it lasts, tell the administrators."),
    (_GIVEN_UP + r".*", "it failed to start many times and is on hold", _TELL),
    (r"Job held by .*|Hold_Types=u", "the job is on hold", "`qrls {job}` lets it go on."),
    (r"Hold_Types=\w+", "the job is on hold by the administrators, or waits for another job", "`qstat -f {job}` shows more; ask the administrators."),
)
_NEVER: tuple[Row, ...] = (
    (r"Insufficient amount of resource:? ncpus.*", "no node of its queue has so many CPUs", f"Ask for less with 'ncpus', or change 'nodes' or 'queue' ({_NODES})."),
    (r"Insufficient amount of resource:? v?mem.*", "no node of its queue has so much memory", f"Ask for less with 'mem', or change 'queue' ({_NODES})."),
    (r"Insufficient amount of resource:? ngpus.*", "no node of its queue has so many GPUs", f"Ask for less with 'ngpus', or change 'queue' ({_NODES})."),
    (r"(Insufficient amount of (queue )?resource|Specified .* does not exist|Not enough total nodes|can't fit in the largest placement set).*|Node can't satisfy a multi-node job|.*won't fit on node", "no node of its queue has what it asks for", f"Ask for less, or change 'select', 'place' or 'queue' ({_NODES})."),
)
_CODES: dict[str, tuple[str, str]] = {
    DELETED: ("The job was deleted.", AGAIN),
    f"F {OVER_TIME}": ("The job reached its time limit.", "Ask for more with 'walltime'."),
    f"F {OVER_MEM}": ("The job used more memory than it had asked for and was ended.", "Ask for more with 'mem'."),
    f"F {OVER_VMEM}": ("The job used more memory than it had asked for and was ended.", "Ask for more with 'mem'."),
    f"F {OVER_CPUT}": ("The job used more CPU time than it may and was ended.", "Ask the administrators about that limit."),
    "F -24": ("The job used more CPUs than it had asked for and was ended.", "Ask for more with 'ncpus'."),
    "F -25": ("The job used more CPUs than it had asked for and was ended.", "Ask for more with 'ncpus'."),
    "F -1": ("The job could not be started on its node.", _TELL),
    "F -2": ("The job could not be started on its node.", _TELL),
    "F -3": ("The job could not be started on its node.", _TELL),
    "F -4": ("The node was started anew while the job ran.", _TELL),
    "F -5": ("The node was started anew while the job ran.", _TELL),
    "F -6": ("The node was started anew while the job ran.", _TELL),
    "F -10": ("The node does not know this user or group.", "Tell the administrators."),
    "F -11": ("The job was to be started anew, which would have lost its kernel.", AGAIN),
    "F -17": ("A rule of this site (a hook) ended the job.", "Ask the administrators why."),
    "F -19": ("A rule of this site (a hook) ended the job.", "Ask the administrators why."),
    "F -20": ("The compute node could not be reached.", _TELL),
    "F -30": ("The nodes of the job could not be joined.", _TELL),
    "M": ("The job was moved to another PBS server, which no longer knows it.", AGAIN),
    "UNKNOWN": ("The job is gone, and PBS does not tell how it ended.", "Many sites keep no history of jobs. The end of its log may tell; start the kernel again if you still need it."),
}
_REFUSED: tuple[tuple[str, str], ...] = (
    (r"Unknown queue", f"Change 'queue': {_QUEUES}."),
    (r"Queue is not enabled", f"This queue takes no jobs now. Choose another 'queue': {_QUEUES}."),
    (r"Access to queue is denied|Unauthorized Request|not authorized", f"You may not use that queue, account or project. Change 'queue', 'account' or 'project': {_QUEUES}."),
    (r"violates queue and/or server resource limits|rejected by all possible destinations|Resource limit exceeds", f"No queue takes a job of that size. Ask for less ('walltime', 'nodes', 'ncpus', 'mem', 'ngpus'), or change 'queue': {_QUEUES}."),
    (r"Maximum number of jobs|would exceed .* limit", "You, or your group, have as many jobs as may be there, or they hold as much as they may: end one of them (`qstat -u $USER` lists yours), or wait until one ends."),
    (r"Invalid Account|account|project", "Change 'account' or 'project': ask the site which are yours."),
    (r"Unknown resource|Illegal attribute or resource value|Resource invalid in|cannot be used with .select|Undefined attribute", "This PBS does not know something that was asked for, or not so: see 'select', 'place', 'ngpus' and 'qsub_args'; `qstat -Qf` shows the resources of its queues."),
    (r"Invalid Job Dependency", "Take the dependency out of 'qsub_args': that job is not there, or not yours."),
    (r"hook", "A rule of this site (a hook) refused the job; its text says why."),
    (r"cannot connect to server|Connection refused|No route to host|Communication failure|server shutting down", "PBS's server did not answer. Try again in a while; `qstat -B` shows whether it answers."),
    (r"Bad (UID|GID) for job execution|Invalid credential", "PBS does not take jobs of this user from this host. Tell the administrators, or use another login node."),
    (r"No default server|No server specified", "This machine is no client of PBS: PBS_SERVER is not set in /etc/pbs.conf (PBS_CONF_FILE names another one)."),
    (r"unrecognized option|invalid option|illegal -", "This version of qsub does not know an option, or not so: see 'qsub_args' and `qsub --version`."),
    (r"^\W*(\w+: )?usage:|script (file )?(is )?(missing|required)|no script", "The qsub that comes first on PATH is not PBS's own, or a wrapper of this site that takes no script on standard input. `type -a qsub` lists all; put the directory of PBS's own (such as /opt/pbs/bin) first in the PATH of the notebook server."),
)
# fmt: on
CAUSES = {
    DELETED: EndCause.CANCELLED,
    f"F {OVER_TIME}": EndCause.TIME,
    f"F {OVER_MEM}": EndCause.MEMORY,
    f"F {OVER_VMEM}": EndCause.MEMORY,
    f"F {OVER_CPUT}": EndCause.LIMIT,
    "F -24": EndCause.LIMIT,
    "F -25": EndCause.LIMIT,
    "F -1": EndCause.START,
    "F -2": EndCause.START,
    "F -3": EndCause.START,
    "F -10": EndCause.START,
    "F -30": EndCause.START,
    "F -4": EndCause.NODE,
    "F -5": EndCause.NODE,
    "F -6": EndCause.NODE,
    "F -20": EndCause.NODE,
    "F -11": EndCause.CANCELLED,
    "F -17": EndCause.CANCELLED,
    "F -19": EndCause.CANCELLED,
}


def never(status: JobStatus, options: Mapping[str, Any]) -> str | None:
    """Say why a job that waits can never start, and what to change; None if it may."""
    if status.phase is not Phase.PENDING or not status.reason:
        return None
    if re.match(_GIVEN_UP, status.reason):
        text = "The job failed to start many times, and is on hold"
        return f"{text} ({status.reason}). {_TELL}"
    if not status.reason.startswith("Can Never Run") or status.standing < PATIENCE:
        return None
    found = _match(_NEVER, status.reason)
    if found is None:  # such as a file system or a licence, which come back
        return None
    return f"The job can never start as asked ({status.reason}): {found[0]}. {found[1]}"


def pending(status: JobStatus) -> str:
    """Say what a job waits for, as a clause; PBS's own words are in brackets."""
    words = re.sub(f"^{_PREFIX}", "", status.reason).rstrip(".")
    return clause(status, _waiting(status), words)


def advice(status: JobStatus) -> str:
    """Say what can be done about that; "" if there is only to wait."""
    return cure(status, _waiting(status))


def clause(status: JobStatus, found: tuple[str, str] | None, words: str) -> str:
    """Say what was found that a job waits for, with the batch system's own words."""
    if found is None:
        own = f"{status.state} {words}".strip()
        return (
            f"waiting ({own})" if status.phase is Phase.PENDING else f"in state {own}"
        )
    return f"{found[0]} ({words})" if words else found[0]


def cure(status: JobStatus, found: tuple[str, str] | None) -> str:
    """Say what can be done about what was found."""
    text = (found or ("", ""))[1]
    return text.replace("$USER", login_name()).replace("{job}", str(status.job_id))


def ended(status: JobStatus) -> str:
    """Say how a job ended, and what can be done."""
    if status.state == DELETED:
        return _deleted(status.reason)
    if status.state in _CODES:
        return " ".join(_CODES[status.state])
    if status.state.startswith("F -"):
        return f"PBS ended the job (Exit_status {status.state[2:]}). {_TELL}"
    return by_status(status)


def by_status(status: JobStatus) -> str:
    """Say how a script ended that had a code or a signal."""
    if status.signal:
        remedy = _MEMORY if status.signal == signal.SIGKILL else LOG
        return f"The job was ended by signal {named_signal(status.signal)}. {remedy}"
    if status.exit_code:
        return f"The job's script failed with exit code {status.exit_code}. {LOG}"
    if status.exit_code == 0:
        return f"The job ended on its own. {AGAIN}"
    if status.reason:
        return f"The job ended before it ran ({status.reason.rstrip('.')})."
    return f"The job ended: {status.state}. {LOG}"


def submit(completed: Completed) -> str:
    """Say what to do about what qsub said; "" if we do not know it."""
    said = completed.stderr or completed.stdout
    for pattern, text in _REFUSED:
        if re.search(pattern, said, re.IGNORECASE | re.MULTILINE):
            return text.replace("$USER", login_name())
    return ""


def _deleted(reason: str) -> str:
    """Say by whom, as the history has it: "and terminated by user@host"."""
    found = re.search(r"terminated by ([^@\s]+)", reason)
    if found is None:
        return "The job was deleted, by you or by an administrator."
    if found[1] == login_name():
        return f"The job was deleted by you. {AGAIN}"
    return f"The job was deleted by {found[1]}. Ask them why before you start it again."


def _waiting(status: JobStatus) -> tuple[str, str] | None:
    if status.phase is Phase.SUSPENDED:
        text = "the job is paused, for a more urgent one or by the administrators"
        return text, "Its kernel answers again when it goes on; ask them if it lasts."
    if status.phase is Phase.RUNNING:
        return "the job is running", ""
    if status.phase is Phase.ENDING:
        return "the job is ending", ""
    if status.state == "W" and not status.reason:
        return "waiting for its begin time", "Take -a out of 'qsub_args'."
    if status.phase is not Phase.PENDING:
        return None
    return _match((*_WAITS, *_NEVER), status.reason)


def _match(table: tuple[Row, ...], reason: str) -> tuple[str, str] | None:
    words = re.sub(f"^{_PREFIX}", "", reason)
    for pattern, text, remedy in table:
        found = re.fullmatch(pattern, words, re.DOTALL)
        if found is not None:
            name = found.groupdict().get("name") or ""
            return text.replace("{name}", _RESOURCES.get(name, name)), remedy
    return None


_RESOURCES = {
    "ncpus": "free CPUs",
    "mem": "free memory",
    "vmem": "free memory",
    "ngpus": "free GPUs",
    "nodes": "free nodes",
    "nodect": "free nodes",
    "host": "the node it names",
    "vnode": "the node it names",
    "Qlist": "free nodes of its queue",
    "qlist": "free nodes of its queue",
}
