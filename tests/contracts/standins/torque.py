"""A stand-in for Torque: qsub, qstat, qselect, qdel, qalter, qhold, qrls, qsig,
pbsnodes.

No site's Torque: it prints what Torque prints, for the driver's sake, in the forms of
`tests/scheduler/captures/torque`, and runs its jobs as processes of this machine. It
cannot show: a scheduler, nodes and what they have, MoM's copying of files, routing
queues, arrays, other users, trqauthd, nor how long anything takes. What it does as
Torque does: a job waits, is held, runs by its shell, which runs the script by name; the
first process' end is the job's; SIGTERM goes to all of its processes, SIGKILL follows;
one that has completed is listed. Files in its directory: see `jobs.py`; `forgets` is
keep_completed of 0; `strict` there: no limit is moved.
"""

from __future__ import annotations

import getopt
import html
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from contracts.standins import jobs
from contracts.standins.pbs import (
    CPUS,
    HOST,
    OTHERS_ACCOUNT,
    USER,
    clock,
    environment,
    known,
    obeyed,
    refuse,
    seconds,
    signal_all,
)

SERVER = "standin.torque"
QUEUES = ("batch", "debug")
LONGEST = "24:00:00"
KILL_DELAY = 2.0  # seconds; Torque's own is 2, too
LETTERS = {"waiting": "Q", "held": "H", "running": "R", "suspended": "S", "ended": "C"}
NOT_STARTED, OVER_TIME = -9, -11
# pbs_error_db.h; what the shell sees is the number modulo 256
UNKNOWN_JOB, NOT_ALLOWED, BAD_STATE = 15001, 15007, 15018
OVER_LIMIT, BAD_ACCOUNT = 15038, 15051
REFUSED_CONNECTION = 111


# --- qsub -----------------------------------------------------------------------------


def qsub(args: Sequence[str]) -> int:
    given, rest = getopt.getopt(
        args, "a:A:b:c:C:d:D:e:EfF:hIj:k:K:l:L:m:M:nN:o:p:P:q:r:S:t:T:u:v:Vw:W:xXz"
    )
    options = dict(given)
    script = sys.stdin.read() if not rest else Path(rest[0]).read_text()
    queue = options.get("-q", QUEUES[0])
    if queue not in QUEUES:
        text = "submit error (Unknown queue MSG=requested queue not found)"
        refuse("qsub", text, 15020)
    wanted = dict(
        resource.partition("=")[::2]
        for name, value in given
        if name == "-l"
        for resource in value.split(",")
    )
    if not {"nodes", "mem", "walltime"}.issuperset(wanted):
        refuse("qsub", "submit error (Unknown resource type )", 15035)
    request = wanted.get("nodes", "1")
    count = int((re.findall(r"^\d+", request) or ["1"])[0])
    ppn = int((re.findall(r"ppn=(\d+)", request) or ["1"])[0])
    if options.get("-A") == OTHERS_ACCOUNT:
        refuse("qsub", "submit error (Invalid Account)", BAD_ACCOUNT)
    why = ""
    if seconds(wanted.get("walltime", "0")) > seconds(LONGEST):
        why = "cannot satisfy queue max walltime requirement"
    elif ppn > CPUS:
        why = (
            "cannot locate feasible nodes (nodes file is empty or all systems are busy)"
        )
    if why:
        text = f"submit error (Job exceeds queue resource limits MSG={why})"
        refuse("qsub", text, OVER_LIMIT)
    job = jobs.new()
    nodes = job.directory / "nodes"
    nodes.write_text(f"{HOST}\n" * count * ppn)
    name = options.get("-N", "STDIN")
    own = {
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": name_of(job),
        "PBS_JOBNAME": name,
        "PBS_NODEFILE": str(nodes),
        "PBS_NUM_NODES": str(count),
        "PBS_NUM_PPN": str(ppn),
        "PBS_O_HOST": HOST,
        "PBS_O_QUEUE": queue,
        "PBS_QUEUE": queue,
        "PBS_VERSION": "TORQUE-6.1.2",
    }
    facts = {"name": name, "queue": queue, "resources": wanted, "ppn": ppn}
    facts |= {"count": count, "created": int(time.time())}
    job.submit(
        jobs.Request(  # noqa: S604 - of a job
            script,
            str(Path(options.get("-o", f"{name}.o{job.number}")).absolute()),
            {**environment(options), **own},
            # Not the last command, or the shell would become the script.
            shell=(options.get("-S", "/bin/sh"), "-l", "-c", '"$0"; exit'),
            limit=seconds(wanted["walltime"]) if "walltime" in wanted else None,
            held="-h" in options,
            on_limit=((signal.SIGTERM, KILL_DELAY),),
            on_cancel=((signal.SIGTERM, KILL_DELAY),),
            facts=facts,
        )
    )
    print(name_of(job))
    return 0


def name_of(job: jobs.Job) -> str:
    return f"{job.number}.{SERVER}"


# --- qstat ----------------------------------------------------------------------------


def qstat(args: Sequence[str]) -> int:
    given, operands = getopt.getopt(args, "fxBQ1")
    options = dict(given)
    if "-B" in options:
        print(f"Server: {SERVER}\n    server_state = Active\n    pbs_version = 6.1.2\n")
        return 0
    if "-Q" in options:
        for name in QUEUES:
            print(f"Queue: {name}\n    queue_type = Execution")
            print(f"    resources_max.walltime = {LONGEST}")
            print("    enabled = True\n    started = True\n")
        return 0
    code = 0
    for number in operands or [name_of(job) for job in jobs.jobs()]:
        job = known(number, SERVER)
        if job is None and operands:
            print(f"qstat: Unknown Job Id Error {number}", file=sys.stderr)
            code = UNKNOWN_JOB
        elif job is not None and "-x" in options:
            body = xml("Job", {"Job_Id": name_of(job), **attributes(job)})
            print(f'<?xml version="1.0"?>\n<Data>{body}</Data>')
        elif job is not None:
            print_text(job)
    return code % 256


def attributes(job: jobs.Job) -> dict[str, Any]:
    """As `qstat -x` prints them, in its order."""
    facts, letter, began, end = job.facts, LETTERS[job.state], job.began, job.end
    resources = {**facts["resources"], "nodect": facts["count"]}
    if job.wanted["limit"]:
        resources["walltime"] = clock(job.wanted["limit"])
    slots = f"0-{facts['ppn'] - 1}" if facts["ppn"] > 1 else "0"
    told: dict[str, Any] = {
        "Job_Name": facts["name"],
        "Job_Owner": f"{USER}@{HOST}",
        "job_state": letter,
        "queue": facts["queue"],
        "server": SERVER,
        "Checkpoint": "u",
        "ctime": facts["created"],
        "Hold_Types": "u" if letter == "H" else "n",
        "Join_Path": "oe",
        "mtime": int(time.time()),
        "Rerunable": "False",
        "Resource_List": resources,
    }
    if began is not None:
        told["exec_host"] = "+".join([f"{HOST}/{slots}"] * facts["count"])
        told["start_time"] = int(began)
        hour = time.strftime("%a %b %d at %H:%M", time.localtime(began))
        told["comment"] = f"Job started on {hour}"
    elif letter == "Q" and jobs.setting("slots"):
        text = "Not enough of the right type of nodes are available"
        told["comment"] = f"Not Running: {text}"
    if letter == "C":
        used = int(end.at - began) if end and began else 0
        told["resources_used"] = {"walltime": clock(used)}
        told["comp_time"] = int(end.at if end else time.time())
        told |= {"exit_status": status} if (status := exit_status(job)) != "" else {}
    return told


def exit_status(job: jobs.Job) -> int | str:
    """Return Torque's number for how it ended; "" for a job that never ran."""
    end = job.end
    if end is None or end.by == jobs.NOT_STARTED:
        return NOT_STARTED
    if end.by == jobs.TIMED_OUT:
        return OVER_TIME
    if end.code is not None:
        return end.code
    return 256 + end.signal if end.signal else ""


def xml(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        inner = "".join(xml(each, part) for each, part in value.items())
    else:
        inner = html.escape(str(value), quote=False)
    return f"<{name}>{inner}</{name}>"


def print_text(job: jobs.Job) -> None:
    """As `qstat -f` does."""
    print(f"Job Id: {name_of(job)}")
    for name, value in attributes(job).items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for resource, amount in parts:
            print(
                f"    {name}.{resource} = {amount}"
                if resource
                else f"    {name} = {amount}"
            )
    print()


def qselect(args: Sequence[str]) -> int:
    """Completed jobs, too, as Torque does."""
    options = dict(getopt.getopt(args, "u:N:s:")[0])
    for job in jobs.jobs():
        if (
            known(name_of(job), SERVER) is not None
            and options.get("-u", USER) == USER
            and options.get("-N", job.facts["name"]) == job.facts["name"]
        ):
            print(name_of(job))
    return 0


# --- what changes jobs ----------------------------------------------------------------


def each(command: str, numbers: Sequence[str]) -> list[jobs.Job]:
    """These jobs, if all are there and have not ended."""
    found = []
    for number in numbers:
        job = known(number, SERVER)
        if job is None:
            refuse(command, f"nonexistent job id: {number}", UNKNOWN_JOB)
        if job.state == "ended":
            text = (
                "Request invalid for state of job MSG=invalid state for job - COMPLETE"
            )
            refuse(command, f"{text} {number}", BAD_STATE)
        found.append(job)
    return found


def qdel(args: Sequence[str]) -> int:
    """Each of them, whatever the others are."""
    code = 0
    for number in getopt.getopt(args, "aW:p")[1]:
        try:
            for job in each("qdel", [number]):
                job.cancel()
        except SystemExit as refused:
            code = int(refused.code or 0)
    return code


def qalter(args: Sequence[str]) -> int:
    given, numbers = getopt.getopt(args, "l:")
    for job in each("qalter", numbers):
        if jobs.setting("strict") is not None:
            refuse("qalter", f"Unauthorized Request  {name_of(job)}", NOT_ALLOWED)
        job.change(limit=seconds(dict(given)["-l"].partition("=")[2]))
    return 0


def qhold(args: Sequence[str]) -> int:
    for job in each("qhold", args):
        job.change(held=True)
    return 0


def qrls(args: Sequence[str]) -> int:
    for job in each("qrls", args):
        job.change(held=False)
    return 0


def qsig(args: Sequence[str]) -> int:
    given, numbers = getopt.getopt(args, "s:")
    signal_all(each("qsig", numbers), dict(given).get("-s", "SIGTERM"))
    return 0


def pbsnodes(args: Sequence[str]) -> int:
    print(f"{HOST}\n     state = free\n")
    return 0


COMMANDS = {
    each.__name__: each
    for each in (qsub, qstat, qselect, qdel, qalter, qhold, qrls, qsig, pbsnodes)
}


def main(command: str, args: Sequence[str]) -> int:
    if args == ["--version"]:
        print("Version: 6.1.2\nCommit: standin", file=sys.stderr)
        return 0
    if not jobs.answers():
        reason = f"(errno={REFUSED_CONNECTION}) Connection refused"
        text = f"cannot connect to server {SERVER} {reason}"
        refuse(command, text, REFUSED_CONNECTION)
    return obeyed(command, COMMANDS[command], args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
