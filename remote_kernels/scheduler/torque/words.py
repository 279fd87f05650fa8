"""Torque's words in plain words: what a job waits for, how it ended, what to change.

Rules: pure; an unknown one is shown as it is. Comments come from the site's scheduler
(pbs_sched, Maui or Moab), which often gives none; refusals are those of Torque 6.1
(src/include/pbs_error_db.h). Called by `driver.py`.
"""

from __future__ import annotations

import re
import signal

from remote_kernels.causes import EndCause
from remote_kernels.scheduler.job import Completed, JobStatus, Phase, login_name
from remote_kernels.scheduler.pbs.words import AGAIN, LOG, by_status, clause, cure

from .answers import OVER_CPUT, OVER_MEM, OVER_TIME

_TELL = "Start the kernel again; if it happens again, tell the administrators."
_SMALLER = "Asking for less ('walltime', 'ppn', 'mem', 'gpus') may let it start sooner."
_NODES = "`pbsnodes` shows what the nodes have"
_QUEUES = "`qstat -Q` lists the queues, `qstat -Qf NAME` shows the limits of one"

# One row a line, as a table is read.
# fmt: off
_WAITS = (
    (r"", "waiting in the queue", ""),
    (r".*Not enough of the right type of nodes.*|.*exceeds currently available cluster nodes.*|.*[Rr]esource temporarily unavailable.*|.*[Ii]nsufficient.*|No available resources on nodes.*", "waiting for free nodes", _SMALLER),
    (r".*cannot allocate node.*|.*exceeds available (cluster nodes|partition procs).*", "no nodes have what it asks for at present", f"Ask for less ('ppn', 'nodes', 'mem', 'gpus'), or change 'queue' or 'properties' ({_NODES})."),
    (r".*([Uu]ser|[Gg]roup|[Aa]ccount).*(limit|reached).*", "your running jobs, or those of your group, reach a limit", "It starts when one of them ends: `qstat -u $USER` lists yours."),
    (r".*[Qq]ueue not started.*|.*draining.*", "its queue is closed for the time being", f"Choose another 'queue' ({_QUEUES})."),
    (r".*[Dd]edicated.*|.*cross.*|.*reservation.*", "the nodes are kept for something else", "Ask for less with 'walltime', so that it ends before."),
    (r"Hold_Types=u", "the job is on hold", "`qrls {job}` lets it go on."),
    (r"Hold_Types=\w+", "the job is on hold by the administrators, or waits for another job", "`qstat -f {job}` shows more; ask the administrators."),
)
_CODES = {
    f"C {OVER_TIME}": ("The job reached its time limit.", "Ask for more with 'walltime'."),
    f"C {OVER_MEM}": ("The job used more memory than it had asked for and was ended.", "Ask for more with 'mem'."),
    f"C {OVER_CPUT}": ("The job used more CPU time than it may and was ended.", "Ask the administrators about that limit."),
    "C -1": ("The job could not be started on its node.", _TELL),
    "C -2": ("The job could not be started on its node.", _TELL),
    "C -3": ("The job could not be started on its node.", _TELL),
    "C -4": ("The node was started anew while the job ran.", _TELL),
    "C -5": ("The node was started anew while the job ran.", _TELL),
    "C -6": ("The node was started anew while the job ran.", _TELL),
    "C -8": ("The job's shell could not be started on its node.", _TELL),
    "C -9": ("The job's output could not be opened on its node.", "Tell the administrators."),
    "C -13": ("The node could not be set up for the job.", _TELL),
    "UNKNOWN": ("The job is gone, and Torque no longer knows how it ended.", "It remembers jobs for some minutes alone. The end of its log may tell; start the kernel again if you still need it."),
}
_REFUSED = (
    (r"Unknown queue|queue not found", f"Change 'queue': {_QUEUES}."),
    (r"Queue is not enabled", f"This queue takes no jobs now. Choose another 'queue': {_QUEUES}."),
    (r"Access to queue is denied|Unauthorized Request", f"You may not use that queue, or submit from this host. Change 'queue' ({_QUEUES}), or ask the administrators."),
    (r"exceeds queue resource limits|rejected by all possible destinations|Resource limit exceeds|cannot satisfy queue", f"No queue takes a job of that size. Ask for less ('walltime', 'nodes', 'ppn', 'mem', 'gpus'), or change 'queue': {_QUEUES}."),
    (r"cannot locate feasible nodes|nodes file is empty|job requests .* nodes", f"No nodes have what is asked for: {_NODES}."),
    (r"Maximum number of jobs", "You, or your group, have as many jobs as may be there: end one of them (`qstat -u $USER` lists yours), or wait until one ends."),
    (r"Invalid Account|account", "Change 'account': ask the site which are yours."),
    (r"Unknown resource|Illegal attribute or resource value|Undefined attribute|illegal -", "This Torque does not know something that was asked for, or not so: see 'properties', 'gpus' and 'qsub_args'."),
    (r"Bad (UID|GID) for job execution|Invalid credential|run as root", "Torque does not take jobs of this user from this host. Tell the administrators, or use another login node."),
    (r"cannot connect to|Communication failure|trqauthd|Unable to authorize", "Torque's server did not answer. Try again in a while; `qstat -B` shows whether it answers."),
    (r"No default server", "This machine is no client of Torque: no server is named in its file server_name."),
    (r"unrecognized option|invalid option", "This version of qsub does not know an option: see 'qsub_args' and `qsub --version`."),
    (r"^\W*(\w+: )?usage:|script (file )?(is )?(missing|required)|no script", "The qsub that comes first on PATH is not Torque's own, or a wrapper of this site that takes no script on standard input. `type -a qsub` lists all; put the directory of Torque's own first in the PATH of the notebook server."),
)
# fmt: on
CAUSES = {
    f"C {OVER_TIME}": EndCause.TIME,
    f"C {OVER_MEM}": EndCause.MEMORY,
    f"C {OVER_CPUT}": EndCause.LIMIT,
    "C -1": EndCause.START,
    "C -2": EndCause.START,
    "C -3": EndCause.START,
    "C -8": EndCause.START,
    "C -9": EndCause.START,
    "C -13": EndCause.START,
    "C -4": EndCause.NODE,
    "C -5": EndCause.NODE,
    "C -6": EndCause.NODE,
}


def pending(status: JobStatus) -> str:
    """Say what a job waits for, as a clause; Torque's own words are in brackets."""
    words = re.sub(r"^Not Running( -)?:? ", "", status.reason).rstrip(".")
    return clause(status, _waiting(status), words)


def advice(status: JobStatus) -> str:
    """Say what can be done about that; "" if there is only to wait."""
    return cure(status, _waiting(status))


def ended(status: JobStatus) -> str:
    """Say how a job ended, and what can be done."""
    if status.state in _CODES:
        return " ".join(_CODES[status.state])
    if status.state.startswith("C -"):
        return f"Torque ended the job (exit_status {status.state[2:]}). {_TELL}"
    if status.signal == signal.SIGTERM:
        return f"The job was deleted, or ended by SIGTERM. {AGAIN}"
    if status.state == "C" and status.exit_code is None and not status.signal:
        return f"The job was deleted before it ran. {AGAIN}"
    return by_status(status)


def was_deleted(status: JobStatus) -> bool:
    """Return whether a job was deleted, as far as can be told."""
    if status.state in CAUSES:
        return False
    never_ran = status.state == "C" and status.exit_code is None and not status.signal
    return never_ran or status.signal == signal.SIGTERM


def submit(completed: Completed) -> str:
    """Say what to do about what qsub said; "" if we do not know it."""
    said = completed.stderr or completed.stdout
    for pattern, text in _REFUSED:
        if re.search(pattern, said, re.IGNORECASE | re.MULTILINE):
            return text.replace("$USER", login_name())
    return ""


def _waiting(status: JobStatus) -> tuple[str, str] | None:
    if status.phase is Phase.SUSPENDED:
        text = "the job is paused, for a more urgent one or by the administrators"
        return text, f"Its kernel answers again when it goes on. {LOG}"
    if status.phase is Phase.RUNNING:
        return "the job is running", ""
    if status.phase is Phase.ENDING:
        return "the job is ending", ""
    if status.phase is not Phase.PENDING:
        return None
    for pattern, text, remedy in _WAITS:
        if re.fullmatch(pattern, status.reason):
            return text, remedy
    return None
