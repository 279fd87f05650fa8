"""The driver for Slurm: its commands out, its answers in.

Rules: pure. Only forms that work from 20.11 to 26.05; no --json (its schema changes
with each release, and scontrol has none before 23.02). What comes back is read in
`answers.py`, Slurm's words for the user are in `words.py`. A kernel in a job that is
there already is a step of it, for which `steps.py` has what differs. Called through
`scheduler.driver.Driver`. Quirks were seen on 22.05.8.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from remote_kernels.errors import CommandError, ConfigError, DeniedError
from remote_kernels.scheduler import driver, environment
from remote_kernels.scheduler.free import Estimate, Queue
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Query,
    Submission,
)

from . import answers, free, options, reasons, script, site, steps, words
from .adoption import AdoptingNode, SlurmAdoption
from .commands import cluster_option, detached, groups, job_number, step

# A site may need these three to find its controller; all other SLURM_* variables of
# the server would speak of an enclosing job.
SITE = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_CLUSTER_NAME")
# What a job, or a step of one, puts into its environment besides.
_OF_THE_JOB = (
    *("SLURM_*", "SLURMD_*", "SBATCH_*", "SALLOC_*", "SRUN_*", "PMI*", "RK_*"),
    *("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES"),
    *("ZE_AFFINITY_MASK", "XDG_RUNTIME_DIR"),
)
# What sbatch prints with --parsable, and without (22.05, src/sbatch/sbatch.c).
PARSABLE = re.compile(r"^(\d+)(?:;(\S+))?[^\S\n]*$", re.MULTILINE)
SUBMITTED = re.compile(
    r"^(?:sbatch: )?Submitted batch job (\d+)(?: on cluster (\S+))?[^\S\n]*$",
    re.MULTILINE,
)
_DENIED = re.compile(r"permission denied", re.IGNORECASE)


class Slurm(
    driver.Driver,
    driver.Adopts,
    driver.Clusters,
    driver.Ends,
    driver.Estimates,
    driver.Extends,
    driver.Enters,
    driver.Logs,
    driver.Mails,
    driver.OtherNodes,
    driver.Places,
    driver.Preflight,
    driver.Queues,
    driver.Scripts,
    driver.Site,
):
    """Slurm, from 20.11 to 26.05."""

    name = "slurm"
    title = "Slurm"
    command = "sbatch"
    rank = 1
    question = ("scontrol", "ping")
    carriers = ("ssh", "srun")
    options = options.OPTIONS
    further = "sbatch_args"
    allowed = SITE
    guarded = (
        *("SLURM_*", "SBATCH_*", "SALLOC_*", "SRUN_*", "SQUEUE_*", "SCANCEL_*"),
        *("PMI_*", "PMIX_*"),
    )
    causes = reasons.CAUSES
    number = r"\d+(\.\d+)?"
    way_back = (
        "The node must connect back to srun here: slurm.conf's SrunPortRange says at "
        "which ports, and a firewall on this host must let the nodes in there."
    )
    by_name = (*step(JobId("{job}")), "--nodelist={node}")
    by_number = (*step(JobId("{job}")), "--relative={node}")

    def __init__(self) -> None:
        # By cluster and name; for all carriers of a process.
        self._nodes: dict[tuple[str, str], AdoptingNode] = {}

    def contradictions(self, config: Mapping[str, Any]) -> Iterator[str]:
        if "mem" in config and "mem-per-cpu" in config:
            yield "options 'mem' and 'mem-per-cpu' exclude each other; give one of them"
        if "jobid" in config and "allocation" in config:
            yield "options 'jobid' and 'allocation' exclude each other; give one of them"
        if "jobid" in config:
            yield from steps.contradictions(
                option.name for option in self.options if option.name in config
            )

    # Before it is submitted

    def recognizes(self, completed: Completed) -> bool:
        """Return whether it spoke of a slurmctld, or as Slurm's commands complain."""
        said = completed.stdout + completed.stderr
        return re.search("slurm|scontrol: ", said, re.IGNORECASE) is not None

    def version(self) -> Query[str]:
        return Query(["sbatch", "--version"], _version)

    def doubts(self, request: JobRequest) -> Query[list[str]] | None:
        if "jobid" in request.options:  # it has what it has
            return None
        return site.doubts(request.options)

    def offers(self, option: str, user: str) -> Query[list[str]] | None:
        return site.offers(option, user)

    def queues(self) -> Query[list[Queue]]:
        return free.queues()

    def estimates(self, request: JobRequest) -> Sequence[Query[Estimate | None]]:
        if "jobid" in request.options:
            return []
        given = {n: v for n, v in request.options.items() if n != "start"}
        argv = self.submission(replace(request, options=given), "").argv
        return [free.estimate(argv)]

    def cluster(self) -> Query[str | None]:
        return Query(["scontrol", "show", "config"], _cluster)

    def questions(self, request: JobRequest) -> Sequence[Query[Any]]:
        return steps.questions(request) if "jobid" in request.options else []

    def prepared(self, request: JobRequest, answers: Sequence[Any]) -> JobRequest:
        return steps.prepared(request, *answers) if answers else request

    # Submission

    def submission(self, request: JobRequest, script: str) -> Submission:
        """Return how to submit it; never requeued, as the kernel's memory dies with its job."""
        self.check(request)
        given, more = request.options, request.options.get("sbatch_args", ())
        if "jobid" in given:
            return Submission(steps.argv(request), script, steps.started)
        if given.get("start") == "salloc":
            salloc = ["salloc", "--no-shell", f"--job-name={request.name}"]
            salloc += [*options.flags(given, "signal="), *more]
            argv = detached(request, step(JobId("{job}")), salloc)
        else:
            argv = ["sbatch", "--parsable", "--no-requeue", "--export=ALL"]
            argv += [f"--job-name={request.name}"]
            argv += [f"--output={_pattern(request.output)}", "--open-mode=append"]
            # B: to the batch script, which is our agent's
            argv += [*options.flags(given, "signal=B:"), *more]
        return Submission(argv, script, _submitted)

    def own_submission(self, request: JobRequest, path: str, script: str) -> Submission:
        self.check(request)
        given = request.options
        for name in ("jobid", "start"):
            if name in given:
                msg = f"option '{name}' is for kernels: a script is a job of its own"
                raise ConfigError(msg)
        argv = ["sbatch", "--parsable"]
        argv += [f"--job-name={request.name}"] if request.name else []
        argv += [*options.flags(given, "signal="), *given.get("sbatch_args", ()), path]
        return Submission(argv, "", _submitted, str(PurePosixPath(path).parent))

    def mail(self, on: Collection[str], to: str) -> tuple[str, ...]:
        types = ",".join(word.upper() for word in on)
        return (f"--mail-type={types}", *([f"--mail-user={to}"] if to else []))

    def notice(self, completed: Completed) -> str:
        """Return the site's lines: of a plugin, or of a wrapper."""
        if completed.argv[0] != self.command:
            return ""
        said = f"{completed.stderr}\n{completed.stdout}"
        said = SUBMITTED.sub("", PARSABLE.sub("", said))
        lines = (line.rstrip().removeprefix("sbatch: ") for line in said.splitlines())
        return "\n".join(filter(None, lines))

    def submit_advice(self, completed: Completed) -> str:
        return words.submit(completed)

    def is_no_answer(self, completed: Completed) -> bool:
        return completed.returncode != 0 and answers.is_no_answer(completed.stderr)

    def script_head(self, request: JobRequest) -> str:
        return script.head(request)

    def node_head(self) -> str:
        return script.step_head({})

    # A job that is there

    def status(
        self, job_ids: Sequence[JobId]
    ) -> Sequence[Query[dict[JobId, JobStatus]]]:
        """Ask each cluster: two may have a job of the same number."""
        return [
            steps.status(group) if steps.is_step(group[0]) else _status(group)
            for group in groups(job_ids)
        ]

    def ended(self, job_id: JobId) -> Sequence[Query[JobStatus | None]]:
        """Ask the controller, which knows a job for MinJobAge (300 s), then accounting."""
        own, where = job_number(job_id), cluster_option(job_id)
        fields = "State,ExitCode,End,NodeList"
        scontrol = ["scontrol", *where, "-a", "-o", "show", "job", own]
        sacct = ["sacct", *where, "-X", "-n", "-P", "-j", own, "-o", fields]

        def shown(completed: Completed) -> JobStatus | None:
            text = answers.answer(completed, unless=answers.GONE)
            return steps.or_its_job(answers.shown(text, job_id), job_id)

        def accounted(completed: Completed) -> JobStatus | None:
            """Without accounting sacct says so and exits with 1: it does not know."""
            found = answers.accounted(completed.stdout, job_id)
            return steps.or_its_job(found, job_id)

        return [Query(scontrol, shown), Query(sacct, accounted)]

    def own(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        argv = ["squeue", "-a", "-h", f"--user={user}", "-o", f"%j|{answers.ROW}"]
        return [Query(argv, answers.named), steps.own(user)]

    def every(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        argv = ["squeue", "-a", "-h", f"--user={user}", "-o", answers.OF_ALL]
        return [Query(argv, answers.every)]

    def log_of(self, job_id: JobId) -> Query[str | None]:
        own, where = job_number(job_id), cluster_option(job_id)
        argv = ["scontrol", *where, "-o", "show", "job", own]
        return Query(argv, lambda done: answers.log(answers.answer(done, answers.GONE)))

    def places(self, job_ids: Sequence[JobId]) -> Query[dict[JobId, int]]:
        argv = ["squeue", "-a", "-h", "-t", "PD", "-o", answers.PLACES]
        return Query(argv, lambda completed: answers.places(completed, job_ids))

    def extend(self, job_id: JobId, minutes: int) -> Query[None]:
        own, where = job_number(job_id), cluster_option(job_id)
        limit = f"TimeLimit=+{minutes}"

        def parse(completed: Completed) -> None:
            if self.is_no_answer(completed):
                raise answers.no_answer(completed)
            completed.check(
                DeniedError if _DENIED.search(completed.stderr) else CommandError,
                f"The time limit of job {job_id} was not moved.",
                "Most sites let only their staff move it: ask them, or save your work "
                "and start the kernel anew with more 'time'.",
            )

        return Query(["scontrol", *where, "update", f"JobId={own}", limit], parse)

    # Its end

    def cancel(self, job_id: JobId) -> Query[None]:
        def parse(completed: Completed) -> None:
            if self.is_no_answer(completed):
                raise answers.no_answer(completed)
            if not re.search(answers.GONE, completed.stderr):
                completed.check(CommandError, "The job could not be cancelled.")

        return Query(["scancel", *cluster_option(job_id), job_id.number], parse)

    def cancel_by_name(self, request: JobRequest) -> list[str]:
        if "jobid" in request.options:
            return steps.cancel_by_name(request)
        return ["scancel", f"--user={request.user}", f"--name={request.name}"]

    # The way into it

    def into(self, job_id: JobId, node: str, argv: Sequence[str]) -> list[str]:
        """Return a step that asks for nothing, so that it never waits for the job's own use.

        Without --gres=none the step would ask again for the job's GPUs; --mem=0 shares
        the job's memory; --mpi=none and --chdir=/ keep plugins and missing
        directories out of it. srun's own messages go to its standard error.
        """
        quiet = ["--gres=none", "--unbuffered", "--chdir=/", "--quiet"]
        return [*step(job_id, node), *quiet, *argv]

    def adoption(self, cluster: str, node: str, job_id: JobId) -> SlurmAdoption:
        known = self._nodes.setdefault((cluster, node), AdoptingNode())
        return SlurmAdoption(known, job_number(job_id))

    # Its words

    def never(self, status: JobStatus, options: Mapping[str, Any]) -> str | None:
        """Say nothing for several partitions: the reason is that of any one of them."""
        several = "," in str(options.get("partition", "")) or any(
            arg.startswith(("-p", "--part")) for arg in options.get("sbatch_args", ())
        )
        return None if several else words.never(status)

    def pending_text(self, status: JobStatus) -> str:
        return words.pending(status)

    def pending_advice(self, status: JobStatus) -> str:
        return words.advice(status)

    def ended_text(self, status: JobStatus) -> str:
        return steps.ended_text(status, words.ended(status))


def is_of_the_job(name: str) -> bool:
    """Return whether a variable speaks of the job that it was found in."""
    return name not in SITE and environment.matches(name, _OF_THE_JOB)


def memory_of_job(environ: Mapping[str, str], cpus: int | None) -> int | None:
    """Return the bytes that a job may use on a node where it has so many CPUs.

    Slurm counts in MiB; where it says 0 there is no limit, and None is returned.
    """
    told = (environ.get(f"SLURM_MEM_PER_{each}", "") for each in ("NODE", "CPU"))
    whole, each_cpu = (int(text) if text.isdigit() else 0 for text in told)
    return 2**20 * (whole or each_cpu * (cpus or 0)) or None


def _version(completed: Completed) -> str:
    """Take the last line: a wrapper may print more before, or know no --version."""
    said = completed.stdout.strip() if completed.returncode == 0 else ""
    return said.rpartition("\n")[2].strip()


def _submitted(completed: Completed) -> JobId:
    """Take the last line of that form: job_submit plugins may print lines of theirs.

    A site's wrapper may drop --parsable; then it is a sentence.
    """
    for form in (PARSABLE, SUBMITTED):
        for own, where in reversed(form.findall(completed.stdout)):
            return JobId(own, where)
    text = "sbatch printed no job id"
    raise ValueError(text)


def _status(job_ids: Sequence[JobId]) -> Query[dict[JobId, JobStatus]]:
    """Of jobs of one cluster."""
    # -a: a partition may be hidden. Without it a job there would seem to be gone.
    numbers, where = ",".join(map(str, job_ids)), cluster_option(job_ids[0])
    known = {job_id.number: job_id for job_id in job_ids}
    argv = ["squeue", *where, "-a", "-h", "-t", "all", "-j", numbers, "-o", answers.ROW]
    return Query(argv, lambda completed: answers.listed(completed, known))


def _cluster(completed: Completed) -> str | None:
    found = re.search(r"^ClusterName\s*=\s*(\S+)", completed.stdout, re.MULTILINE)
    return found[1] if found else None


def _pattern(path: str) -> str:
    """In a file name for sbatch % begins a pattern, and a backslash ends patterns."""
    return path.replace("%", "%%")
