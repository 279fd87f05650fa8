"""A stand-in for Flux's command, for this machine. It is no Flux.

It answers in the forms that Flux is known to answer in (tests/scheduler/captures/flux
says from where), and runs its jobs as processes here. It cannot show whether Flux takes
our requests as they are meant (slots, --requires, --bank and so on are read and then
forgotten), what the Flux of a batch job does with signals and with its own environment,
nor how versions and sites differ. There is one node, and no broker in a job: commands in
one speak to the same stand-in. Its `flux exec` keeps the bytes that a real one loses.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from contracts.standins import jobs
from contracts.standins.jobs import CANCELLED, TIMED_OUT, Job, Request

COMMANDS = ("flux",)
HOST = socket.gethostname()
QUEUES = ("batch", "debug")
CORES, LONGEST = 64, 7 * 86400  # seconds
OTHERS_BANK = "bobs"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
SHIFT = 24  # an id has the time before these bits; ours has a number
NO_LIMIT = 9223372036.0
# The Flux of a batch job passes SIGHUP to its script, whatever it gets itself.
ON_END = ((signal.SIGHUP, 5.0),)
RESULTS = {CANCELLED: ("CANCELED", 143), TIMED_OUT: ("TIMEOUT", 142)}
EXCEPTIONS = {
    CANCELLED: {"type": "cancel", "note": ""},
    TIMED_OUT: {"type": "timeout", "note": "resource allocation expired"},
}


def id_of(job: Job) -> int:
    return job.number << SHIFT


def f58(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = BASE58[digit] + digits
    return f"ƒ{digits}"


def found(text: str) -> Job | None:
    """The job of an id in any of its forms that we use."""
    if text.isdigit():
        number = int(text)
    else:
        number = 0
        for digit in text[1:]:
            number = number * 58 + BASE58.index(digit)
    job = Job(number >> SHIFT)
    is_there = bool(job.number) and job.directory.exists()
    gone = is_there and job.state == "ended" and jobs.setting("forgets") is not None
    return job if is_there and not gone else None


def refuse(name: str, text: str) -> int:
    print(f"flux-{name}: ERROR: {text}", file=sys.stderr)
    return 1


def parsed(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options, "-o X" and "--o=X" alike, and what is left."""
    options: dict[str, str] = {}
    while words and words[0].startswith("-"):
        word = words.pop(0)
        name, _, value = word.partition("=")
        options[name] = words.pop(0) if word == "-o" else value
    return options, words


def seconds(duration: str, unit: float) -> float:
    """A duration of Flux's; `unit` is that of a bare number."""
    number, letter = re.fullmatch(r"([\d.]+)([smhd]?)", duration).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(letter, unit)


def batch(words: list[str]) -> int:
    options, rest = parsed(words)
    script = Path(rest[0]).read_text() if rest else sys.stdin.read()
    first = script.partition("\n")[0]
    if not first.startswith("#!"):
        return refuse("batch", "stdin does not appear to be a script")
    queue = options.get("--queue", QUEUES[0])
    if queue not in QUEUES:
        return refuse("batch", f"Invalid queue '{queue}' specified")
    limit = options.get("--time-limit")
    if int(options.get("--cores-per-slot", 1)) > CORES:
        return refuse("batch", "[Errno 22] unsatisfiable request")
    if limit and seconds(limit, 60) > LONGEST:
        why = f"requested duration ({limit}) exceeds policy limit of 7d"
        return refuse("batch", f"[Errno 22] {why}")
    if options.get("--bank") == OTHERS_BANK:  # as flux-accounting does
        why = "cannot find user/bank or user/default bank entry for uid"
        return refuse("batch", f"[Errno 22] {why}: {os.getuid()}")
    job = jobs.new()
    number = f58(id_of(job))
    urgency = {"hold": 0, "default": 16, "expedite": 31}.get(
        options.get("--urgency", "16"), options.get("--urgency", 16)
    )
    told = {"FLUX_ENCLOSING_ID": number, "FLUX_URI": f"local:///tmp/flux-{job.number}"}
    facts = {
        "name": options.get("--job-name", "batch"),
        "urgency": int(urgency),
        "t_submit": time.time(),
        "cores": options.get("--cores-per-slot", "1"),
    }
    job.submit(
        Request(
            script,
            options.get("--output", str(Path.cwd() / f"flux-{number}.out")),
            {**os.environ, **told},
            shell=shlex.split(first[2:]),
            limit=seconds(limit, 60) if limit else None,
            held=int(urgency) == 0,
            on_limit=ON_END,
            on_cancel=ON_END,
            facts=facts,
        )
    )
    print(number)
    return 0


# --- what there is to say of a job ----------------------------------------------------


def said(job: Job) -> dict[str, Any]:
    """What is not known yet has no key."""
    state, end, limit = job.state, job.end, job.wanted["limit"]
    began, facts = job.began, job.facts
    words = {"waiting": "SCHED", "held": "SCHED", "ended": "INACTIVE"}
    row: dict[str, Any] = {
        "t_depend": facts["t_submit"],
        "duration": limit or 0.0,
        "name": facts["name"],
        "cwd": os.environ.get("HOME", "/"),
        "ntasks": 1,
        "nnodes": 1,
        "priority": facts["urgency"],
        "id": id_of(job),
        "t_submit": facts["t_submit"],
        "state": words.get(state, "RUN"),
        "username": os.environ.get("USER", ""),
        "userid": os.getuid(),
        "urgency": facts["urgency"],
        "status": words.get(state, "RUN"),
        "dependencies": [],
        "jobid": f58(id_of(job)),
        "annotations": {},
        "exception": {"occurred": False},
    }
    if began:
        row |= {"t_run": began, "ranks": "0", "nodelist": HOST}
        row |= {"expiration": began + limit if limit else NO_LIMIT}
        row |= {"annotations": {"sched": {"selection_type": "immediate"}}}
    if state == "ended":
        row |= how_it_ended(job)
        row |= {"t_cleanup": end.at, "t_inactive": end.at} if end else {}
    return row


def how_it_ended(job: Job) -> dict[str, Any]:
    end = job.end
    code = 1 if end is None else 128 + end.signal if end.signal else end.code or 0
    result = "FAILED" if code else "COMPLETED"
    row: dict[str, Any] = {}
    if end is not None and end.by in RESULTS:
        result, code = RESULTS[end.by]
        row["exception"] = {"occurred": True, "severity": 0, **EXCEPTIONS[end.by]}
    if job.began is None:
        code = -128
    else:
        row["waitstatus"] = code << 8
    success = result == "COMPLETED"
    return row | {
        "result": result,
        "status": result,
        "returncode": code,
        "success": success,
    }


def list_jobs(words: list[str]) -> int:
    options, wanted = parsed(words)
    there: list[Job] = []
    for text in wanted:
        job = found(text)
        there += [job] if job else []
        if job is None:
            print(f"JobID {text} unknown", file=sys.stderr)
    if wanted and not there:
        return 1
    if not wanted:
        there = [job for job in jobs.jobs() if job.state != "ended"]
    rows = [said(job) for job in there]
    if "--json" not in options:
        for row in rows:
            form = options["-o"].replace("{id.dec}", str(row["id"]))
            print(form.format(**row))
    else:
        print(json.dumps(rows[0] if len(wanted) == 1 else {"jobs": rows}))
    return 0


# --- what changes one -----------------------------------------------------------------


def cancel(words: list[str]) -> int:
    code = 0
    for text in words:
        job = found(text)
        if job is None:
            code = refuse("cancel", f"{text}: unknown job id")
        elif job.state == "ended":
            code = refuse("cancel", f"{text}: job is inactive")
        else:
            job.cancel()
    return code


def update(words: list[str]) -> int:
    job, change = found(words[0]), words[1]
    if job is None:
        return refuse("update", "unknown job id")
    limit = job.wanted["limit"]
    if job.state == "ended":
        return refuse("update", "job is inactive")
    if not limit:
        why = f"duration for {words[0]} is unlimited, can't update by {change}"
        return refuse("update", why)
    if job.state != "held" and jobs.setting("owner") is None:
        why = "duration update of running job requires instance owner privileges"
        return refuse("update", why)
    job.change(limit=limit + seconds(change.removeprefix("duration=+"), 1))
    return 0


def urgency(words: list[str]) -> int:
    """flux job urgency ID N"""
    job = found(words[1])
    if job is None:
        return refuse("job", "unknown job id")
    number = {"hold": 0, "default": 16}.get(words[2], words[2])
    facts = {**job.facts, "urgency": int(number)}
    job.change(held=int(number) == 0, facts=facts)
    return 0


# --- the site -------------------------------------------------------------------------


def getattr_(words: list[str]) -> int:
    known = {"hostlist": HOST, "size": "1", "version": "0.88.0"}
    known["jobid"] = os.environ.get("FLUX_ENCLOSING_ID", "")
    if not known.get(words[0]):
        return refuse("getattr", f"{words[0]}: No such file or directory")
    print(known[words[0]])
    return 0


def queue(words: list[str]) -> int:
    """flux queue list"""
    print("\n".join(QUEUES))
    return 0


def overlay(words: list[str]) -> int:
    """flux overlay lookup HOST"""
    if words[1] != HOST:
        return refuse("overlay", f"{words[1]}: no such host")
    print(0)
    return 0


def exec_(words: list[str]) -> int:
    options, argv = parsed(words)
    if options.get("--rank") != "0":
        return refuse("exec", f"rank {options.get('--rank')}: No route to host")
    os.execvp(argv[0], argv)  # noqa: S606 - the node is here


def uptime(words: list[str]) -> int:
    print(" 07:48:42 run 2.1d,  owner flux,  depth 0,  size 1")
    return 0


def version(words: list[str]) -> int:
    print("commands:    \t\t0.88.0\nlibflux-core:\t\t0.88.0")
    print("build-options:\t\t+hwloc.api==2.8.0+zmq==4.3.4 (a stand-in)")
    return 0


PROGRAMS = {
    "batch": batch,
    "jobs": list_jobs,
    "cancel": cancel,
    "update": update,
    "job": urgency,
    "getattr": getattr_,
    "queue": queue,
    "overlay": overlay,
    "exec": exec_,
    "uptime": uptime,
    "version": version,
}


def main(name: str, words: list[str]) -> int:
    if not jobs.answers() and name != "version":
        return refuse(name, "Unable to connect to Flux: Connection refused")
    return PROGRAMS[name](words)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main(sys.argv[2], sys.argv[3:]))
