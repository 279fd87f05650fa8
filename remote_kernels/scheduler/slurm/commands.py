"""Pieces of Slurm's command lines. Pure; called by `driver.py` and `steps.py`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from remote_kernels.scheduler.job import JobId, JobRequest

_DETACH = str(Path(__file__).with_name("detach.py"))
# From 24.05 on, an srun with CPUs per task, but without a number of tasks (as in a job
# of sbatch -c), takes only nodes on which no step runs, and steps with --overlap count
# (_mark_busy_nodes in src/stepmgr/stepmgr.c): it would wait for as long as ours runs.
# Steps of mpirun's do not count, and so not ours. 23.11 has such steps, too, but a
# controller before 23.11.7 may crash after one that could not begin.
_UNLESS_OLD = (
    "case $(srun --version) in *\\ 2[0-3].*) ;; "
    '*) export SLURM_EXTERNAL_LAUNCHER=1 ;; esac; exec "$@"'
)
UNCOUNTED = ("sh", "-c", _UNLESS_OLD, "sh")


def cluster_option(job_id: JobId) -> list[str]:
    """Return the option that names the job's cluster, where that is another one."""
    return ["-M", job_id.where] if job_id.where else []


def job_number(job_id: JobId) -> str:
    """Return the number of the job, also of the one in which a step is: JOB.STEP."""
    return job_id.number.partition(".")[0]


def groups(job_ids: Sequence[JobId]) -> list[list[JobId]]:
    """Return those that one command can ask for together: jobs, or steps, of a cluster."""
    found: dict[tuple[str, bool], list[JobId]] = {}
    for job_id in job_ids:
        found.setdefault((job_id.where, "." in job_id.number), []).append(job_id)
    return list(found.values())


def step(job_id: JobId, node: str = "", *, some: bool = False) -> list[str]:
    """Return how to begin a step beside all others of the job, whatever those use.

    It has all that the job has there, unless it is to have `some` of the GPUs.
    """
    argv = [] if some else [*UNCOUNTED]
    argv += ["srun", *cluster_option(job_id), f"--jobid={job_number(job_id)}"]
    argv += ["--overlap", "--nodes=1", "--ntasks=1"]
    argv += [f"--nodelist={node}"] if node else []
    return [*argv, "--mem=0", "--cpu-bind=none", "--mpi=none"]


def detached(
    request: JobRequest, step: Sequence[str], salloc: Sequence[str] = ()
) -> list[str]:
    """Return how to run the script on standard input in a step; see `detach.py`.

    It is read to its end before it runs: what it starts must not read the rest of it.
    """
    shell = ["bash", *(["-l"] if request.login else []), "-c", 'eval "$(cat)"']
    step = [*step, f"--job-name={request.name}", *shell]
    argv = [sys.executable, "-I", "-S", _DETACH, f"--output={request.output}"]
    return [*argv, *(["--allocate", "--", *salloc] if salloc else []), "--", *step]
