"""What Grid Engine's commands say of jobs: captured text in, states out.

Rules: pure. Quirks were seen on 8.1.9. Called by `driver.py`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from xml.etree import ElementTree

from remote_kernels.errors import ControllerError
from remote_kernels.scheduler.job import Completed, JobId, JobStatus, Phase

# Letters of a state (qstat(1)): what comes first here decides.
_LETTERS = (
    ("d", Phase.ENDING),
    ("sSTNP", Phase.SUSPENDED),
    ("rt", Phase.RUNNING),
    ("qwho", Phase.PENDING),
)
_KNOWN = re.compile(r"[dEsSTNPrtqwhoR]+")

_UNANSWERED = re.compile(
    r"commlib error|unable to (send message to|contact) qmaster|got send error|"
    r"can't unpack|got read error|error: no response|"
    r"failed receiving gdi request|timeout .*qmaster|qmaster is going down",
    re.IGNORECASE,
)
GONE = re.compile(r"(does not exist|do not exist|not found)", re.IGNORECASE)

# Of a record of accounting: `failed` and what it means (accounting(5), 8.1.9).
LIMIT = (37, 44)  # h_rt, h_cpu, h_vmem: enforced by the controller, by the node
KILLED = 100
RESTARTED = 25
FINISHED = "finished"
TOLD = "ended from outside"
TIME_LIMIT = "time limit"
MEMORY_LIMIT = "memory limit"
SOME_LIMIT = "some limit"
# Our script, told to end by a signal (scheduler/script.py), or ended by SIGUSR2, which
# -notify sends, before it could listen.
END_SIGNALLED = (143, 140)


def answer(completed: Completed) -> str:
    """Return what a command printed. Raises ControllerError where it failed."""
    if completed.returncode != 0:
        raise no_answer(completed)
    return completed.stdout


def is_no_answer(completed: Completed) -> bool:
    """Return whether that says that the qmaster was not reached."""
    said = completed.stderr + completed.stdout
    return completed.returncode != 0 and bool(_UNANSWERED.search(said))


def no_answer(completed: Completed) -> ControllerError:
    """Return the error that says that the qmaster did not answer."""
    return completed.error(
        ControllerError,
        f"Grid Engine did not answer {completed.argv[0]}.",
        "This says nothing about the job. The qmaster may be restarting; `qhost` shows "
        "whether it answers.",
    )


def listed(completed: Completed, user: str = "") -> list[JobStatus]:
    """Return the jobs of `qstat -xml -r`; of this user, where one is named.

    What ~/.sge_qstat, or the site's file, adds to it is understood: others' jobs (-u *),
    rows below their queues (-f), a row for each slot (-g t).
    """
    top = ElementTree.fromstring(answer(completed))  # noqa: S314 - as above
    queues = {
        row: queue.findtext("name") or ""
        for queue in top.iter("Queue-List")
        for row in queue.iter("job_list")
    }
    found: dict[str, JobStatus] = {}
    for row in top.iter("job_list"):
        if row.get("state") == "zombie" or user not in ("", row.findtext("JB_owner")):
            continue
        status = _row(row, queues.get(row, ""))
        # The job's script is where its master is; without -g t there is one row.
        if status.job_id.number not in found or row.findtext("master") == "MASTER":
            found[status.job_id.number] = status
    return [*found.values()]


def _row(element: ElementTree.Element, queue: str) -> JobStatus:
    def said(name: str) -> str:
        return (element.findtext(name) or "").strip()

    state = said("state")
    start = _epoch(said("JAT_start_time"))
    limit = _limit(element)
    queue = said("queue_name") or queue
    return JobStatus(
        job_id=JobId(said("JB_job_number")),
        phase=phase(state),
        state=state,
        node=queue.partition("@")[2] or None,
        queue=queue,
        start_time=start,
        end_time=start + limit if start and limit else None,
        name=said("full_job_name") or said("JB_name"),
        submit_time=_epoch(said("JB_submission_time")),
    )


def phase(state: str) -> Phase:
    """Return where a job is whose state has these letters."""
    if _KNOWN.fullmatch(state):
        for letters, found in _LETTERS:
            if set(letters) & set(state):
                return found
    return Phase.UNKNOWN


def _limit(element: ElementTree.Element) -> float | None:
    """Return the seconds that the job asked for: a number, or H:M:S."""
    for request in element.iter("hard_request"):
        if request.get("name") == "h_rt":
            return seconds(request.text or "")
    return None


def seconds(text: str) -> float | None:
    """Return a time in seconds: a number of them, or H:M:S. None if it is neither.

    Each part may be any number, and is 0 where it is left out (sge_types(1)).
    """
    text = text.strip()
    if text.isdigit():
        return float(text)
    found = re.fullmatch(r"(\d*):(\d*):(\d*)", text)
    if found is None:
        return None
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return float(3600 * hours + 60 * minutes + rest)


def _epoch(text: str) -> float | None:
    """2026-11-29T13:38:24, in the time of the host on which qstat runs; Univa's has ms."""
    try:
        return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


# How a job ended


def accounted(completed: Completed, job_id: JobId) -> JobStatus | None:
    """Return how qacct says that a job ended; None if it does not know.

    What `qrsh -inherit` ran in a job has records of its own, which look like the job's
    and are there before it ends: the job's is the one that encloses all others.
    """
    if completed.returncode != 0:
        return None
    records = [*_records(completed.stdout, job_id)]
    last = records[-1] if records else {}
    # The number may have been another job's years ago: that had another name.
    records = [one for one in records if one.get("jobname") == last.get("jobname")]
    begins = [_date(one.get("qsub_time", "")) or 0.0 for one in records]
    if not records or begins[-1] > min(begins):
        return None
    # Where nothing runs inside, or where the records tell tasks, it is surely the job's.
    is_sure = (
        last.get("granted_pe", "NONE") == "NONE"
        or "pe_taskid" in last
        or begins[-1] < max(begins)
    )
    return _ended(last, job_id, vague=not is_sure)


def _records(text: str, job_id: JobId) -> Iterator[Mapping[str, str]]:
    """Yield this job's records, but for starts that came to nothing, and told tasks."""
    for record in re.split(r"^=+$", text, flags=re.MULTILINE):
        rows = (line.partition(" ") for line in record.splitlines())
        found = {name: value.strip() for name, _, value in rows if name}
        if (
            found.get("jobnumber") == job_id.number
            and _number(found.get("failed", "")) != RESTARTED
            and found.get("pe_taskid", "NONE") == "NONE"
        ):
            yield found


def _number(text: str) -> int:
    """Return what "37  : qmaster enforced ..." and "137   (Killed)" begin with."""
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def _ended(record: Mapping[str, str], job_id: JobId, *, vague: bool) -> JobStatus:
    failed = _number(record.get("failed", ""))
    code = _number(record.get("exit_status", ""))
    signal = code - 128 if code > 128 else None
    start = _date(record.get("start_time", ""))
    end = _date(record.get("end_time", ""))
    return JobStatus(
        job_id=job_id,
        phase=Phase.ENDED,
        state=_state(failed, code, record),
        reason=record.get("failed", "") if failed else "",
        node=record.get("hostname") or None,
        # Its script was killed: no word of its own (`script.explain_exit`).
        exit_code=None if failed == KILLED and signal else code,
        signal=signal,
        start_time=start,
        end_time=end,
        name=record.get("jobname", ""),
        by_itself=failed == 0 and signal is None,
        vague=vague,  # it may be what was run inside
    )


def _state(failed: int, code: int, record: Mapping[str, str]) -> str:
    if failed in LIMIT:
        return _limit_of(record)
    if failed not in (0, KILLED):
        return f"failed {failed}"
    return TOLD if failed or code in END_SIGNALLED else FINISHED


def _limit_of(record: Mapping[str, str]) -> str:
    """Return which limit it was: the controller tells only that it was one of several.

    What was asked for is in `category`, or else in the command that submitted the job.
    """
    names = ("category", "submit_cmd", "submit_cmd_line")
    asked = dict(
        re.findall(
            r"\b(h_rt|h_vmem)=([\w.:]+)", " ".join(record.get(n, "") for n in names)
        )
    )
    start, end = (_date(record.get(f"{name}_time", "")) for name in ("start", "end"))
    each, most = _size(asked.get("h_vmem", "")), _size(record.get("maxvmem", ""))
    if each and most and most > each * int(record.get("slots", "1")):
        return MEMORY_LIMIT
    limit = seconds(asked.get("h_rt", ""))
    if limit and start and end:
        return TIME_LIMIT if end - start >= limit else MEMORY_LIMIT
    named = set(re.findall(r"h_\w+", record.get("failed", "")))
    return TIME_LIMIT if limit or named == {"h_rt"} else SOME_LIMIT


def _size(text: str) -> float | None:
    """635.188MB, 24.809M, 204800K, or bytes."""
    found = re.fullmatch(r"([\d.]+)([KMGT]?)B?", text.strip(), re.IGNORECASE)
    power = " KMGT".index(found[2].upper() or " ") if found else 0
    return float(found[1]) * 1024**power if found else None


_DATES = (
    "%a %b %d %H:%M:%S %Y",
    "%m/%d/%Y %H:%M:%S.%f",
    "%m/%d/%Y %H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f",
)


def _date(text: str) -> float | None:
    """Sun Nov 29 13:49:46 2026; -/- for none.

    Univa's: 11/29/2026 13:49:46.123; Open Cluster Scheduler's: 2026-11-29 13:49:46.123456.
    """
    for form in _DATES:
        try:
            return time.mktime(time.strptime(text, form))
        except ValueError:
            continue
    return None


# Where a job is in the queue, and what it waits for


def places(completed: Completed, job_ids: Sequence[JobId]) -> dict[JobId, int]:
    """Return the places among those that wait, as `qstat -s p` has them in order."""
    waiting = [
        words[0]
        for line in answer(completed).splitlines()
        if len(words := line.split()) > 4 and words[0].isdigit() and words[4] == "qw"
    ]
    return {
        job_id: 1 + waiting.index(job_id.number)
        for job_id in job_ids
        if job_id.number in waiting
    }


def log(completed: Completed) -> str | None:
    """Return where `qstat -j` says that a job's output goes; None if it is not a file's name."""
    if is_no_answer(completed):
        raise no_answer(completed)
    rows = (line.partition(":") for line in completed.stdout.splitlines())
    said = {name: value.strip() for name, _, value in rows if value}
    if "job_number" not in said:
        return None
    name, number = said.get("job_name", ""), said["job_number"]
    # HOST:HOST:PATH, of which there may be several, with commas.
    path = said.get("stdout_path_list", "").partition(",")[0].rpartition(":")[2]
    task = said.get("job-array tasks", "").partition("-")[0]
    path = path or ".".join(filter(None, [f"{name}.o{number}", task]))
    home = said.get("sge_o_home", "")
    known = {
        "JOB_ID": number,
        "JOB_NAME": name,
        "HOME": home,
        "USER": said.get("owner", ""),
    }
    path = re.sub(r"\$(\w+)", lambda each: known.get(each[1], each[0]), path)
    if "$" in path or path.endswith("/"):
        return None
    return str(PurePosixPath(said.get("cwd") or home, path))


NO_QUEUE = "no suitable queues"
_NOT_COLLECTED = "(Collecting of scheduler job information is turned off"


def reasons(completed: Completed) -> dict[JobId, str]:
    """Return what waiting jobs wait for; see `driver._REASONS` for the form."""
    if is_no_answer(completed):
        raise no_answer(completed)
    told, _, verified = completed.stdout.partition("\nRK-VERIFIED\n")
    never = _never(verified)
    found: dict[JobId, str] = {}
    for part in re.split(r"^job_number:", told, flags=re.MULTILINE)[1:]:
        number, _, text = part.partition("\n")
        number = number.strip()
        found[JobId(number)] = _reason(text, never.get(number))
    return found


def _never(verified: str) -> dict[str, list[str]]:
    """Return what `qalter -w v` says of the jobs that no queue could ever run.

    Lines that name a job come before the verdict on it.
    """
    found: dict[str, list[str]] = {}
    said: dict[str, list[str]] = {}
    for line in verified.splitlines():
        if named := re.match(r"Job (\d+) (.*)", line):
            said.setdefault(named[1], []).append(named[2].strip())
        elif line.startswith(("verification:", "denied:")):
            if NO_QUEUE in line:
                found.update(said)
            said = {}
    return found


_MISSING = re.compile(r"job requests unknown resource \(([^)]+)\)")
_OFFERED = re.compile(r"offers only \w+:([^=\s]+)=")


def _is_final(verdict: str, info: str) -> bool:
    """Whether no queue could run it: the verdict takes what a load tells for missing.

    That is so of mem_free and others that change (-w of sge_submit(1)). A resource is
    missing if some host offers too little of it, or the scheduler misses it, too.
    """
    return doubtful(verdict) <= {*_MISSING.findall(info)}


def doubtful(verdict: str) -> set[str]:
    """Return the resources that a verdict takes for missing, perhaps wrongly."""
    return {*_MISSING.findall(verdict)} - {*_OFFERED.findall(verdict)}


def _reason(text: str, never: Sequence[str] | None) -> str:
    """Return an error, or what the scheduler says; first, that no queue could run it."""
    error = re.search(r"^error reason[^:]*:\s*(.*)", text, re.MULTILINE)
    if error:  # with a date, and where in its source
        return re.sub(r"^[\d/ :]+\[[^]]*\]:\s*(error:\s*)?", "", error[1].strip())
    if never is not None and _is_final("\n".join(never), text):
        # Of queues that were not asked for there is nothing to learn.
        meant = [one for one in never if "hard queue list" not in one]
        return "; ".join(dict.fromkeys([NO_QUEUE, *(meant or never)]))
    _, _, info = text.partition("scheduling info:")
    lines = dict.fromkeys(
        line.strip()
        for line in info.splitlines()
        if line.strip() and not line.strip().startswith(("=", _NOT_COLLECTED))
    )
    return "; ".join(lines)
