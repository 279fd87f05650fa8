"""Grid Engine's words in plain words: what a job waits for, how it ended, what to change.

Rules: pure; an unknown one of Grid Engine's is shown as it is. Called by `driver.py`.
"""

from __future__ import annotations

import re

from remote_kernels.causes import EndCause
from remote_kernels.scheduler.job import Completed, JobStatus, Phase

from . import answers

Row = tuple[str, str, str]

PATIENCE = 20.0  # seconds until "no suitable queues" is believed: nodes come and go
SHOWN = 3  # of the scheduler's sentences, of which there is one for each queue
_OF_A_QUEUE = re.compile(r"because of cluster queue|hard queue list")
_AGAIN = "Start the kernel again if you still need it."
_LOG = "The end of its log may tell why."
_SMALLER = (
    "Asking for less ('time', 'cores', 'memory', 'gpus') may let it start sooner."
)
_QUEUES = "`qstat -g c` shows the queues, `qconf -sq QUEUE` the limits of one"
_LESS = (
    f"Ask for less ('time', 'cores', 'memory', 'gpus'), or choose another 'queue' "
    f"({_QUEUES})."
)

# One row a line, as a table is read: a pattern, a clause, and what can be done.
# fmt: off
WAITS: tuple[Row, ...] = (
    (r"hold state", "the job is on hold", "`qrls {job}` lets it go on, if the hold is yours; else ask the administrators."),
    (r"dependenc", "waiting for the jobs it depends on", "Take -hold_jid out of 'qsub_args' to start without them."),
    (r"execution time not reached", "waiting for its begin time", "Take -a out of 'qsub_args' to start at once."),
    (r"exceeds limit|resource quota", "a quota of the site holds it back", "It starts when jobs of yours end (`qquota` shows what you use); asking for less may help."),
    (r"user limitations", "as many of your jobs run as may run at once", "It starts when one of them ends."),
    (r"offers only hc:|only offers \d+ slots|is full|because it is full", "waiting for free slots", _SMALLER),
    (r"offers only h[lf]:", "no node has enough of that at present", "It starts when one has; asking for less of it may let it start sooner."),
    (r"overload|is temporarily not available|is disabled|is suspended", "its queues are busy or closed for the time being", f"Choose another 'queue', or wait ({_QUEUES})."),
    (r"not in .*access list|no permission|has no access|not allowed", "you may not use the queues that could run it", f"Choose another 'queue' or 'account' ({_QUEUES})."),
)
FAILS: tuple[Row, ...] = (
    (r"chdir|working directory", "it could not enter its directory on the node", "The home directory is not shared with the node, or not mounted there: tell the administrators."),
    (r"output file|error file", "its log could not be opened on the node", "The state directory is not shared with it. Set 'state_dir' to a directory on a filesystem that the login node and the compute nodes share."),
    (r"prolog|starter|shepherd|setup|pe.?start", "the preparation of the node failed", "Start the kernel again; if it happens again, tell the administrators."),
)
SUBMITS: tuple[Row, ...] = (
    (r"qmaster using port|commlib error", "", "The qmaster does not answer now (`qhost` shows whether it does): start the kernel again in a while."),
    (r"unknown queue|no cluster queue", "", f"Change 'queue' (`qconf -sql` lists the queues; {_QUEUES})."),
    (r"access to project|requested project", "", "Set 'account' to a project of yours (`qconf -sprjl` lists all)."),
    (r"parallel environment", "", "Change 'pe' (`qconf -spl` lists the parallel environments), or leave it out."),
    (r"unknown resource", "", "Take it out, or name one that this site has (`qconf -sc` lists them)."),
    (r"can't resolve hostname", "", "Correct the host's name (`qhost` lists them)."),
    (r"is not a \w+ value", "", "Correct that option."),
    (r"invalid option argument", "", "Correct 'qsub_args' (`qsub -help` lists its options)."),
    (r"reservation", "", "Take 'ar' out, or name another one (`qrstat` lists them)."),
    (r"no suitable queues", "", _LESS),
    (r"jobs are allowed|more than the allowed|job limit", "", "You have as many jobs, waiting and running, as you may have: end one of them (`qstat` lists yours)."),
    (r"no(t a)? submit host|neither submit nor admin host|not allowed to submit", "", "Jobs cannot be submitted from this host: start the notebook server on a login node, or ask the administrators."),
    (r"SGE_ROOT|cell directory", "", "Set SGE_ROOT and SGE_CELL as on a login node before the notebook server starts: `. $SGE_ROOT/$SGE_CELL/common/settings.sh`."),
)
ENDS: dict[str, tuple[str, str]] = {
    answers.TIME_LIMIT: ("The job reached its time limit.", "Ask for more with 'time'."),
    answers.MEMORY_LIMIT: ("The job used more memory, or computing time, than it may.", "Ask for more with 'memory'."),
    answers.SOME_LIMIT: ("The job reached a limit of its queue's: of time, of memory, or of computing time.", f"Ask for more with 'time' or 'memory', or choose another 'queue' ({_QUEUES})."),
    answers.FINISHED: ("The job ended on its own.", _AGAIN),
    "UNKNOWN": ("The job is gone, and Grid Engine does not say how it ended.", "The end of its log may tell; start the kernel again if you still need it."),
}
# fmt: on
CAUSES = {
    answers.TIME_LIMIT: EndCause.TIME,
    answers.MEMORY_LIMIT: EndCause.MEMORY,
    answers.SOME_LIMIT: EndCause.LIMIT,
    answers.TOLD: EndCause.CANCELLED,
    "failed 19": EndCause.NODE,
    "failed 21": EndCause.NODE,
    "failed": EndCause.START,
}


def never(status: JobStatus) -> str | None:
    """Say why a job that waits can never start, and what to change; None if it may."""
    if status.phase is not Phase.PENDING:
        return None
    if "E" in status.state:
        text, remedy = _found(FAILS, status.reason) or ("it failed to start", "")
        told = f" ({_shown(status.reason)})" if status.reason else ""
        remedy = (
            remedy
            or "Start the kernel again; if it happens again, tell the administrators."
        )
        return (
            f"The job is in error state ({status.state}), from which Grid Engine never "
            f"takes it by itself: {text}{told}. {remedy}"
        )
    if status.reason.startswith(answers.NO_QUEUE) and status.standing >= PATIENCE:
        return (
            "The job can never start as asked: no queue of this site could run it "
            f"({_shown(status.reason)}). {_LESS}"
        )
    return None


def pending(status: JobStatus) -> str:
    """Say what a job waits for, as a clause; Grid Engine's own words are in brackets."""
    if status.phase is Phase.UNKNOWN:
        return f"in a state that we do not know ({status.state})"
    if status.phase is Phase.SUSPENDED:
        return f"the job is paused ({status.state})"
    for pattern, clause, _ in WAITS:
        for one in status.reason.split("; "):  # there may be one for each queue
            if re.search(pattern, one, re.IGNORECASE):
                return f"{clause} ({one})"
    if "h" in status.state:
        return f"{WAITS[0][1]} ({status.state})"
    return (
        f"waiting ({_shown(status.reason)})"
        if status.reason
        else "waiting in the queue"
    )


def advice(status: JobStatus) -> str:
    """Say what can be done about that; "" if there is only to wait."""
    found = _found(WAITS, status.reason)
    if found is None and "h" in status.state and status.phase is Phase.PENDING:
        found = WAITS[0][1:]
    return found[1].replace("{job}", str(status.job_id)) if found else ""


def ended(status: JobStatus) -> str:
    """Say how a job ended, and what can be done."""
    if status.state in ENDS and not (
        status.state == answers.FINISHED and status.exit_code
    ):
        return " ".join(ENDS[status.state])
    if status.state == answers.FINISHED:
        return f"The job's script failed with exit code {status.exit_code}. {_LOG}"
    if status.state == answers.TOLD:
        return (
            "The job was ended from outside: cancelled (qdel) by you or an administrator, "
            f"or killed for lack of memory on its node. {_AGAIN}"
        )
    found = _found(FAILS, status.reason)
    if found:
        return f"The job failed: {found[0]} ({status.reason}). {found[1]}"
    why = status.reason or status.state
    return f"The job ended ({why}). {_LOG}"


def submit(completed: Completed) -> str:
    """Say what to do about what qsub said; "" if we do not know it."""
    found = _found(SUBMITS, completed.stderr or completed.stdout)
    return found[1] if found else ""


def refused(completed: Completed) -> str:
    """Say why qsub does not take a job, and what to change."""
    said = re.sub("Unable to run job: ", "", f"{completed.stderr}\n{completed.stdout}")
    lines = [re.sub(r"^Job \d+ ", "a job ", line) for line in said.splitlines()]
    told = [one.strip() for one in lines if one.strip() and one.strip() != "Exiting."]
    why = _shown("; ".join(dict.fromkeys(told)))
    stop = "" if why.endswith(".") else "."
    advice = _LESS if answers.NO_QUEUE in said else submit(completed)
    return f"Grid Engine would refuse it: {why}{stop} {advice}".strip()


def _found(table: tuple[Row, ...], text: str) -> tuple[str, str] | None:
    for pattern, clause, remedy in table:
        if re.search(pattern, text, re.IGNORECASE):
            return clause, remedy
    return None


def _shown(reason: str) -> str:
    """Return the first sentences: there may be one for each queue of the site.

    Those of single queues come last: they do not say why no other one takes the job.
    """
    said = sorted(reason.split("; "), key=lambda one: bool(_OF_A_QUEUE.search(one)))
    return "; ".join(said[:SHOWN]) + ("; ..." if len(said) > SHOWN else "")
