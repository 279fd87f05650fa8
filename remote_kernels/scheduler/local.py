"""The driver for a machine without a batch system: `local_job.py` plays one.

Rules: pure, and the same path as Slurm's driver; nothing else knows that a job is
local. Scheduler options are refused, because nothing here would obey them.
Called through `base.Driver`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from remote_kernels.errors import CommandError, ConfigError, ControllerError
from remote_kernels.scheduler import base
from remote_kernels.scheduler.base import Completed, JobRequest, JobStatus, Phase

_PROGRAM = str(Path(__file__).with_name("local_job.py"))
_PHASES = {
    "RUNNING": Phase.RUNNING,
    "COMPLETING": Phase.ENDING,
    "COMPLETED": Phase.ENDED,
    "FAILED": Phase.ENDED,
    "CANCELLED": Phase.ENDED,
    "UNKNOWN": Phase.ENDED,
}


class Local:
    """`base.Driver` for this machine; `grace` is from SIGTERM to SIGKILL, seconds."""

    name = "local"
    command = sys.executable
    prefix = ""
    way_back = ""
    carriers: tuple[str, ...] = ("pipe",)

    def __init__(self, grace: float = 10.0) -> None:
        self.grace = grace

    def check(self, request: JobRequest) -> None:
        """A time limit or a GPU that nothing enforces must not look granted."""
        asked = [*request.options, *(["sbatch_args"] if request.extra_args else [])]
        if asked:
            text = (
                f"the kernelspec asks for {', '.join(asked)}, but its job would run on "
                "this machine itself, where no batch system obeys that: scheduler is "
                "'local', or 'auto' and sbatch is not on PATH. Take the options out, "
                "or start the kernel where sbatch is installed."
            )
            raise ConfigError(text)

    def questions(self, request: JobRequest) -> list[list[str]]:
        return []

    def answered(self, request: JobRequest, answers: Sequence[Completed]) -> JobRequest:
        return request

    def site_argv(self) -> list[str]:
        return []

    def doubts(self, completed: Completed, request: JobRequest) -> list[str]:
        return []

    def submit_argv(self, request: JobRequest) -> list[str]:
        self.check(request)
        names = [f"--name={request.name}", f"--output={request.output}"]
        return _argv("submit", *names, f"--grace={self.grace:g}")

    def parse_submit(self, stdout: str) -> str:
        job_id = stdout.strip()
        if not job_id:
            text = "no job id was printed"
            raise ValueError(text)
        return job_id

    def notice(self, completed: Completed) -> str:
        return ""

    def unanswered(self, completed: Completed) -> bool:
        return False

    def groups(self, job_ids: Sequence[str]) -> list[list[str]]:
        return [list(job_ids)] if job_ids else []

    def status_argv(self, job_ids: Sequence[str]) -> list[str]:
        return _argv("status", *job_ids)

    def parse_status(
        self, completed: Completed, job_ids: Sequence[str]
    ) -> dict[str, JobStatus]:
        if completed.returncode != 0:
            summary = "The state of the local jobs could not be read."
            raise _failed(ControllerError, summary, completed)
        rows = (line.rsplit("|", 5) for line in completed.stdout.splitlines())
        return {row[0]: _status(*row) for row in rows if len(row) == 6}

    def ended_argvs(self, job_id: str) -> list[list[str]]:
        return [self.status_argv([job_id])]

    def parse_ended(self, completed: Completed, job_id: str) -> JobStatus | None:
        return self.parse_status(completed, [job_id]).get(job_id)

    def own_argv(self, user: str) -> list[str]:
        return _argv("own")

    def parse_own(self, completed: Completed) -> list[tuple[str, JobStatus]]:
        if completed.returncode != 0:
            summary = "The local jobs could not be listed."
            raise _failed(ControllerError, summary, completed)
        rows = (line.partition("|")[::2] for line in completed.stdout.splitlines())
        return [
            (name, _status(*row.rsplit("|", 5)))
            for name, row in rows
            if base.OUR_NAME.fullmatch(name)
        ]

    def places_argv(self) -> list[str]:
        return []

    def parse_places(
        self, completed: Completed, job_ids: Sequence[str]
    ) -> dict[str, int]:
        return {}

    def extend_argv(self, job_id: str, minutes: int) -> list[str]:
        return []

    def cancel_argv(self, job_ids: Sequence[str]) -> list[str]:
        return _argv("cancel", *job_ids)

    def cancel_name_argv(self, name: str, user: str) -> list[str]:
        return _argv("cancel-name", name)

    def check_cancel(self, completed: Completed) -> None:
        if completed.returncode != 0:
            summary = "The local job could not be cancelled."
            raise _failed(CommandError, summary, completed)

    def attach_argv(self, job_id: str, node: str, argv: Sequence[str]) -> list[str]:
        return list(argv)

    def shell_argv(
        self, job_id: str, node: str, argv: Sequence[str], *, terminal: bool = True
    ) -> list[str]:
        return list(argv)

    def tells_exit(self, line: str) -> bool:
        return False

    def environment(
        self, environ: Mapping[str, str], keep: Sequence[str] = ()
    ) -> dict[str, str]:
        return base.chosen(environ, base.ALLOWED, keep)

    def never(self, status: JobStatus) -> str | None:
        return None

    def pending_text(self, status: JobStatus) -> str:
        return "starting"

    def advice(self, status: JobStatus) -> str:
        return ""

    def ended_text(self, status: JobStatus) -> str:
        if status.state == "CANCELLED":
            return "The job was cancelled."
        if status.signal:
            return f"The job was ended by signal {status.signal}."
        if status.exit_code:
            return f"The job's script failed with exit code {status.exit_code}."
        if status.state == "COMPLETED":
            return "The job ended on its own."
        return "The job is gone, and nothing says how it ended."

    def cluster_argv(self) -> list[str]:
        """Another host that shares the home directory knows nothing of these jobs."""
        return ["uname", "-n"]

    def parse_cluster(self, completed: Completed) -> str | None:
        return completed.stdout.strip() or None

    def explain_submit(self, completed: Completed) -> str:
        return "See the job's log, if it was made."


def _argv(*words: str) -> list[str]:
    """Isolated from the server's environment and packages: it needs neither."""
    return [sys.executable, "-I", "-S", _PROGRAM, *words]


def _failed(
    kind: type[CommandError], summary: str, completed: Completed
) -> CommandError:
    streams = completed.stdout, completed.stderr
    return kind(summary, completed.argv, completed.returncode, *streams)


def _status(
    job_id: str, state: str, code: str, signal: str, end: str, node: str
) -> JobStatus:
    return JobStatus(
        job_id=job_id,
        phase=_PHASES.get(state, Phase.UNKNOWN),
        state=state,
        node=node or None,
        exit_code=int(code) if code else None,
        signal=int(signal) or None if signal else None,
        end_time=float(end) if end else None,
    )
