"""The driver for a machine without a batch system: `program.py` plays one.

Rules: pure, and the same path as every other driver; nothing else knows that a job is
local. Options of jobs are refused, because nothing here would obey them. Called
through `scheduler.driver.Driver`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from remote_kernels.causes import EndCause
from remote_kernels.errors import CommandError, ConfigError, ControllerError
from remote_kernels.options import Option
from remote_kernels.scheduler import driver
from remote_kernels.scheduler.free import Estimate
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
    Query,
    Submission,
)

_PROGRAM = str(Path(__file__).with_name("program.py"))
_PHASES = {
    "RUNNING": Phase.RUNNING,
    "COMPLETING": Phase.ENDING,
    "COMPLETED": Phase.ENDED,
    "FAILED": Phase.ENDED,
    "CANCELLED": Phase.ENDED,
    "UNKNOWN": Phase.ENDED,
}
_CAUSES = {"CANCELLED": EndCause.CANCELLED}


class Local(
    driver.Driver,
    driver.Clusters,
    driver.Ends,
    driver.Enters,
    driver.Estimates,
    driver.Scripts,
):
    """The machine itself.

    Parameters
    ----------
    grace : float
        Seconds from SIGTERM to SIGKILL when a job is cancelled.
    """

    name = "local"
    title = "this machine"
    command = sys.executable
    is_fallback = True
    carriers = ("pipe",)
    causes = _CAUSES
    number = r"\d+-\d+"
    is_private = True
    says_little = True

    def __init__(self, grace: float = 10.0) -> None:
        self.grace = grace

    def check(self, request: JobRequest) -> None:
        """Refuse all options: what nothing enforces must not look granted."""
        asked = [*request.options]
        if asked:
            text = (
                f"the kernelspec asks for {', '.join(asked)}, but its job would run on "
                "this machine itself, where no batch system obeys that: scheduler is "
                "'local', or 'auto' and no batch system's commands are on PATH. Take "
                "the options out, or start the notebook server on a login node of the "
                "cluster, or load the batch system's module before."
            )
            raise ConfigError(text)

    def lacking(self, option: Option) -> str:
        return (
            f"option '{option.name}': its job would run on this machine itself "
            "(scheduler 'local'), where no batch system obeys that"
        )

    def cluster(self) -> Query[str | None]:
        """Ask for the host: others that share the home directory know nothing of its jobs."""
        return Query(["uname", "-n"], lambda done: done.stdout.strip() or None)

    def estimates(self, request: JobRequest) -> Sequence[Query[Estimate | None]]:
        def at_once(completed: Completed) -> Estimate:
            return Estimate(time.time(), "on this machine, where no job waits")

        return [Query(["true"], at_once)]

    def submission(self, request: JobRequest, script: str) -> Submission:
        self.check(request)
        names = [f"--name={request.name}", f"--output={request.output}"]
        argv = _argv("submit", *names, f"--grace={self.grace:g}")
        return Submission(argv, script, _submitted)

    def own_submission(self, request: JobRequest, path: str, script: str) -> Submission:
        """Return how to submit it; its log has no place of its own."""
        named = replace(request, name=request.name or Path(path).name)
        return replace(self.submission(named, script), cwd=str(Path(path).parent))

    def submit_advice(self, completed: Completed) -> str:
        return "See the job's log, if it was made."

    def status(
        self, job_ids: Sequence[JobId]
    ) -> Sequence[Query[dict[JobId, JobStatus]]]:
        if not job_ids:
            return []
        argv = _argv("status", *map(_full, job_ids))
        return [Query(argv, _states)]

    def ended(self, job_id: JobId) -> Sequence[Query[JobStatus | None]]:
        argv = _argv("status", _full(job_id))
        return [Query(argv, lambda completed: _states(completed).get(job_id))]

    def own(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        return [Query(_argv("own"), _own)]

    def cancel(self, job_id: JobId) -> Query[None]:
        def parse(completed: Completed) -> None:
            completed.check(CommandError, "The local job could not be cancelled.")

        return Query(_argv("cancel", _full(job_id)), parse)

    def cancel_by_name(self, request: JobRequest) -> list[str]:
        return _argv("cancel-name", request.name)

    def into(self, job_id: JobId, node: str, argv: Sequence[str]) -> list[str]:
        """Return the command: the job is here."""
        return list(argv)

    def pending_text(self, status: JobStatus) -> str:
        return "starting"

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


def _argv(*words: str) -> list[str]:
    """Isolated from the server's environment and packages: it needs neither."""
    return [sys.executable, "-I", "-S", _PROGRAM, *words]


def _full(job_id: JobId) -> str:
    """As `program.py` has it: the holder's process, and the job's log."""
    return f"{job_id.number};{job_id.where}"


def _job_id(text: str) -> JobId:
    number, _, where = text.partition(";")
    return JobId(number, where)


def _submitted(completed: Completed) -> JobId:
    if not completed.stdout.strip():
        text = "no job id was printed"
        raise ValueError(text)
    return _job_id(completed.stdout.strip())


def _states(completed: Completed) -> dict[JobId, JobStatus]:
    completed.check(ControllerError, "The state of the local jobs could not be read.")
    rows = (line.rsplit("|", 5) for line in completed.stdout.splitlines())
    return {_job_id(row[0]): _status(*row) for row in rows if len(row) == 6}


def _own(completed: Completed) -> list[JobStatus]:
    completed.check(ControllerError, "The local jobs could not be listed.")
    rows = (line.partition("|")[::2] for line in completed.stdout.splitlines())
    return [replace(_status(*row.rsplit("|", 5)), name=name) for name, row in rows]


def _status(
    job_id: str, state: str, code: str, signal: str, end: str, node: str
) -> JobStatus:
    return JobStatus(
        job_id=_job_id(job_id),
        phase=_PHASES.get(state, Phase.UNKNOWN),
        state=state,
        node=node or None,
        exit_code=int(code) if code else None,
        signal=int(signal) or None if signal else None,
        end_time=float(end) if end else None,
        by_itself=state in ("COMPLETED", "FAILED"),
    )
