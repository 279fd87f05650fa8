"""LSF's words in plain words: what a job waits for, how it ended, what to change.

Rules: pure. A row is a pattern to be found in what LSF says, a clause that says what it
means, and a sentence that says what can be done ("" where there is only to wait). The
texts are those of IBM's documentation and of LSF's own answers (8 to 10.1.0.15); an
unknown one is shown as it is. Called by `driver.py`.
"""

from __future__ import annotations

import re

from remote_kernels.causes import EndCause
from remote_kernels.scheduler.job import Completed, JobStatus, Phase, login_name

Row = tuple[str, str, str]

PATIENCE = 60.0  # seconds until LSF is believed that a job can never start

_AGAIN = "Start the kernel again if you still need it."
_TELL = "Start the kernel again; if it happens again, tell the administrators."
_LOG = "The end of its log may tell why."
_HOSTS = "`lshosts` shows what the hosts have, `bhosts` which are open"
_SMALLER = "Asking for less ('W', 'n', 'M', 'gpu') may let it start sooner."

# One row a line, as a table is read.
# fmt: off
NEVER: tuple[Row, ...] = (
    (r"[Dd]ependency condition (is )?invalid or never satisfied", "it was to wait for another job, and that one did not end as it should", "Take the dependency out of 'bsub_args'."),
)

WAITS: tuple[Row, ...] = (
    *NEVER,
    # Hosts that are down, closed or overloaded for a while do not count as suitable.
    (r"no suitable hosts for the job", "no host can take it at present", f"If it lasts, ask for less ('n', 'M', 'gpu'), or change 'R', 'm' or 'q' ({_HOSTS})."),
    (r"^$", "waiting in the queue", ""),
    (r"New job is waiting for scheduling", "waiting for the scheduler's next round", ""),
    (r"suspended by the user while pending", "the job is on hold, by you", "`bresume {job}` lets it go on."),
    (r"suspended by LSF admin or root while pending", "the administrators put the job on hold", "Ask them why."),
    (r"held until (its )?specified start time|specified start time", "waiting for its begin time", "Take -b out of 'bsub_args' to start at once."),
    (r"[Dd]ependency condition", "waiting for the jobs it depends on", "Take the dependency out of 'bsub_args' to start without them."),
    (r"[Qq]ueue (has been |is )?(closed|inactivated)|queue is not active|Queue's? dispatch windows? closed|dispatch window", "its queue starts no jobs for the time being", "Choose another 'q' (`bqueues` lists them), or wait."),
    (r"(user|User|group|project|Project).*(reached|not enough).*(slot|job|resource).*|per-user job slot limit", "your running jobs, or those of your group, reach a limit", "It starts when one of them ends (`bjobs` lists yours, `blimits` shows the limits)."),
    (r"[Qq]ueue has reached its job slot limit|queue's.* job slot limit", "as many jobs run in its queue as may run at once", "Another 'q' may start it sooner (`bqueues` lists them)."),
    (r"Resource \(\w+\) limit defined|limit.*has been reached", "a limit of the site is reached", "It starts when other jobs end (`blimits` shows the limits)."),
    (r"reserving resource \((?P<what>\w+)\)|resource reservation", "waiting for a host with enough of what it reserves", _SMALLER),
    (r"spanning requirement|Not enough (processors|hosts|slots|job slot|resources)", "waiting for enough free slots together", _SMALLER),
    (r"Job slot limit reached|job slots?\b|Running an exclusive job|exclusive", "waiting for free slots", _SMALLER),
    (r"resource requirements not satisfied", "waiting for hosts that have what it asks for", f"If it lasts, ask for less or change 'R' ({_HOSTS})."),
    (r"Load information unavailable|Closed by LSF administrator|[Hh]ost is down|unreachable", "the hosts it could run on are out of order or closed", f"Choose another 'q' or 'm' ({_HOSTS}), or wait."),
    (r"pre-exec", "what prepares the host for the job failed there", "Tell the administrators if it lasts."),
)

# States of jobs that are not waiting in the usual way, and have not ended.
STATES: dict[str, tuple[str, str]] = {
    "RUN": ("the job is running", ""),
    "PROV": ("the host is being switched on", ""),
    "WAIT": ("waiting for an earlier job of the same chunk", ""),
    "PSUSP": ("the job is on hold, by you or by the administrators", "`bresume {job}` lets it go on, if it was you."),
    "USUSP": ("the job is paused, by you or by the administrators", "`bresume {job}` lets it go on, if it was you."),
    "SSUSP": ("the job is paused by LSF, as its host is overloaded or a more urgent job has its slots", "Its kernel answers again when it goes on; ask the administrators if it lasts."),
    "UNKWN": ("its host does not answer LSF; the job may go on there", "Tell the administrators if it lasts."),
    "ZOMBI": ("it was ended, but its host does not answer LSF", "Tell the administrators if it lasts."),
}

# By LSF's keyword for an end that was not the job's own.
ENDS: dict[str, tuple[str, str]] = {
    "TERM_RUNLIMIT": ("The job reached its run limit.", "Ask for more with 'W'."),
    "TERM_CPULIMIT": ("The job used all the CPU time that it may have.", "`bqueues -l` shows the CPU limit of each queue: choose another 'q'."),
    "TERM_DEADLINE": ("The job could not end before its deadline.", "Ask for less with 'W', or take -t out of 'bsub_args'."),
    "TERM_WINDOW": ("The hours in which its queue runs jobs were over.", "Choose another 'q' (`bqueues -l` shows the hours)."),
    "TERM_MEMLIMIT": ("The job used more memory than its limit and was ended.", "Ask for more with 'M'."),
    "TERM_SWAP": ("The job used more memory and swap space than its limit and was ended.", "Ask for more with 'M'."),
    "TERM_PROCESSLIMIT": ("The job started more processes than it may.", "Start fewer, or ask the administrators."),
    "TERM_THREADLIMIT": ("The job started more threads than it may.", "Start fewer (OMP_NUM_THREADS and the like), or ask the administrators."),
    "TERM_OWNER": ("The job was cancelled by you.", _AGAIN),
    "TERM_FORCE_OWNER": ("The job was cancelled by you.", _AGAIN),
    "TERM_REQUEUE_OWNER": ("The job was put back into the queue by you; its kernel is lost.", _AGAIN),
    "TERM_BUCKET_KILL": ("The job was cancelled together with others.", _AGAIN),
    "TERM_ADMIN": ("The job was cancelled by an administrator.", "Ask them why before you start it again."),
    "TERM_FORCE_ADMIN": ("The job was cancelled by an administrator.", "Ask them why before you start it again."),
    "TERM_REQUEUE_ADMIN": ("The job was put back into the queue by an administrator; its kernel is lost.", _TELL),
    "TERM_PREEMPT": ("A more urgent job took its slots.", "Start the kernel again, or choose a 'q' where this does not happen."),
    "TERM_LOAD": ("Its host was overloaded, and LSF ended the job.", _TELL),
    "TERM_ZOMBIE": ("The job ended while its host did not answer LSF.", _TELL),
    "TERM_CWD_NOTEXIST": ("The directory in which the job was to start is not there on its host.", "Start the notebook server in a directory that the hosts share."),
    "TERM_PRE_EXEC_FAIL": ("What prepares the host for the job failed there too often.", _TELL),
    "TERM_EXTERNAL_SIGNAL": ("The job was ended by a signal that LSF did not send.", "This often happens when the memory is used up: ask for more with 'M', or look at the end of its log."),
    "TERM_ORPHAN_SYSTEM": ("A job that it depends on failed.", "Take the dependency out of 'bsub_args'."),
    "TERM_RC": ("The machine that the job ran on was given back to the cloud.", _TELL),
    "TERM_REQUEUE_RC": ("The machine that the job ran on was given back to the cloud.", _TELL),
}

_REFUSED: tuple[tuple[str, str], ...] = (
    (r"No such queue|Bad queue name", "Change 'q': `bqueues` lists the queues of this cluster."),
    (r"cannot use the queue|not permitted to use|User permission denied|queue.*closed", "Choose another 'q': `bqueues -u {user}` lists those that are open to you."),
    (r"RUNLIMIT: Cannot exceed|run limit", "Ask for less with 'W', or choose another 'q' (`bqueues -l` shows the RUNLIMIT of each)."),
    (r"MEMLIMIT: Cannot exceed", "Ask for less with 'M', or choose another 'q' (`bqueues -l` shows the MEMLIMIT of each)."),
    (r"Cannot exceed queue's hard limit", "Ask for less, or choose another 'q' (`bqueues -l` shows the limits of each)."),
    (r"Too many processors|TASKLIMIT|PROCLIMIT|tasks requested", "Ask for fewer with 'n' or 'nodes', or choose another 'q' (`bqueues -l` shows its TASKLIMIT)."),
    (r"requirement section|rusage section|duplicate section|resource requirement|Expected number|Bad resource", "Correct 'R', or the unit of 'M'."),
    (r"Bad host name|host group|not used by the queue", f"Change 'm': {_HOSTS}."),
    (r"[Uu]ser group", "Change 'G': `bugroup` lists the groups of users."),
    (r"[Pp]roject", "Change 'P' to a project that you may use (the site's own check refuses it)."),
    (r"application profile", "Change 'app': `bapp` lists the application profiles."),
    (r"service class|\bSLA\b", "Change 'sla': `bsla` lists the service classes."),
    (r"reservation", "Change 'U': `brsvs` lists the reservations."),
    (r"-gpu|GPU", "Change 'gpu': `bhosts -gpu` shows the GPUs."),
    (r"[Pp]ending job threshold|job limit", "You have as many jobs as you may have: end one (`bjobs` lists yours), or wait."),
    (r"LSF is down|Cannot connect to LSF|LSF is processing|not responding|still trying|LIM is down|non-LSF host", "LSF did not answer. Try again in a while; `lsid` shows whether it answers."),
    (r"esub", "A rule of this site refuses the job; its own words say why."),
    (r"[Ii]llegal option|[Uu]nknown option|^Usage|usage:", "This version of LSF does not know an option: see 'bsub_args' and `bsub -V`."),
)
# fmt: on
CAUSES = {
    "TERM_RUNLIMIT": EndCause.TIME,
    "TERM_MEMLIMIT": EndCause.MEMORY,
    "TERM_SWAP": EndCause.MEMORY,
    "TERM_CPULIMIT": EndCause.LIMIT,
    "TERM_DEADLINE": EndCause.LIMIT,
    "TERM_WINDOW": EndCause.LIMIT,
    "TERM_PROCESSLIMIT": EndCause.LIMIT,
    "TERM_THREADLIMIT": EndCause.LIMIT,
    "TERM_OWNER": EndCause.CANCELLED,
    "TERM_FORCE_OWNER": EndCause.CANCELLED,
    "TERM_REQUEUE_OWNER": EndCause.CANCELLED,
    "TERM_BUCKET_KILL": EndCause.CANCELLED,
    "TERM_ADMIN": EndCause.CANCELLED,
    "TERM_FORCE_ADMIN": EndCause.CANCELLED,
    "TERM_REQUEUE_ADMIN": EndCause.CANCELLED,
    "TERM_PREEMPT": EndCause.PREEMPTED,
    "TERM_LOAD": EndCause.PREEMPTED,
    "TERM_ZOMBIE": EndCause.NODE,
    "TERM_RC": EndCause.NODE,
    "TERM_REQUEUE_RC": EndCause.NODE,
    "TERM_CWD_NOTEXIST": EndCause.START,
    "TERM_PRE_EXEC_FAIL": EndCause.START,
    "TERM_ORPHAN_SYSTEM": EndCause.START,
    "TERM_EXTERNAL_SIGNAL": EndCause.KILLED,
}


def pending(status: JobStatus) -> str:
    """Say what a job waits for, as a clause; LSF's own words are in brackets."""
    found, words = _waiting(status), _short(status.reason)
    if found is None:
        return f"{status.state}: {words}" if words else f"in state {status.state}"
    return f"{found[0]} ({words})" if words else found[0]


def advice(status: JobStatus) -> str:
    """Say what can be done about that; "" if there is only to wait."""
    found = _waiting(status)
    return found[1].replace("{job}", status.job_id.number) if found else ""


def never(status: JobStatus) -> str | None:
    """Say why a job that waits can never start, and what to change; None if it may."""
    if status.phase is not Phase.PENDING or status.standing < PATIENCE:
        return None
    found = _match(NEVER, status.reason)
    if found is None:
        return None
    words = _short(status.reason)
    return f"The job can never start as asked ({words}): {found[0]}. {found[1]}"


def ended(status: JobStatus) -> str:
    """Say how a job ended, and what can be done."""
    keyword = status.reason.partition(":")[0].strip()
    if keyword in ENDS:
        return " ".join(ENDS[keyword])
    if keyword.startswith("TERM_"):
        return f"LSF ended the job: {status.reason}. {_LOG}"
    if status.state == "DONE":
        return f"The job ended on its own. {_AGAIN}"
    if status.signal:
        return f"The job was ended by signal {status.signal}. {_LOG}"
    if status.exit_code:
        return f"The job's script failed with exit code {status.exit_code}. {_LOG}"
    if status.state == "EXIT":
        return f"The job ended before its script did, and LSF does not say why. {_LOG}"
    return (
        "The job is gone, and LSF no longer knows how it ended. The end of its log may "
        "tell; start the kernel again if you still need it."
    )


def submit(completed: Completed) -> str:
    """Say what to do about what bsub said; "" if we do not know it."""
    said = f"{completed.stderr}\n{completed.stdout}"
    for pattern, text in _REFUSED:
        if re.search(pattern, said, re.MULTILINE):
            return text.replace("{user}", login_name())
    return ""


def _waiting(status: JobStatus) -> tuple[str, str] | None:
    if status.state in STATES and (status.state != "PSUSP" or not status.reason):
        return STATES[status.state]
    if status.phase is Phase.PENDING:
        return _match(WAITS, status.reason) or STATES.get(status.state)
    return None


def _match(table: tuple[Row, ...], reason: str) -> tuple[str, str] | None:
    for pattern, text, remedy in table:
        if re.search(pattern, reason):
            return text, remedy
    return None


def _short(reason: str) -> str:
    """Return LSF's words in one line, without the many hosts that a long list counts."""
    words = "; ".join(part.strip() for part in reason.split(";") if part.strip())
    return words if len(words) <= 160 else words[:157] + "..."
