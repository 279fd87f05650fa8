"""The driver for the abacus: descriptions on standard input, beads, words of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from remote_kernels.causes import EndCause
from remote_kernels.errors import CommandError, ControllerError
from remote_kernels.options import Kind, Option, whole
from remote_kernels.scheduler import driver
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
    Query,
    Submission,
)

_BEADS = Kind(("integer",), "a number of beads", whole)
_PHASES = {
    "QUEUED": Phase.PENDING,
    "COUNTING": Phase.RUNNING,
    "COUNTED": Phase.ENDED,
    "SWEPT": Phase.ENDED,
}
_CAUSES = {"SWEPT": EndCause.CANCELLED}
_HEAD = """\
export RK_JOB_ID=$ABACUS_JOB RK_NODE=$ABACUS_ROD RK_CLUSTER=abacus RK_NODES=$ABACUS_ROD
export RK_NODE_COUNT=1 RK_JOB_MARK=ABACUS_JOB=$ABACUS_JOB"""


class Abacus(driver.Driver, driver.Ends, driver.Enters):
    """It counts, and has no queue to speak of."""

    name = "abacus"
    title = "Abacus"
    command = "absub"
    carriers = ("abjoin",)
    allowed = ("ABACUS_HOME",)
    guarded = ("ABACUS_*",)
    causes = _CAUSES
    number = r"ƒ\d+;b"
    says_little = True
    options = (
        Option("beads", _BEADS, "N", 4, "Beads to count with.", portable="cores"),
        Option("patience", _BEADS, "N", 1, "Whether to wait to be let in."),
    )

    def submission(self, request: JobRequest, script: str) -> Submission:
        self.check(request)
        wanted = {"name": request.name, "output": request.output, "script": script}
        return Submission(
            ["absub"], json.dumps({**request.options, **wanted}), _submitted
        )

    def script_head(self, request: JobRequest) -> str:
        return _HEAD

    def status(
        self, job_ids: Sequence[JobId]
    ) -> Sequence[Query[dict[JobId, JobStatus]]]:
        argv = ["abstat", *map(str, job_ids)]
        return [Query(argv, lambda done: {s.job_id: s for s in _listed(done)})]

    def ended(self, job_id: JobId) -> Sequence[Query[JobStatus | None]]:
        argv = ["abstat", str(job_id)]
        return [Query(argv, lambda done: next(iter(_listed(done)), None))]

    def own(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        return [Query(["abstat"], _listed)]

    def cancel(self, job_id: JobId) -> Query[None]:
        return Query(["abdel", str(job_id)], _cancelled)

    def cancel_by_name(self, request: JobRequest) -> list[str]:
        return ["abdel", request.name]

    def into(self, job_id: JobId, node: str, argv: Sequence[str]) -> list[str]:
        return ["abjoin", str(job_id), *argv]

    def is_no_answer(self, completed: Completed) -> bool:
        return completed.returncode == 3

    def submit_advice(self, completed: Completed) -> str:
        return "The abacus sleeps: wake it." if self.is_no_answer(completed) else ""

    def never(self, status: JobStatus, options: Mapping[str, Any]) -> str | None:
        return "There are no such beads." if options.get("beads", 0) > 99 else None

    def ended_text(self, status: JobStatus) -> str:
        if status.state == "SWEPT":
            return "The beads were swept away."
        return f"The counting ended with exit code {status.exit_code}."


def _submitted(completed: Completed) -> JobId:
    found = re.search(r"your job is (ƒ\d+;b)", completed.stdout)
    if found is None:
        text = "no job was named"
        raise ValueError(text)
    return JobId(found[1])


def _listed(completed: Completed) -> list[JobStatus]:
    if completed.returncode != 0:
        raise _failed(ControllerError, "The abacus sleeps.", completed)
    rows = (line.split("/") for line in completed.stdout.splitlines())
    return [_status(*row) for row in rows if len(row) == 5]


def _status(number: str, state: str, name: str, rod: str, code: str) -> JobStatus:
    return JobStatus(
        JobId(number),
        _PHASES.get(state, Phase.UNKNOWN),
        state,
        node=rod or None,
        exit_code=int(code) if code else None,
        name=name,
        by_itself=state == "COUNTED",
    )


def _cancelled(completed: Completed) -> None:
    if completed.returncode != 0:
        raise _failed(CommandError, "The job was not swept away.", completed)


def _failed(
    kind: type[CommandError], summary: str, completed: Completed
) -> CommandError:
    said = completed.stdout, completed.stderr
    return kind(summary, completed.argv, completed.returncode, *said)
