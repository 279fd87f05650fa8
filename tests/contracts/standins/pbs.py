"""A stand-in for PBS Professional: qsub, qstat, qselect, qdel, qalter, qhold, qrls, qsig,
pbsnodes.

No site's PBS: it prints what PBS prints, for the driver's sake, in the forms of
`tests/scheduler/captures/pbs`, and runs its jobs as processes of this machine. It cannot
show: a scheduler, nodes and what they have, MoM's staging of files, routing queues,
hooks, reservations, arrays, other users, peer servers, nor how long anything takes. What
it does as PBS does: a job waits, is held, runs by its shell, which runs the script by
name; the first process' end is the job's; SIGTERM goes to all of its processes, SIGKILL
follows. Files in its directory: see `jobs.py`; `strict` there: no limit is moved.
"""

from __future__ import annotations

import getopt
import json
import os
import pwd
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parents[2]))

from contracts.standins import jobs

SERVER = "standin"
HOST = socket.gethostname()
USER = pwd.getpwuid(os.getuid()).pw_name
VERSION = "22.05.11"
QUEUES = ("workq", "debug")
CPUS = 64
LONGEST = 168 * 3600  # seconds
KILL_DELAY = 2.0  # seconds; PBS's own is 10
LETTERS = {"waiting": "Q", "held": "H", "running": "R", "suspended": "S", "ended": "F"}
SUBSTATES = {"Q": 10, "H": 20, "R": 42, "S": 43}
TERMINATED, FINISHED, FAILED = 91, 92, 93
OVER_TIME = -29
DOES_NOT_FIT = "Can Never Run: Insufficient amount of resource: ncpus"
# pbs_error.h; what the shell sees is the number modulo 256
UNKNOWN_JOB, BAD_STATE, UNKNOWN_QUEUE, FINISHED_JOB = 15001, 15016, 15018, 15139
NOT_ALLOWED, NO_HOST, UNKNOWN_RESOURCE = 15007, 15010, 15035
OVER_LIMIT, BAD_ACCOUNT = 15036, 15049
OTHERS_ACCOUNT = "bobs"


def refuse(command: str, text: str, number: int) -> NoReturn:
    print(f"{command}: {text}", file=sys.stderr)
    sys.exit(number % 256)


# --- qsub -----------------------------------------------------------------------------


def qsub(args: Sequence[str]) -> int:
    given, rest = getopt.getopt(
        args, "a:A:c:C:e:fGhIj:J:k:l:m:M:N:o:p:P:q:r:R:S:u:v:VW:Xz"
    )
    options = dict(given)
    script = sys.stdin.read() if not rest else Path(rest[0]).read_text()
    queue = options.get("-q", QUEUES[0])
    if queue not in QUEUES:
        refuse("qsub", "Unknown queue", UNKNOWN_QUEUE)
    wanted: dict[str, str] = {}
    for resources in (value for name, value in given if name == "-l"):
        name, _, amount = resources.partition("=")
        wanted[name] = amount
    if not {"select", "place", "walltime"}.issuperset(wanted):
        refuse("qsub", "Unknown resource", UNKNOWN_RESOURCE)
    if options.get("-A") == OTHERS_ACCOUNT:
        refuse("qsub", "Invalid Account", BAD_ACCOUNT)
    if seconds(wanted.get("walltime", "0")) > LONGEST:
        refuse("qsub", "Job violates queue and/or server resource limits", OVER_LIMIT)
    job = jobs.new()
    number = f"{job.number}.{SERVER}"
    cpus = int((re.findall(r"ncpus=(\d+)", wanted.get("select", "")) or ["1"])[0])
    chunks = int((re.findall(r"^(\d+):", wanted.get("select", "")) or ["1"])[0])
    nodes = job.directory / "nodes"
    nodes.write_text(f"{HOST}\n" * chunks)
    facts = {
        "name": options.get("-N", "STDIN"),
        "queue": queue,
        "account": options.get("-A", ""),
        "select": wanted.get("select", "1:ncpus=1"),
        "place": wanted.get("place", "pack"),
        "cpus": cpus,
        "chunks": chunks,
        "held": "-h" in options,
        "created": time.time(),
        "by": "",
    }
    own = {
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": number,
        "PBS_JOBNAME": str(facts["name"]),
        "PBS_NODEFILE": str(nodes),
        "PBS_O_HOST": HOST,
        "PBS_O_WORKDIR": str(Path.cwd()),
        "PBS_O_QUEUE": queue,
        "PBS_QUEUE": queue,
    }
    shell = options.get("-S", pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh")
    output = options.get("-o", f"{facts['name']}.o{job.number}")
    job.submit(
        jobs.Request(  # noqa: S604 - of a job
            script,
            str(Path(output).absolute()),
            {**environment(options), **own},
            # Not the last command, or the shell would become the script.
            shell=(shell, "-l", "-c", '"$0"; exit'),
            limit=seconds(wanted["walltime"]) if "walltime" in wanted else None,
            held="-h" in options or cpus > CPUS,
            on_limit=((signal.SIGTERM, KILL_DELAY),),
            on_cancel=((signal.SIGTERM, KILL_DELAY),),
            facts=facts,
        )
    )
    print(number)
    return 0


def environment(options: Mapping[str, str]) -> dict[str, str]:
    """What the job gets besides PBS's own variables: all of it only with -V."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if name != "STANDIN_HOME" and ("-V" in options or name in ("HOME", "LANG"))
    }
    environ.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    for pair in filter(None, options.get("-v", "").split(",")):
        name, _, value = pair.partition("=")
        environ[name] = value
    return environ


def seconds(text: str) -> float:
    total = 0
    for part in text.split(":"):
        total = total * 60 + int(part)
    return float(total)


def clock(total: float) -> str:
    return f"{total // 3600:02.0f}:{total % 3600 // 60:02.0f}:{total % 60:02.0f}"


# --- qstat ----------------------------------------------------------------------------


def qstat(args: Sequence[str]) -> int:
    given, operands = getopt.getopt(args, "fxBQF:wu:")
    options = dict(given)
    part, found, code = "Jobs", {}, 0
    if "-B" in options:
        part, found = "Server", {SERVER: {"server_state": "Active"}}
    elif "-Q" in options:
        part, found = "Queue", {name: queue() for name in QUEUES}
    elif "-x" in options and jobs.setting("forgets") is not None:
        for number in operands:
            text = f"qstat: PBS is not configured to maintain job history {number}"
            print(text, file=sys.stderr)
    else:
        found, code = asked(operands, history="-x" in options)
    if options.get("-F") == "json":
        told: dict[str, Any] = {**header(), **({part: found} if found else {})}
        print(json.dumps(told, indent=4, separators=(",", ":")))
    else:
        print_text(found)
    return code % 256


def header() -> dict[str, Any]:
    now = int(time.time())
    return {"timestamp": now, "pbs_version": VERSION, "pbs_server": SERVER}


def queue() -> dict[str, Any]:
    limits = {"ncpus": CPUS, "walltime": "24:00:00"}
    return {
        "queue_type": "Execution",
        "total_jobs": len(jobs.jobs()),
        "resources_max": limits,
        "enabled": "True",
        "started": "True",
    }


def asked(
    operands: Sequence[str], history: bool
) -> tuple[dict[str, dict[str, Any]], int]:
    """The jobs with these numbers, or all; the number of the last error."""
    found, code = {}, 0
    for number in operands or [name_of(job) for job in jobs.jobs()]:
        job = known(number)
        if job is None:
            print(f"qstat: Unknown Job Id {number}", file=sys.stderr)
            code = UNKNOWN_JOB
        elif job.state == "ended" and not history:
            if operands:
                print(
                    f"qstat: {number} Job has finished, use -x or -H to obtain "
                    "historical job information",
                    file=sys.stderr,
                )
                code = FINISHED_JOB
        else:
            found[name_of(job)] = attributes(job)
    return found, code


def name_of(job: jobs.Job) -> str:
    return f"{job.number}.{SERVER}"


def known(number: str, here: str = SERVER) -> jobs.Job | None:
    """The job of the server `here` that this is, unless it ended and is forgotten."""
    digits, _, server = number.partition(".")
    if not digits.isdigit() or server not in ("", here):
        return None
    job = jobs.Job(int(digits))
    if not (job.directory / "wanted").exists():
        return None
    forgotten = job.state == "ended" and jobs.setting("forgets") is not None
    return None if forgotten else job


def attributes(job: jobs.Job) -> dict[str, Any]:
    """As `qstat -f -F json` prints them, in its order."""
    facts, letter, began = job.facts, LETTERS[job.state], job.began
    resources = {"ncpus": facts["cpus"], "nodect": facts["chunks"]}
    resources |= {"place": facts["place"], "select": facts["select"]}
    if job.wanted["limit"]:
        resources["walltime"] = clock(job.wanted["limit"])
    where = "+".join([f"({HOST}:ncpus={facts['cpus']})"] * facts["chunks"])
    told: dict[str, Any] = {
        "Job_Name": facts["name"],
        "Job_Owner": f"{USER}@{HOST}",
        "job_state": letter,
        "queue": facts["queue"],
        "server": SERVER,
        "ctime": local(facts["created"]),
        "Hold_Types": "u" if letter == "H" else "n",
        "Join_Path": "oe",
        "mtime": local(time.time()),
        "Rerunable": "False",
        "Resource_List": resources,
        "substate": SUBSTATES.get(letter, FINISHED),
        "project": "_pbs_project_default",
    }
    if facts["account"]:
        told["Account_Name"] = facts["account"]
    if began is not None:
        slots = f"*{facts['cpus']}" if facts["cpus"] > 1 else ""
        told["exec_host"] = "+".join([f"{HOST}/0{slots}"] * facts["chunks"])
        told["exec_vnode"] = where
        told["stime"] = local(began)
        told["run_count"] = 1
        hour = time.strftime("%a %b %d at %H:%M", time.localtime(began))
        told["comment"] = f"Job run at {hour} on {where}"
    if facts["cpus"] > CPUS and not facts["held"] and letter == "H":
        told |= {"job_state": "Q", "Hold_Types": "n", "substate": SUBSTATES["Q"]}
        told["comment"] = f"{DOES_NOT_FIT} (R: {facts['cpus']} A: {CPUS} T: {CPUS})"
    elif letter == "Q" and jobs.setting("slots"):
        told["comment"] = (
            "Not Running: Insufficient amount of resource: ncpus "
            f"(R: {facts['cpus']} A: 0 T: {CPUS})"
        )
    return told | (history_of(job, told) if letter == "F" else {})


def history_of(job: jobs.Job, told: Mapping[str, Any]) -> dict[str, Any]:
    """What the history has besides."""
    end, began = job.end, job.began
    at = end.at if end else time.time()
    used = {"walltime": clock(at - began if began else 0), "ncpus": 1}
    known: dict[str, Any] = {"obittime": local(at), "resources_used": used}
    comment = str(told.get("comment", ""))
    if end is None or end.by == jobs.NOT_STARTED:
        return known | {"Exit_status": -1, "substate": FAILED}
    status = end.code if end.code is not None else 256 + (end.signal or 0)
    if end.by == jobs.CANCELLED:
        known |= {"substate": TERMINATED}
        known |= {"Exit_status": status} if began is not None else {}
        known["comment"] = f"{comment} and terminated by {job.facts['by']}".strip()
    elif end.by == jobs.TIMED_OUT:
        known |= {"substate": FAILED, "Exit_status": OVER_TIME}
        known["comment"] = f"{comment} and exceeded resource walltime"
    else:
        known |= {"substate": FAILED if status else FINISHED, "Exit_status": status}
        known["comment"] = f"{comment} and {'failed' if status else 'finished'}"
    return known


def local(at: float) -> str:
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(at))


def print_text(found: Mapping[str, Mapping[str, Any]]) -> None:
    """As `qstat -f` without -F does."""
    for number, fields in found.items():
        print(f"Job Id: {number}")
        for name, value in fields.items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            for resource, amount in parts:
                dotted = f"{name}.{resource}" if resource else name
                print(f"    {dotted} = {amount}")
        print()


def qselect(args: Sequence[str]) -> int:
    given, _ = getopt.getopt(args, "u:N:s:x")
    options = dict(given)
    for job in jobs.jobs():
        if (
            options.get("-u", USER) == USER
            and options.get("-N", job.facts["name"]) == job.facts["name"]
            and job.state != "ended"
        ):
            print(name_of(job))
    return 0


# --- what changes jobs ----------------------------------------------------------------


def each(command: str, numbers: Sequence[str]) -> list[jobs.Job]:
    """These jobs, if all are there and have not ended."""
    found = []
    for number in numbers:
        job = known(number)
        if job is None:
            refuse(command, f"Unknown Job Id {number}", UNKNOWN_JOB)
        if job.state == "ended":
            refuse(command, f"Job has finished {number}", FINISHED_JOB)
        found.append(job)
    return found


def qdel(args: Sequence[str]) -> int:
    _, numbers = getopt.getopt(args, "W:x")
    for job in each("qdel", numbers):
        job.change(facts={**job.facts, "by": f"{USER}@{HOST}"})
        job.cancel()
    return 0


def qalter(args: Sequence[str]) -> int:
    given, numbers = getopt.getopt(args, "l:")
    for job in each("qalter", numbers):
        if jobs.setting("strict") is not None:
            refuse("qalter", f"Unauthorized Request  {name_of(job)}", NOT_ALLOWED)
        name, _, amount = dict(given)["-l"].partition("=")
        if name != "walltime":
            refuse("qalter", f"Unknown resource {name_of(job)}", UNKNOWN_RESOURCE)
        job.change(limit=seconds(amount))
    return 0


def qhold(args: Sequence[str]) -> int:
    for job in each("qhold", args):
        if job.state not in ("waiting", "held"):
            text = f"Request invalid for state of job {name_of(job)}"
            refuse("qhold", text, BAD_STATE)
        job.change(held=True, facts={**job.facts, "held": True})
    return 0


def qrls(args: Sequence[str]) -> int:
    for job in each("qrls", args):
        fits = job.facts["cpus"] <= CPUS
        job.change(held=not fits, facts={**job.facts, "held": False})
    return 0


def qsig(args: Sequence[str]) -> int:
    given, numbers = getopt.getopt(args, "s:")
    signal_all(each("qsig", numbers), dict(given).get("-s", "SIGTERM"))
    return 0


def signal_all(found: Sequence[jobs.Job], name: str) -> None:
    """What qsig does to jobs: suspend, resume, or a signal's name."""
    for job in found:
        if name in ("suspend", "resume"):
            job.suspend(name == "suspend")
        else:
            job.signal(signal.Signals[f"SIG{name.removeprefix('SIG')}"])


def pbsnodes(args: Sequence[str]) -> int:
    node = {"State": "free", "ncpus f/t": f"{CPUS}/{CPUS}", "mem f/t": "8gb/8gb"}
    told = {**header(), "nodes": {HOST: {**node, "ngpus f/t": "0/0", "jobs": []}}}
    print(json.dumps(told, indent=4, separators=(",", ":")))
    return 0


COMMANDS = {
    each.__name__: each
    for each in (qsub, qstat, qselect, qdel, qalter, qhold, qrls, qsig, pbsnodes)
}


def main(command: str, args: Sequence[str]) -> int:
    if args == ["--version"]:
        print(f"pbs_version = {VERSION}")
        return 0
    if not jobs.answers():
        if "json" in args:
            print(json.dumps(header(), indent=4, separators=(",", ":")))
        print("Connection refused", file=sys.stderr)
        text = f"cannot connect to server {SERVER} (errno={NO_HOST})"
        refuse(command, text, -1 if command == "qstat" else NO_HOST)
    return obeyed(command, COMMANDS[command], args)


def obeyed(
    command: str, do: Callable[[Sequence[str]], int], args: Sequence[str]
) -> int:
    """The exit code of a command, also of one with an option that it has not."""
    try:
        return do(args)
    except getopt.GetoptError as error:
        print(f"{command}: {error}", file=sys.stderr)
        print(f"usage: {command} [options]", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
