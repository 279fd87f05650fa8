"""What LSF's commands say of jobs: captured text in, states out.

Rules: pure. bjobs -json is there since 10.1.0.2, as are units of sizes; what it prints
before the JSON (that LSF is busy, say) is left out. Times have no year unless the site
wants one, and are local. Called by `driver.py`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from remote_kernels.errors import ControllerError
from remote_kernels.scheduler.job import Completed, JobId, JobStatus, Phase

_PHASES = {
    Phase.PENDING: "PEND PSUSP WAIT PROV",
    Phase.RUNNING: "RUN",
    Phase.SUSPENDED: "USUSP SSUSP",
    Phase.ENDING: "ZOMBI",  # ended, but its host does not answer
    Phase.ENDED: "DONE EXIT",
}  # UNKWN, whose host does not answer, is alive as far as anybody knows
_PHASE_OF = {word: phase for phase, words in _PHASES.items() for word in words.split()}

FIELDS = (
    "jobid stat job_name pend_reason exit_code exit_reason exec_host start_time "
    "finish_time"
)
# There is no such job, or not any more.
GONE = re.compile(
    r"> is not found|No (unfinished |matching )?job found|already finished",
    re.IGNORECASE,
)
# A site may have words of its own for the first three (LSB_MBD_*_MSG in lsf.conf).
_UNANSWERED = re.compile(
    r"LSF is down|Cannot connect to LSF|LSF is processing your request|please wait|"
    r"still trying|not responding|\b(LIM|mbatchd) is down|time[d ]*out\b|"
    r"Connection refused|Communication|non-LSF host rejected|Failed in sending",
    re.IGNORECASE,
)
_TIME = re.compile(r"([A-Z][a-z]{2})\s+(\d+)\s+(\d+):(\d+)(?::(\d+))?(?:\s+(\d{4}))?")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def is_no_answer(completed: Completed) -> bool:
    """Return whether nobody answered that command."""
    said = f"{completed.stderr}\n{completed.stdout}"
    return completed.returncode != 0 and bool(_UNANSWERED.search(said))


def no_answer(completed: Completed) -> ControllerError:
    """Return the error that says that LSF did not answer."""
    return completed.error(
        ControllerError,
        f"LSF did not answer {completed.argv[0]}.",
        "This says nothing about the job. LSF may be busy or restarting; `lsid` and "
        "`bqueues` show whether it answers.",
    )


def listed(completed: Completed, known: Mapping[str, JobId]) -> dict[JobId, JobStatus]:
    """Return the jobs that bjobs lists, of those that are known by their numbers.

    It fails if it does not find one of them, but lists the others.
    """
    rows = (row for row in _records(completed) if row.get("JOBID") in known)
    found = (_status(row, known[row["JOBID"]]) for row in rows if "STAT" in row)
    return {status.job_id: status for status in found}


def named(completed: Completed) -> list[JobStatus]:
    """Return all the jobs that bjobs lists, with their names."""
    rows = (row for row in _records(completed) if "STAT" in row)
    return [_status(row, JobId(row["JOBID"])) for row in rows]


def _records(completed: Completed) -> list[dict[str, str]]:
    """Raise ControllerError where bjobs failed for another reason than unknown jobs."""
    _, brace, rest = completed.stdout.partition("{")
    # strict=False: a job's name may hold a tab; what LSF says besides may come after.
    decoder = json.JSONDecoder(strict=False)
    read: dict[str, Any] = decoder.raw_decode(brace + rest)[0] if brace else {}
    records: list[dict[str, str]] = read.get("RECORDS", [])
    said = "".join([completed.stderr, *(row.get("ERROR", "") for row in records)])
    missing = bool(GONE.search(said))
    if (completed.returncode != 0 or not brace) and not missing:
        raise no_answer(completed)
    return records


def _status(row: Mapping[str, str], job_id: JobId) -> JobStatus:
    state, code = row["STAT"], row.get("EXIT_CODE", "")
    phase = _PHASE_OF.get(state, Phase.UNKNOWN)
    ended = row.get("EXIT_REASON", "").strip().rstrip(";.")
    finish = row.get("FINISH_TIME", "")
    if phase is not Phase.ENDED and not finish.rstrip().endswith(("L", "X")):
        finish = ""  # E: an estimate, as against the limit
    return JobStatus(
        job_id=job_id,
        phase=phase,
        state=state,
        reason=ended or row.get("PEND_REASON", "").strip().rstrip(";"),
        node=first_host(row.get("EXEC_HOST", "")),
        exit_code=0 if state == "DONE" else int(code) if code.isdigit() else None,
        start_time=epoch(row.get("START_TIME", "")),
        end_time=epoch(finish),
        name=row.get("JOB_NAME", ""),
        by_itself=state == "DONE" or (state == "EXIT" and bool(code) and not ended),
    )


def first_host(hosts: str) -> str | None:
    """Return the first of "4*a:2*b" or "a:a:b"; of another cluster's, without it."""
    found = re.match(r"(?:\d+\*)?([^:@\s]+)", hosts)
    return found[1] if found and found[1] != "-" else None


def epoch(text: str, now: float | None = None) -> float | None:
    """Read "Dec 28 19:56 L" or "Apr 12 18:10:55 2026"; the nearest such time."""
    found = _TIME.search(text)
    if found is None or found[1] not in _MONTHS:
        return None
    month, day = _MONTHS.index(found[1]) // 3 + 1, int(found[2])
    clock = int(found[3]), int(found[4]), int(found[5] or 0)
    now = time.time() if now is None else now
    this = time.localtime(now).tm_year
    years = [int(found[6])] if found[6] else [this - 1, this, this + 1]
    times = [time.mktime((year, month, day, *clock, 0, 0, -1)) for year in years]
    return min(times, key=lambda each: abs(each - now))


@dataclass(frozen=True)
class _End:
    """How an event in bhist ends a job."""

    pattern: str
    state: str
    by_itself: bool


_ENDS = (
    _End(r"Completed <exit>; (?P<reason>TERM_[^;]+?)[;.]", "EXIT", by_itself=False),
    _End(r"Exited with exit code (?P<code>\d+)", "EXIT", by_itself=True),
    _End(r"Exited by (?:LSF )?signal (?P<signal>\d+)", "EXIT", by_itself=False),
    _End(r"Done successfully|Completed <done>", "DONE", by_itself=True),
    _End(r"Exited; job has been forced to exit|Exited\b", "EXIT", by_itself=False),
)


def history(completed: Completed, job_id: JobId) -> JobStatus | None:
    """Read `bhist -l`, for a job that bjobs has lost; None if it does not tell the end.

    Its lines are folded at column 80, in the midst of words.
    """
    if is_no_answer(completed):
        raise no_answer(completed)
    lines = re.sub(r"\n {21}", "", completed.stdout).splitlines()
    events = [line for line in lines if re.match(r"[A-Z][a-z]{2} [A-Z][a-z]{2} ", line)]
    told = list(_told(events))
    if not told:
        return None
    said: dict[str, str] = {}
    for _, _, found in told:
        said.update({k: v for k, v in found.groupdict().items() if v})
    end, line, _ = min(told, key=lambda each: _ENDS.index(each[0]))
    return JobStatus(
        job_id=job_id,
        phase=Phase.ENDED,
        state=end.state,
        reason=said.get("reason", "").strip(),
        exit_code=0 if end.state == "DONE" else _number(said.get("code")),
        signal=_number(said.get("signal")),
        end_time=epoch(line.partition(" ")[2]),
        by_itself=end.by_itself,
    )


def _told(events: list[str]) -> Iterator[tuple[_End, str, re.Match[str]]]:
    """Yield the events that tell an end; after a requeue the earlier ones do not."""
    for line in events:
        for end in _ENDS:
            if found := re.search(end.pattern, line):
                yield end, line, found
                break


def _number(text: str | None) -> int | None:
    return int(text) if text else None
