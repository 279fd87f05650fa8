"""What every batch system looks like to us: requests, states, and the driver.

Rules: pure. A driver is argv out, text in: it runs nothing, and never learns how or
where its commands are run. Unknown input is normal: an unseen state is `UNKNOWN`,
which means alive. Called by `queue.py` and by the kernel's story.
"""

from __future__ import annotations

import enum
import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class JobRequest:
    """What a job is to be.

    `output` is the absolute path of its log; `user` is a number. `jobid` names the job in which it is to
    run, or says how to find it, where that is one that is there already. `start` is
    how a new job is asked for: "sbatch" or "salloc". `login` asks for a login shell.
    `variables` are what the script is to set, as nobody else does.
    """

    name: str
    options: Mapping[str, str | int | bool]
    extra_args: tuple[str, ...]
    output: str
    user: str = ""
    jobid: str | None = None
    start: str = "sbatch"
    login: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_step(self) -> bool:
        """Whether its script runs in a step and not as the batch script."""
        return self.jobid is not None or self.start == "salloc"


@dataclass(frozen=True)
class Completed:
    """A command that was run to its end, and all that it said."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


class Phase(enum.Enum):
    """Where a job is in its life. `UNKNOWN` is a word we do not know: still there."""

    PENDING = "pending"
    RUNNING = "running"
    ENDING = "ending"
    SUSPENDED = "suspended"
    ENDED = "ended"
    UNKNOWN = "unknown"


# Of jobs whose script ended, as against those that something ended. Slurm's words; a
# driver of another scheduler has to say the same.
BY_ITSELF = frozenset({"COMPLETED", "FAILED"})


@dataclass(frozen=True)
class JobStatus:
    """What the scheduler says of one job.

    `state` and `reason` are the scheduler's own words. `node` is where the batch
    script runs. `start_time` is when the job started, or is expected to; `end_time`
    when it ended, or will at its time limit; both in seconds since the epoch, None
    where the scheduler does not say. `standing` is how long we have seen this state
    and reason without a change, in seconds (0 where nobody watches). `place` counts
    from 1 among the jobs that wait for the same partition. `name` is the job's, where
    that is told.
    """

    job_id: str
    phase: Phase
    state: str
    reason: str = ""
    node: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    start_time: float | None = None
    end_time: float | None = None
    standing: float = 0.0
    place: int | None = None
    name: str = ""


class Driver(Protocol):
    """One batch system. Methods that parse raise ControllerError for no answer."""

    @property
    def name(self) -> str:
        """What the kernelspec's `scheduler` calls it."""

    @property
    def command(self) -> str:
        """The program that must be there (a name on PATH, or a path)."""

    @property
    def prefix(self) -> str:
        """What the lines begin with that its programs say on standard error; or ""."""

    @property
    def carriers(self) -> tuple[str, ...]:
        """The carriers that can reach its jobs, the best one first."""

    def check(self, request: JobRequest) -> None:
        """Raise ConfigError for a request that this scheduler has no words for."""

    def questions(self, request: JobRequest) -> list[list[str]]:
        """Commands whose answers it needs before it can submit that."""

    def answered(self, request: JobRequest, answers: Sequence[Completed]) -> JobRequest:
        """The request as those answers make it. ConfigError, if they say it can't be."""

    def site_argv(self) -> list[str]:
        """Asks what this site has, for `doubts`; empty if there is nothing to ask."""

    def doubts(self, completed: Completed, request: JobRequest) -> list[str]:
        """What of a request that site cannot give, as far as the answer tells."""

    def submit_argv(self, request: JobRequest) -> list[str]:
        """Takes the batch script on standard input. May raise ConfigError."""

    def parse_submit(self, stdout: str) -> str:
        """The job id: "123", or "123;where" (see `split_id`). ValueError if none."""

    def notice(self, completed: Completed) -> str:
        """What a submission that succeeded said besides, for the user; or ""."""

    def unanswered(self, completed: Completed) -> bool:
        """Whether the scheduler did not answer, so that nothing is known."""

    def groups(self, job_ids: Sequence[str]) -> list[list[str]]:
        """The ids that one query can ask for together."""

    def status_argv(self, job_ids: Sequence[str]) -> list[str]:
        """Asks for the live jobs among these, which are of one group."""

    def parse_status(
        self, completed: Completed, job_ids: Sequence[str]
    ) -> dict[str, JobStatus]:
        """The jobs by id; one that the scheduler no longer knows is missing."""

    def ended_argvs(self, job_id: str) -> list[list[str]]:
        """Ways to ask how a job ended, to be tried in this order."""

    def parse_ended(self, completed: Completed, job_id: str) -> JobStatus | None:
        """How the job ended; None if this way does not know it."""

    def places_argv(self) -> list[str]:
        """Lists all jobs that wait, of all users; empty if there is no such queue.

        This may be much: to be asked seldom.
        """

    def parse_places(
        self, completed: Completed, job_ids: Sequence[str]
    ) -> dict[str, int]:
        """The place of each of these jobs in its queue, from 1; see `JobStatus`."""

    def extend_argv(self, job_id: str, minutes: int) -> list[str]:
        """Moves the job's time limit; empty if it has none. Sites seldom allow it."""

    def own_argv(self, user: str) -> list[str]:
        """Lists this user's live jobs, with their names."""

    def parse_own(self, completed: Completed) -> list[tuple[str, JobStatus]]:
        """Those jobs by name, of the names that we give (`OUR_NAME`)."""

    def cancel_argv(self, job_ids: Sequence[str]) -> list[str]:
        """Ends these jobs, which are of one group."""

    def cancel_name_argv(self, name: str, user: str) -> list[str]:
        """Ends a job whose id we never learned."""

    def check_cancel(self, completed: Completed) -> None:
        """Raise CommandError unless the jobs are ending or gone."""

    def attach_argv(self, job_id: str, node: str, argv: Sequence[str]) -> list[str]:
        """Runs argv inside the job, with clean binary standard input and output."""

    @property
    def way_back(self) -> str:
        """What may be in the way of `attach_argv` where it gets no answer, for people."""

    def shell_argv(
        self, job_id: str, node: str, argv: Sequence[str], *, terminal: bool = True
    ) -> list[str]:
        """Runs argv inside the job for a person, who is to see what the kernel sees.

        In a terminal of its own there, unless `terminal` is False: then standard
        input, output and errors pass as they are, beside what the scheduler's program
        says on standard error, in lines that begin with `prefix`.
        """

    def tells_exit(self, line: str) -> bool:
        """Whether such a line only says how argv ended, as the exit code does."""

    def environment(
        self, environ: Mapping[str, str], keep: Sequence[str] = ()
    ) -> dict[str, str]:
        """What of the server's environment these commands, and so the job, may see."""

    def never(self, status: JobStatus) -> str | None:
        """Why a waiting job can never start and what to change; None if it may."""

    def pending_text(self, status: JobStatus) -> str:
        """What a waiting job waits for, in plain words."""

    def advice(self, status: JobStatus) -> str:
        """What can be done about that; "" if there is only to wait."""

    def ended_text(self, status: JobStatus) -> str:
        """How a job ended, in plain words, and what to change."""

    def cluster_argv(self) -> list[str]:
        """Asks for the name of the cluster that these commands speak to."""

    def parse_cluster(self, completed: Completed) -> str | None:
        """That name; None if it was not told."""

    def explain_submit(self, completed: Completed) -> str:
        """What to do about a failed submission; "" if we do not know it."""


OUR_NAME = re.compile(r"jupyter-[0-9a-f]{8}")


def split_id(job_id: str) -> tuple[str, str]:
    """The scheduler's own id, and where to ask for it ("" for the usual place)."""
    own, _, where = job_id.partition(";")
    return own, where


def number(job_id: str) -> str:
    """The job's own number, of the ID of a job or of a step in one."""
    return split_id(job_id)[0].partition(".")[0]


# The job gets what a login shell would find, not what the notebook server holds:
# no tokens, no SLURM_* of an enclosing job, no half-loaded modules. An inherited
# _ModuleTable* or LOADEDMODULES makes Lmod believe that modules are loaded whose
# variables were not passed. XDG_RUNTIME_DIR names a directory the node has not.
ALLOWED = [
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TERM",
    "MODULEPATH",
    "MODULESHOME",
    "LMOD_*",
]
# A pattern in env_keep never reaches these; a full name does.
GUARDED = [
    "SLURM_*",
    "SBATCH_*",
    "SALLOC_*",
    "SRUN_*",
    "SQUEUE_*",
    "SCANCEL_*",
    "PMI_*",
    "PMIX_*",
    "XDG_RUNTIME_DIR",
    "JUPYTER_TOKEN",
    "JUPYTERHUB_API_TOKEN",
    "JPY_API_TOKEN",
    "_ModuleTable*",
    "LOADEDMODULES",
    "_LMFILES_",
]


def chosen(
    environ: Mapping[str, str], allowed: Sequence[str], keep: Sequence[str]
) -> dict[str, str]:
    """The variables that are allowed or kept (see `ALLOWED`, `GUARDED`)."""
    return {
        name: value
        for name, value in environ.items()
        if name in keep
        or matches(name, allowed)
        or (matches(name, keep) and not matches(name, GUARDED))
    }


def matches(name: str, patterns: Sequence[str]) -> bool:
    """As a shell matches file names."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
