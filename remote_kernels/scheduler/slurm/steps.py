"""Kernels in a job that the user holds: each is one more step of it.

Rules: pure; what differs from `driver.py`, where a step is no job: it is started by
srun (`detach.py`), its number is JOB.STEP, and its end leaves the job as it was.
Called by `driver.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from remote_kernels.errors import ChoiceError, ConfigError
from remote_kernels.scheduler.job import (
    OUR_NAME,
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
    Query,
)

from . import answers
from .commands import cluster_option, detached, job_number, step

AUTO = "auto"
ENDED = "STEP ENDED"  # no word of Slurm's: the job goes on without it
OBEYED = ("jobid", "nodelist", "gpus")

_FIELDS = ("job_id", "user", "state", "nodes", "count", "gres", "name")
_FORM = "%A|%U|%T|%N|%D|%b|%j"
# One query for the jobs and one for the steps in them. A step that squeue does not list
# may run all the same, where a node of the job manages its steps (stepmgr, 24.05 to
# 26.05): sattach asks that node, and says whether there is none, or no answer.
_BOTH = """\
form=$1 steps=$2; shift 2
squeue "$@" -a -h -t all -o "$form" && listed=$(squeue "$@" -h -s -o "step|%i") || exit
echo "$listed"
for step in $steps; do
  echo "$listed" | grep -qxF "step|$step" || ! sattach --layout "$step" >/dev/null ||
    echo "step|$step"
done
:"""
# Of all jobs of the user, and of one, whose steps squeue may not list.
_BY_NAME = """\
user=$1 name=$2 job=$3; shift 3
squeue "$@" -h -s --user="$user" -o "%i|%j" | while IFS="|" read -r id step; do
  [ "$step" != "$name" ] || scancel "$@" "$id"
done
[ -z "$job" ] || scontrol "$@" -o show step "$job" | while read -r id rest; do
  case $rest in *" Name=$name "*) scancel "$@" "${id#StepId=}" ;; esac
done"""


def is_step(job_id: JobId) -> bool:
    """Return whether this is a step in a job that goes on without it."""
    return "." in job_id.number


def contradictions(asked: Iterable[str]) -> Iterator[str]:
    """Yield why options are refused: what only a new job could obey must not look granted."""
    refused = [name for name in asked if name not in OBEYED]
    if refused:
        yield (
            f"with 'jobid' the kernel runs in a job that has been given its resources "
            f"already, and cannot have {', '.join(refused)}. Take these options out "
            "('nodelist' chooses one of the job's nodes, 'gpus' how many of its GPUs "
            "the kernel sees), or take out 'jobid'"
        )


# Which job


def questions(request: JobRequest) -> list[Query[Completed]]:
    """Return what must be asked about the job, and about the node that is wanted."""
    jobid = _jobid(request)
    query = ["squeue", *cluster_option(jobid), "-a", "-h"]
    which = [f"--user={request.user}", "-t", "RUNNING"]
    if jobid.number != AUTO:
        which = ["-t", "all", "-j", jobid.number]
    asked = [[*query, *which, "-o", _FORM]]
    if "nodelist" in request.options:
        node = request.options["nodelist"]
        asked.append([*query, f"--user={request.user}", "-w", str(node), "-o", "%A"])
    return [Query(argv, lambda completed: completed) for argv in asked]


def prepared(
    request: JobRequest, listed: Completed, on_node: Completed | None = None
) -> JobRequest:
    """Return the request for that job and node. ConfigError if it can't be."""
    jobid = _jobid(request)
    jobs = _jobs(listed, jobid)
    if jobid.number == AUTO:
        job = _only_one(jobs)
    else:
        job = _wanted(jobs, jobid, request.user)
    node = answers.first_node(job["nodes"])
    if on_node is not None:
        node = str(request.options["nodelist"])
        _check_node(job, node, on_node)
    _check_gpus(job, request.options.get("gpus"))
    variables = {
        "SLURM_JOB_ID": job["job_id"],
        "SLURM_JOBID": job["job_id"],
        "SLURM_JOB_NAME": job["name"],
        "RK_NODES": job["nodes"],
        "RK_NODE_COUNT": job["count"],
    }
    found = f"{job['job_id']};{jobid.where}" if jobid.where else job["job_id"]
    options = {**request.options, "jobid": found, "nodelist": node}
    return replace(request, options=options, variables=variables)


def _jobid(request: JobRequest) -> JobId:
    number, _, where = str(request.options["jobid"]).partition(";")
    return JobId(number, where)


# The step


def argv(request: JobRequest) -> list[str]:
    """Return the command that starts the step. ConfigError for what is not prepared."""
    if "nodelist" not in request.options:
        msg = (
            f"Slurm was not asked for job {_jobid(request)} yet: `prepare` comes first."
        )
        raise ConfigError(msg)
    gpus = request.options.get("gpus")
    node = str(request.options["nodelist"])
    argv = step(_jobid(request), node, some=gpus is not None)
    if gpus is not None:
        argv.append("--gres=none" if gpus in (0, "0") else f"--gres=gpu:{gpus}")
    return detached(request, argv)


def started(completed: Completed) -> JobId:
    """Return the step's ID. Steps are listed where srun ran: in the usual cluster."""
    found = re.fullmatch(r"\d+\.\d+", completed.stdout.strip())
    if not found:
        text = "srun's step has no ID"
        raise ValueError(text)
    return JobId(found[0])


def status(job_ids: Sequence[JobId]) -> Query[dict[JobId, JobStatus]]:
    """Ask for steps of one cluster. One that does not run is missing, like a job."""
    jobs = {job_number(job_id): JobId(job_number(job_id)) for job_id in job_ids}
    query = [*cluster_option(job_ids[0]), "-j", ",".join(jobs)]

    def parse(completed: Completed) -> dict[JobId, JobStatus]:
        found = answers.listed(completed, jobs)
        steps = {
            line.partition("|")[2].strip()
            for line in completed.stdout.splitlines()
            if line.startswith("step|")
        }
        return {
            job_id: replace(found[job], job_id=job_id)
            for job_id in job_ids
            for job in [JobId(job_number(job_id))]
            if job in found and job_id.number in steps
        }

    numbers = " ".join(job_id.number for job_id in job_ids)
    return Query(["sh", "-c", _BOTH, "sh", answers.ROW, numbers, *query], parse)


def or_its_job(status: JobStatus | None, job_id: JobId) -> JobStatus | None:
    """Return how it ended: a step with its job, or without."""
    if status is None or not is_step(job_id):
        return status
    if status.phase in (Phase.ENDED, Phase.ENDING):
        return status
    return JobStatus(job_id, Phase.ENDED, ENDED, node=status.node)


def own(user: str) -> Query[list[JobStatus]]:
    """List this user's steps, as far as squeue knows them: see `_BOTH`."""
    argv = ["squeue", "-h", "-s", f"--user={user}", "-o", "%j|%i"]

    def parse(completed: Completed) -> list[JobStatus]:
        rows = (row.partition("|") for row in answers.answer(completed).splitlines())
        return [
            JobStatus(JobId(number.strip()), Phase.RUNNING, "RUNNING", name=name)
            for name, _, number in rows
            if re.fullmatch(r"\d+\.\d+", number.strip())
        ]

    return Query(argv, parse)


def cancel_by_name(request: JobRequest) -> list[str]:
    """Return a command that ends the step of this request's name."""
    job = _jobid(request)
    known = "" if job.number == AUTO else job.number
    words = [request.user, request.name, known, *cluster_option(job)]
    return ["sh", "-c", _BY_NAME, "sh", *words]


def ended_text(status: JobStatus, text: str) -> str:
    """Return how it ended; `text` says it of a job."""
    if status.state == ENDED:
        return "Its step ended; the job in which it was goes on."
    if not is_step(status.job_id):
        return text
    job = job_number(status.job_id)
    name = f" ({status.name})" if status.name else ""
    return f"The job {job}{name} in which it was has ended. {text}"


def _jobs(completed: Completed, jobid: JobId) -> list[dict[str, str]]:
    """Those listed, less what only looks like the user's own: other kernels' jobs."""
    lines = answers.answer(completed, unless="Invalid job id").splitlines()
    rows = [line.split("|", len(_FIELDS) - 1) for line in lines if line.count("|") >= 6]
    jobs = [dict(zip(_FIELDS, map(str.strip, row), strict=True)) for row in rows]
    return [
        job
        for job in jobs
        if jobid.number != AUTO or not OUR_NAME.fullmatch(job["name"])
    ]


def _only_one(jobs: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    if not jobs:
        msg = (
            "jobid is 'auto', but you have no running job on this cluster.\n"
            "Start one in a terminal, for example `salloc --time=1:00:00`, and start "
            "the kernel again; or choose a kernel that gets a job of its own."
        )
        raise ConfigError(msg)
    if len(jobs) > 1:
        lines = "".join(
            f"\n  {job['job_id']}  {job['name']}  on {job['nodes']}" for job in jobs
        )
        first = jobs[0]["job_id"]
        msg = (
            f"jobid is 'auto', but you have {len(jobs)} running jobs:{lines}\n"
            f"Name the one you mean, for example jobid={first} "
            f"(`remote-kernels install --from NAME --name NAME --jobid {first}`)."
        )
        raise ChoiceError(msg, "jobid", [job["job_id"] for job in jobs])
    return jobs[0]


def _wanted(
    jobs: Sequence[Mapping[str, str]], jobid: JobId, user: str
) -> Mapping[str, str]:
    mine = "`squeue --me` lists yours."
    if not jobs:
        msg = (
            f"This cluster's Slurm knows no job {jobid} (it may have ended a while "
            f"ago). {mine}"
        )
        if not jobid.where:
            msg += (
                " A job of another cluster of the same Slurm is named with it: "
                f"jobid='{jobid};CLUSTER'."
            )
        raise ConfigError(msg)
    job = jobs[0]
    if job["user"] != user:
        msg = f"Job {jobid} is not yours: it belongs to user {job['user']}. {mine}"
        raise ConfigError(msg)
    if job["state"] != "RUNNING":
        msg = (
            f"Job {jobid} ({job['name']}) is not running: its state is "
            f"{job['state']}. {mine}"
        )
        raise ConfigError(msg)
    return job


def _check_node(job: Mapping[str, str], node: str, completed: Completed) -> None:
    """Check the second answer, which lists the user's jobs on that node."""
    known = answers.answer(completed, unless="Invalid node name").split()
    if job["job_id"] not in known:
        msg = (
            f"Node {node} is not in job {job['job_id']}, which has {job['nodes']}. "
            "Change 'nodelist', or leave it out for the job's first node."
        )
        raise ConfigError(msg)


def _check_gpus(job: Mapping[str, str], wanted: object) -> None:
    """As far as the job's --gres tells (not: --gpus); else srun will say so."""
    if "gpu" not in job["gres"]:
        return
    asked = sum(
        int(word) for word in re.findall(r"(?:^|:)(\d+)(?:,|$)", str(wanted or ""))
    )
    has = sum(int(n) for n in re.findall(r"gpu(?::[^:,()]*)??[:=](\d+)", job["gres"]))
    if asked > has:
        msg = (
            f"The kernel is to see {asked} GPUs (gpus={wanted}), but job "
            f"{job['job_id']} has {has} on each node ({job['gres']}). Change 'gpus', "
            "or leave it out for all of them."
        )
        raise ConfigError(msg)
