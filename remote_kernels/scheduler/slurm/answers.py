"""What Slurm's commands say of jobs: captured text in, states out.

Rules: pure. Only forms that work from 20.11 to 26.05. Quirks were seen on 22.05.8.
Called by `driver.py` and `steps.py`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from remote_kernels.errors import ControllerError
from remote_kernels.scheduler.job import Completed, JobId, JobStatus, Phase

_PHASES = {
    Phase.PENDING: "PENDING CONFIGURING POWER_UP_NODE REQUEUED REQUEUE_FED "
    "REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT EXPEDITING",
    Phase.RUNNING: "RUNNING RESIZING SIGNALING",
    Phase.ENDING: "COMPLETING STAGE_OUT",
    Phase.SUSPENDED: "SUSPENDED STOPPED",
    Phase.ENDED: "COMPLETED FAILED CANCELLED TIMEOUT OUT_OF_MEMORY NODE_FAIL BOOT_FAIL "
    "PREEMPTED DEADLINE REVOKED",
}
_PHASE_OF = {word: phase for phase, words in _PHASES.items() for word in words.split()}

# Of jobs whose script ended, as against those that something ended.
_BY_ITSELF = ("COMPLETED", "FAILED")

_UNANSWERED = re.compile(
    r"Unable to contact slurm controller|Socket timed out|Zero Bytes were transmitted|"
    r"Slurm controller not responding|slurm backup controller in standby|"
    r"Connection refused|Connection timed out|Insane message length|"
    r"Unable to establish control|Communication connection failure|"
    r"can't be reached now|Protocol authentication error|temporarily unable",
    re.IGNORECASE,
)
# There is no such job, or not any more.
GONE = r"(?i)Invalid job id|already completing or completed|already finished"
# Reasons may hold spaces, commas and bars; nothing else in a row does.
ROW = "%i|%T|%r|%B|%N|%S|%e"
# A job's name may hold bars, too: it comes last, behind what no name holds.
OF_ALL = f"%V|%P|{ROW}|\x1f%j"
PLACES = "%i|%P|%Q|%r"
# Only these compete for a place: the others are held, or wait for something else.
_COMPETING = ("Priority", "Resources", "None", "")


def answer(completed: Completed, unless: str = "") -> str:
    """Return what a command printed; "" where it failed by saying `unless`.

    Raises ControllerError where Slurm did not answer.
    """
    if completed.returncode != 0 and unless and re.search(unless, completed.stderr):
        return ""
    if completed.returncode != 0 or is_no_answer(completed.stderr):
        raise no_answer(completed)
    return completed.stdout


def is_no_answer(stderr: str) -> bool:
    """Return whether that says that the controller was not reached."""
    return bool(_UNANSWERED.search(stderr))


def no_answer(completed: Completed) -> ControllerError:
    """Return the error that says that Slurm did not answer."""
    return completed.error(
        ControllerError,
        f"Slurm did not answer {completed.argv[0]}.",
        "This says nothing about the job. Slurm's controller may be restarting; "
        "`sinfo` shows whether it answers.",
    )


def listed(completed: Completed, known: Mapping[str, JobId]) -> dict[JobId, JobStatus]:
    """Return the jobs in rows of squeue, of those that are known by their numbers.

    A single unknown number fails with "Invalid job id"; among others it is absent.
    With -M a line "CLUSTER: name" comes first, even with -h.
    """
    rows = (_row(line, known) for line in answer(completed, GONE).splitlines())
    return {status.job_id: status for status in rows if status}


def named(completed: Completed) -> list[JobStatus]:
    """Return the jobs in such rows that have the job's name before them."""
    found = []
    for line in answer(completed).splitlines():
        name, _, row = line.partition("|")
        number = row.partition("|")[0].strip()
        status = _row(row, {number: JobId(number)}, name)
        found += [status] if status else []
    return found


def every(completed: Completed) -> list[JobStatus]:
    """Return the jobs in rows of OF_ALL; of an array the tasks that run, or wait, as one."""
    found: dict[str, JobStatus] = {}
    for line in answer(completed).splitlines():
        row, _, name = line.partition("|\x1f")
        submitted, queue, row = f"{row}||".split("|", 2)
        number = row.partition("|")[0].strip()
        job = re.match(r"\d+", number)
        status = _row(row.removesuffix("||"), {number: JobId(job[0])}) if job else None
        if job is None or status is None:
            continue
        known = found.get(job[0])
        if known is None or known.phase is Phase.PENDING is not status.phase:
            times = _epoch(submitted)
            found[job[0]] = replace(status, name=name, queue=queue, submit_time=times)
    return [*found.values()]


def log(text: str) -> str | None:
    """Return the path of the log in what `scontrol -o show job` printed.

    Its patterns are filled in there (22.05); a path in which one may be left is none.
    """
    line = text.partition("\n")[0]
    found = re.findall(r"\sStdOut=(.*?)(?=\s\w+=|\s*$)", line)
    return None if not found or re.search(r"%\w", found[-1]) else str(found[-1])


def places(completed: Completed, job_ids: Sequence[JobId]) -> dict[JobId, int]:
    """Return the places by partition, priority and number, as Slurm goes through them.

    An array counts as one job. One that may run in several partitions is in each
    queue; its place is the best one. Only the usual cluster's queue is listed.
    """
    queues: dict[str, list[tuple[int, int]]] = {}
    where: dict[str, tuple[list[str], tuple[int, int]]] = {}
    for line in answer(completed).splitlines():
        number, partition, priority, reason = f"{line}|||".split("|")[:4]
        digits = re.match(r"\d+", number.strip())
        if digits is None or not priority.isdigit() or reason not in _COMPETING:
            continue
        key = -int(priority), int(digits[0])
        for name in partition.split(","):
            queues.setdefault(name, []).append(key)
        where[number.strip()] = partition.split(","), key
    return {
        job_id: 1 + min(sum(o < key for o in queues[name]) for name in names)
        for job_id in job_ids
        if job_id.number in where and not job_id.where
        for names, key in [where[job_id.number]]
    }


def first_node(nodes: str) -> str:
    """Return the first node of a list as Slurm writes it: "c[01-04],d7"."""
    first = re.match(r"(?:[^,\[]|\[[^]]*\])*", nodes)
    return re.sub(r"\[(\w+)[^]]*\]", r"\1", first[0]) if first else ""


def _row(line: str, known: Mapping[str, JobId], name: str = "") -> JobStatus | None:
    """One line of squeue; None for a line that is none. Component 0 hosts us."""
    if line.count("|") < 6:
        return None
    number, state, rest = line.split("|", 2)
    number = number.strip().removesuffix("+0")
    if number not in known:
        return None
    # Not %B: of a job made by salloc that is the host on which salloc runs.
    reason, _, nodes, start, end = rest.rsplit("|", 4)
    return _status(
        known[number],
        state,
        reason=_word(reason),
        node=first_node(_word(nodes)),
        start=start,
        end=end,
        name=name,
    )


def _status(
    job_id: JobId,
    state: str,
    *,
    reason: str,
    node: str,
    start: str = "",
    end: str,
    exit: str = "",
    name: str = "",
) -> JobStatus:
    state = state.strip()
    # "CANCELLED by 1000" in accounting; "+" marks a cut word there.
    word = state.partition(" ")[0].rstrip("+")
    code, signal = _exit_code(exit)
    return JobStatus(
        job_id=job_id,
        phase=_PHASE_OF.get(word, Phase.UNKNOWN),
        state=state,
        reason=reason,
        node=node or None,
        exit_code=code,
        signal=signal,
        start_time=_epoch(start),
        end_time=_epoch(end),
        name=name,
        by_itself=word in _BY_ITSELF,
        vague=state == "CANCELLED",  # by whom? Accounting says so
    )


def _word(text: str) -> str:
    text = text.strip()
    return "" if text in ("n/a", "(null)", "None", "N/A", "None assigned") else text


def _exit_code(text: str) -> tuple[int | None, int | None]:
    """Slurm's "code:signal"; a signal of 0 is none."""
    found = re.fullmatch(r"(\d+):(\d+)", text.strip())
    if not found:
        return None, None
    return int(found[1]), int(found[2]) or None


def _epoch(text: str) -> float | None:
    """Slurm's commands print the local time of the host on which they run."""
    try:
        return time.mktime(time.strptime(text.strip(), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None  # N/A, Unknown, NONE, or a site's own SLURM_TIME_FORMAT


def shown(text: str, job_id: JobId) -> JobStatus | None:
    """Read the first line of `scontrol -o show job`: of a het job the component 0."""
    found = re.findall(r"(?:^|\s)(\w+)=(\S*)", text.partition("\n")[0])
    # The first of each name: a comment may hold what looks like fields.
    fields = dict(reversed(found))
    if "JobState" not in fields:
        return None
    return _status(
        job_id,
        fields["JobState"],
        reason=_word(fields.get("Reason", "")),
        node=_word(fields.get("BatchHost", "")),
        start=fields.get("StartTime", ""),
        end=fields.get("EndTime", ""),
        exit=fields.get("ExitCode", ""),
        name=_word(fields.get("JobName", "")),
    )


def accounted(text: str, job_id: JobId) -> JobStatus | None:
    """Read what sacct prints with -X -n -P: one line with bars."""
    lines = [line for line in text.splitlines() if line.count("|") == 3]
    if not lines:
        return None
    state, exit, end, _ = lines[-1].split("|")
    status = _status(job_id, state, reason="", node="", end=end, exit=exit)
    # A job that accounting believes to run, but the controller does not know, is lost.
    return status if status.phase is Phase.ENDED else None
