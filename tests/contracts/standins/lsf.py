"""A stand-in for LSF's commands, for this machine. It is no LSF.

It answers in the forms that LSF is known to answer in (tests/scheduler/captures/lsf says
from where), and runs its jobs as processes here. It cannot show whether LSF takes our
requests as they are meant (-R, -M, -gpu, -app, and so on are read and then forgotten),
how it chooses hosts, keeps memory limits or warns before a limit (-wa, -wt), nor how its
versions and sites differ. A real bsub waits for an LSF that is down; this one gives up.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import shlex
import signal
import socket
import sys
import textwrap
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from contracts.standins import jobs
from contracts.standins.jobs import CANCELLED, TIMED_OUT, Job, Request

COMMANDS = (
    *("bsub", "bjobs", "bkill", "bmod", "bhist", "bresume", "bstop"),
    *("bqueues", "bhosts", "lsid", "blaunch"),
)
HOST = socket.gethostname()
QUEUES = {"normal": "Open:Active", "gpu": "Open:Active", "night": "Closed:Inact"}
SLOTS, LONGEST = 64, 7 * 24 * 60  # minutes, of any queue
ALONE = {"-H", "-rn", "-x", "-B", "-N", "-a", "-json", "-noheader", "-l", "-w"}
REASONS = {
    CANCELLED: "TERM_OWNER: job killed by owner",
    TIMED_OUT: "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
}
# bkill; and at the run limit, where a real one waits for ten minutes at first.
ON_CANCEL = ((signal.SIGINT, 10.0), (signal.SIGTERM, 10.0))
ON_LIMIT = ((signal.SIGUSR2, 10.0), *ON_CANCEL)


def parsed(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options, and what is left."""
    options: dict[str, str] = {}
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word in ALONE:
            options[word] = ""
        elif word.startswith("-") and not rest:
            options[word] = next(left, "")
        else:
            rest.append(word)
    return options, rest


def refuse(text: str) -> int:
    print(text, file=sys.stderr)
    return 255


def minutes(limit: str) -> float:
    hours, _, rest = limit.rpartition(":")
    return int(hours or 0) * 60 + int(rest)


def bsub(options: dict[str, str], rest: list[str]) -> int:
    queue = options.get("-q", "normal")
    if queue not in QUEUES:
        return refuse(f"{queue}: No such queue. Job not submitted.")
    if int(options.get("-n", 1)) > SLOTS:
        return refuse("Too many processors requested. Job not submitted.")
    if minutes(options.get("-W", "0")) > LONGEST:
        why = "RUNLIMIT: Cannot exceed queue's hard limit(s)"
        return refuse(f"{why}. Job not submitted.")
    script = sys.stdin.read()
    first = script.partition("\n")[0]
    job = jobs.new()
    name = options.get("-J", first)
    told = {
        "LSB_JOBID": str(job.number),
        "LSB_JOBNAME": name,
        "LSB_QUEUE": queue,
        "LSB_HOSTS": HOST,
        "LSB_MCPU_HOSTS": f"{HOST} {options.get('-n', 1)}",
    }
    job.submit(
        Request(
            script,
            options.get("-o", os.devnull),
            {**os.environ, **told},
            shell=shlex.split(first[2:]) if first.startswith("#!") else ["/bin/sh"],
            limit=60 * minutes(options["-W"]) if "-W" in options else None,
            held="-H" in options,
            on_limit=ON_LIMIT,
            on_cancel=ON_CANCEL,
            facts={"name": name, "queue": queue, "options": options},
        )
    )
    which = "queue" if "-q" in options else "default queue"
    print(f"Job <{job.number}> is submitted to {which} <{queue}>.")
    return 0


# --- what there is to say of a job ----------------------------------------------------


def stat(job: Job) -> str:
    said = {"waiting": "PEND", "held": "PSUSP", "running": "RUN", "suspended": "USUSP"}
    if job.state != "ended":
        return said[job.state]
    end = job.end
    return "DONE" if end and not end.by and end.code == 0 else "EXIT"


def exit_code(job: Job) -> str:
    """Nothing for 0, nor for a job that was ended before it began."""
    end = job.end
    if end is None or end.code == 0 or (end.code is None and end.signal is None):
        return ""
    if end.by == CANCELLED and end.signal:
        return str(end.signal)
    return str(128 + end.signal if end.signal else end.code)


def at(moment: float | None) -> str:
    """As LSF says times: without a year, and to the minute."""
    return time.strftime("%b %e %H:%M", time.localtime(moment)) if moment else ""


def finish(job: Job) -> str:
    limit = job.wanted["limit"]
    if job.end is not None:
        return at(job.end.at) + (" L" if limit else "")
    return f"{at(job.began + limit)} L" if job.began and limit else ""


def fields(job: Job) -> dict[str, str]:
    state, end, limit = stat(job), job.end, job.wanted["limit"]
    pending = {
        "PEND": "Job slot limit reached: 1 host;",
        "PSUSP": "Job was suspended by the user while pending;",
    }
    return {
        "JOBID": str(job.number),
        "STAT": state,
        "JOB_NAME": job.facts["name"],
        "PEND_REASON": pending.get(state, ""),
        "EXIT_CODE": exit_code(job),
        "EXIT_REASON": REASONS.get(end.by, "") if end else "",
        "EXEC_HOST": HOST if job.began else "",
        "START_TIME": at(job.began),
        "FINISH_TIME": finish(job),
        "RUNTIMELIMIT": f"{limit / 60:.1f}" if limit else "",
    }


def bjobs(options: dict[str, str], numbers: list[str]) -> int:
    names = [name.upper() for name in options["-o"].split()]
    forgets = jobs.setting("forgets") is not None
    there = {str(j.number): j for j in jobs.jobs()}
    if forgets:
        there = {n: j for n, j in there.items() if j.state != "ended"}
    records: list[dict[str, str]] = []
    for number in numbers or there:
        job = there.get(number)
        if job is None:
            why = f"Job <{number}> is not found"
            records.append({"JOBID": number, "ERROR": why})
        elif numbers or "-a" in options or job.state != "ended":
            said = fields(job)
            if fnmatch.fnmatchcase(said["JOB_NAME"], options.get("-J", "*")):
                records.append({name: said[name] for name in names})
    if "-json" in options:
        print(as_json(records))
        return 0
    for record in records:
        if "ERROR" in record:
            return refuse(record["ERROR"])
        print(" ".join(value or "-" for value in record.values()))
    return 0


def as_json(records: list[dict[str, str]]) -> str:
    """As LSF writes it: no blank behind a colon, and / with a backslash."""
    said = {"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}
    text = json.dumps(said, indent=2, separators=(",", ":"), ensure_ascii=False)
    return text.replace("/", "\\/")


def bhist(options: dict[str, str], numbers: list[str]) -> int:
    there = {str(j.number): j for j in jobs.jobs()}
    job = there.get(numbers[0])
    if job is None:
        return refuse("No matching job found")
    who = f"User <{os.environ.get('USER', '')}>, Project <default>"
    events = [f"Job <{job.number}>, Job Name <{job.facts['name']}>, {who}"]

    def event(moment: float, text: str) -> None:
        day = time.strftime("%a %b %e %H:%M:%S", time.localtime(moment))
        events.append(f"{day}: {text}")

    if job.began:
        event(job.began, f"Dispatched 1 Task(s) on Host(s) <{HOST}>;")
        event(job.began, "Starting (Pid 4711);")
    end = job.end
    if end is not None:
        code = exit_code(job)
        used = "The CPU time used is 0.1 seconds;"
        done = f"Exited with exit code {code}. {used}" if code else "Exited;"
        event(end.at, f"Done successfully. {used}" if stat(job) == "DONE" else done)
        reason = f"; {REASONS[end.by]}" if end.by in REASONS else ""
        if stat(job) == "EXIT":
            event(end.at, f"Completed <exit>{reason};")
    for line in events:
        print("\n".join(folded(line)))
    print("\nSummary of time in seconds spent in various states by  now")
    return 0


def folded(line: str) -> list[str]:
    """At column 80, in the midst of words; what follows is moved by 21 columns."""
    rest = textwrap.wrap(line[79:], 58, drop_whitespace=False)
    return [line[:79], *(" " * 21 + part for part in rest)]


# --- what changes one -----------------------------------------------------------------


def bkill(options: dict[str, str], numbers: list[str]) -> int:
    there = {str(j.number): j for j in jobs.jobs()}
    if "-J" in options:
        name, live = options["-J"], [*there.values()]
        live = [j for j in live if j.facts["name"] == name and j.state != "ended"]
        if not live:
            return refuse(f"Job <{name}> is not found")
        numbers = [str(job.number) for job in live]
    code = 0
    for number in numbers:
        job = there.get(number)
        if job is None:
            code = refuse(f"Job <{number}>: No matching job found")
        elif job.state == "ended":
            code = refuse(f"Job <{number}>: Job has already finished")
        else:
            job.cancel()
            print(f"Job <{number}> is being terminated")
    return code


def bmod(options: dict[str, str], numbers: list[str]) -> int:
    job = Job(int(numbers[0]))
    if job.state == "ended":
        return refuse(f"Job <{job.number}>: Job has already finished")
    job.change(limit=60 * minutes(options["-W"]))
    print(f"Parameters of job <{job.number}> are being changed")
    return 0


def bresume(options: dict[str, str], numbers: list[str]) -> int:
    job = Job(int(numbers[0]))
    job.suspend(False) if job.state == "suspended" else job.change(held=False)
    print(f"Job <{job.number}> is being resumed")
    return 0


def bstop(options: dict[str, str], numbers: list[str]) -> int:
    job = Job(int(numbers[0]))
    job.suspend() if job.state == "running" else job.change(held=True)
    print(f"Job <{job.number}> is being stopped")
    return 0


# --- the site -------------------------------------------------------------------------


def bqueues(options: dict[str, str], rest: list[str]) -> int:
    print("QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN")
    for name, state in QUEUES.items():
        print(f"{name:<16} 30  {state:<12}     -    -    -    -     0     0     0")
    return 0


def bhosts(options: dict[str, str], rest: list[str]) -> int:
    print("HOST_NAME          STATUS          JL/U    MAX  NJOBS    RUN  SSUSP")
    print(f"{HOST:<18} ok              -       4      0        0    0      0")
    return 0


def lsid(options: dict[str, str], rest: list[str]) -> int:
    print(f"My cluster name is standin\nMy master name is {HOST}")
    return 0


def blaunch(argv: list[str]) -> int:
    """blaunch -z HOST -no-shell COMMAND: there is this host alone."""
    if argv[1] != HOST or argv[2] != "-no-shell" or "LSB_JOBID" not in os.environ:
        return refuse(f"blaunch: no such host in the job: {argv[1]}")
    os.execvp(argv[3], argv[3:])  # noqa: S606 - the host is here


def main(name: str, words: list[str]) -> int:
    if name == "lsid":
        print("IBM Spectrum LSF Standard 10.1.0.0, Jan 01 2020 (a stand-in)\n")
    if not jobs.answers():
        return refuse("LSF is down. Please wait ...")
    if name == "blaunch":
        return blaunch(words)
    code: int = globals()[name](*parsed(words))
    return code


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main(sys.argv[1], sys.argv[2:]))
