"""The driver for Slurm jobs that the user holds: a kernel is one more step of such a job.

Rules: like `slurm.py`, from which it differs where a step is no job: it is started by
srun (`hold.py`), its ID is JOB.STEP, and its end leaves the job as it was.
Called through `base.Driver`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from remote_kernels.errors import ChoiceError, ConfigError
from remote_kernels.scheduler import base
from remote_kernels.scheduler.base import (
    Completed,
    JobRequest,
    JobStatus,
    Phase,
    number,
)
from remote_kernels.scheduler.slurm import (
    ROW,
    Slurm,
    answer,
    cluster_option,
    first_node,
    held,
    step,
)

AUTO = "auto"
ENDED = "STEP ENDED"  # no word of Slurm's: the job goes on without it

_FIELDS = ("job_id", "user", "state", "nodes", "count", "gres", "name")
_FORM = "%A|%U|%T|%N|%D|%b|%j"
# One query for the jobs and one for the steps in them, as squeue lists either.
_BOTH = 'form=$1; shift; squeue "$@" -a -h -t all -o "$form" && squeue "$@" -h -s -o "step|%i"'
_BY_NAME = (
    'squeue -h -s --user="$1" -o "%i|%j" | '
    'while IFS="|" read -r id name; do [ "$name" != "$2" ] || scancel "$id"; done'
)


class SlurmStep(Slurm):
    """`base.Driver` for steps in a job that is there."""

    name = "slurm-step"
    command = "srun"

    def check(self, request: JobRequest) -> None:
        """What only a new job could obey must not look granted."""
        asked = [name for name in request.options if name not in ("nodelist", "gpus")]
        asked += ["sbatch_args"] if request.extra_args else []
        if asked:
            text = (
                f"the kernelspec asks for {', '.join(asked)}, but with 'jobid' the "
                "kernel runs in a job that has been given its resources already. Take "
                "these options out ('nodelist' chooses one of the job's nodes, 'gpus' "
                "how many of its GPUs the kernel sees), or take out 'jobid'."
            )
            raise ConfigError(text)

    def site_argv(self) -> list[str]:
        """The job has what it has."""
        return []

    # --- which job ------------------------------------------------------------------

    def questions(self, request: JobRequest) -> list[list[str]]:
        self.check(request)
        jobid = request.jobid or AUTO
        query = ["squeue", *cluster_option(jobid), "-a", "-h"]
        which = [f"--user={request.user}", "-t", "RUNNING"]
        if jobid != AUTO:
            which = ["-t", "all", "-j", number(jobid)]
        asked = [[*query, *which, "-o", _FORM]]
        if "nodelist" in request.options:
            node = request.options["nodelist"]
            asked.append(
                [*query, f"--user={request.user}", "-w", str(node), "-o", "%A"]
            )
        return asked

    def answered(self, request: JobRequest, answers: Sequence[Completed]) -> JobRequest:
        """On that job and node. ConfigError if it can't be."""
        jobid = request.jobid or AUTO
        jobs = _jobs(answers[0], jobid)
        job = _only_one(jobs) if jobid == AUTO else _wanted(jobs, jobid, request.user)
        where = base.split_id(jobid)[1]
        job_id = f"{job['job_id']};{where}" if where else job["job_id"]
        node = first_node(job["nodes"])
        if len(answers) > 1:
            node = str(request.options["nodelist"])
            _check_node(job, node, answers[1])
        _check_gpus(job, request.options.get("gpus"))
        variables = {
            "SLURM_JOB_ID": job["job_id"],
            "SLURM_JOBID": job["job_id"],
            "SLURM_JOB_NAME": job["name"],
            "SLURM_JOB_NODELIST": job["nodes"],
            "SLURM_NODELIST": job["nodes"],
            "SLURM_JOB_NUM_NODES": job["count"],
            "SLURM_NNODES": job["count"],
        }
        options = {**request.options, "nodelist": node}
        return replace(request, jobid=job_id, options=options, variables=variables)

    # --- the step -------------------------------------------------------------------

    def submit_argv(self, request: JobRequest) -> list[str]:
        assert request.jobid is not None
        gpus = request.options.get("gpus")
        argv = [*step(request.jobid, str(request.options["nodelist"]))]
        if gpus is not None:
            argv.append("--gres=none" if gpus in (0, "0") else f"--gres=gpu:{gpus}")
        return held(request, argv)

    def parse_submit(self, stdout: str) -> str:
        found = re.fullmatch(r"\d+\.\d+", stdout.strip())
        if not found:
            text = "srun's step has no ID"
            raise ValueError(text)
        return found[0]

    def status_argv(self, job_ids: Sequence[str]) -> list[str]:
        numbers = ",".join(dict.fromkeys(map(number, job_ids)))
        query = [*cluster_option(job_ids[0]), "-j", numbers]
        return ["sh", "-c", _BOTH, "sh", ROW, *query]

    def parse_status(
        self, completed: Completed, job_ids: Sequence[str]
    ) -> dict[str, JobStatus]:
        """A step that is not listed is missing, like a job."""
        jobs = super().parse_status(completed, list(map(number, job_ids)))
        steps = {
            line.partition("|")[2].strip()
            for line in completed.stdout.splitlines()
            if line.startswith("step|")
        }
        found = {}
        for job_id in job_ids:
            job = jobs.get(number(job_id))
            if job is not None and base.split_id(job_id)[0] in steps:
                found[job_id] = replace(job, job_id=job_id)
        return found

    def parse_ended(self, completed: Completed, job_id: str) -> JobStatus | None:
        """With its job, or without."""
        job = super().parse_ended(completed, number(job_id))
        if job is None:
            return None
        if job.phase in (Phase.ENDED, Phase.ENDING):
            return replace(job, job_id=job_id)
        return JobStatus(job_id, Phase.ENDED, ENDED, node=job.node)

    def own_argv(self, user: str) -> list[str]:
        return ["squeue", "-h", "-s", f"--user={user}", "-o", "%j|%i"]

    def parse_own(self, completed: Completed) -> list[tuple[str, JobStatus]]:
        rows = (row.partition("|") for row in answer(completed).splitlines())
        return [
            (name, JobStatus(job_id.strip(), Phase.RUNNING, "RUNNING"))
            for name, _, job_id in rows
            if base.OUR_NAME.fullmatch(name)
        ]

    def cancel_argv(self, job_ids: Sequence[str]) -> list[str]:
        steps = [base.split_id(job_id)[0] for job_id in job_ids]
        return ["scancel", *cluster_option(job_ids[0]), *steps]

    def cancel_name_argv(self, name: str, user: str) -> list[str]:
        return ["sh", "-c", _BY_NAME, "sh", user, name]

    def ended_text(self, status: JobStatus) -> str:
        if status.state == ENDED:
            return "Its step ended; the job in which it was goes on."
        job = number(status.job_id)
        name = f" ({status.name})" if status.name else ""
        return f"The job {job}{name} in which it was has ended. {super().ended_text(status)}"


def _jobs(completed: Completed, jobid: str) -> list[dict[str, str]]:
    """Those listed, less what only looks like the user's own: other kernels' jobs."""
    lines = answer(completed, unless="Invalid job id").splitlines()
    rows = [line.split("|", len(_FIELDS) - 1) for line in lines if line.count("|") >= 6]
    jobs = [dict(zip(_FIELDS, map(str.strip, row), strict=True)) for row in rows]
    return [
        job for job in jobs if jobid != AUTO or not base.OUR_NAME.fullmatch(job["name"])
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
        raise ChoiceError(msg, [job["job_id"] for job in jobs])
    return jobs[0]


def _wanted(
    jobs: Sequence[Mapping[str, str]], jobid: str, user: str
) -> Mapping[str, str]:
    mine = "`squeue --me` lists yours."
    if not jobs:
        where = base.split_id(jobid)[1]
        msg = (
            f"This cluster's Slurm knows no job {jobid} (it may have ended a while "
            f"ago). {mine}"
        )
        if not where:
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
    """The second question lists the user's jobs on that node."""
    known = answer(completed, unless="Invalid node name").split()
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
