"""The driver for Torque: its commands out, its answers in.

Rules: pure. Forms of Torque 2.5 to 6.1, as its manuals and sources have them; seen at no
site yet. What comes back is read in `answers.py`, Torque's words for the user are in
`words.py`; what its commands share with PBS's is taken from there.

How a job ended is known as long as Torque lists it (`keep_completed`, 300 s by
default). The way in is ssh: `pbsdsh` starts tasks from within a job alone, and gives
them no standard input. What ssh starts is not counted as the job's, unless the site has
PAM see to that.

Called through `scheduler.driver.Driver`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from remote_kernels.causes import EndCause
from remote_kernels.errors import ControllerError
from remote_kernels.options import as_seconds
from remote_kernels.scheduler.free import Queue
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Phase,
    Query,
    Submission,
)
from remote_kernels.scheduler.pbs import driver as pbs
from remote_kernels.scheduler.pbs.answers import seconds
from remote_kernels.scheduler.pbs.site import queue_of

from . import answers, options, words

# Its commands find its server by these; all other PBS_* speak of an enclosing job.
SITE = ("PBS_DEFAULT", "PBS_CLIENTRETRY")
_VERSION = re.compile(r"^\s*version:\s*(\d\S*)", re.IGNORECASE | re.MULTILINE)

# With what is listed of this user's jobs, by their numbers.
_OWN = 'ids=$(qselect -u "$1") || exit; [ -z "$ids" ] || exec qstat -x $ids'


class Torque(pbs.Family):
    """Torque, from 2.5 to 6.1."""

    name = "torque"
    title = "Torque"
    rank = 60
    lacks = options.LACKS
    options = options.OPTIONS
    causes = words.CAUSES
    allowed = SITE
    # A site can leave the server out (display_job_server_suffix).
    printed = re.compile(r"^(\d+(?:\.[\w.-]+)?)[^\S\n]*$", re.MULTILINE)
    busy = answers.BUSY

    def recognizes(self, completed: Completed) -> bool:
        """Return whether that qstat is Torque's own, whether its server answered or not.

        It says "Version: 6.1.2" on standard error; PBS's says "pbs_version = ...".
        """
        return bool(_version(completed))

    # Before it is submitted

    def version(self) -> Query[str]:
        return Query(["qstat", "--version"], _version)

    def queues(self) -> Query[list[Queue]]:
        def listed(completed: Completed) -> list[Queue]:
            if completed.returncode != 0:
                raise self.no_answer(completed)
            return [
                queue_of(name, facts, facts.get("resources_max.walltime"))
                for name, facts in _queues(completed).items()
            ]

        return Query(["qstat", "-Q", "-f"], listed)

    def doubts(self, request: JobRequest) -> Query[list[str]] | None:
        queue = str(request.options.get("queue", ""))
        if not queue or "@" in queue:  # the site's default, or another server's
            return None
        walltime = request.options.get("walltime")
        argv = ["qstat", "-Q", "-f"]
        return Query(argv, lambda done: [*_doubts(done, queue, walltime)])

    def offers(self, option: str, user: str) -> Query[list[str]] | None:
        if option != "queue":
            return None
        return Query(["qstat", "-Q", "-f"], lambda done: sorted(_queues(done)))

    def cluster(self) -> Query[str | None]:
        return Query(["qstat", "-B", "-f"], _cluster)

    # Submission

    def submission(self, request: JobRequest, script: str) -> Submission:
        """Return how to submit it; never run again, as the kernel's memory dies with its job."""
        argv = ["qsub", "-N", request.name, *pbs.ALWAYS, *self.asked(request)]
        return Submission(argv, pbs.into_log(script, request.output), self.submitted)

    def asked(self, request: JobRequest) -> list[str]:
        self.check(request)
        return options.flags(request.options)

    def submit_advice(self, completed: Completed) -> str:
        return words.submit(completed)

    def is_no_answer(self, completed: Completed) -> bool:
        return answers.is_no_answer(completed)

    def no_answer(self, completed: Completed) -> ControllerError:
        return answers.no_answer(completed)

    def is_gone(self, completed: Completed) -> bool:
        return answers.is_gone(completed)

    # A job that is there

    def status(
        self, job_ids: Sequence[JobId]
    ) -> Sequence[Query[dict[JobId, JobStatus]]]:
        if not job_ids:
            return []
        argv = ["qstat", "-x", *map(str, job_ids)]
        return [Query(argv, lambda completed: answers.listed(completed, job_ids))]

    def ended(self, job_id: JobId) -> Sequence[Query[JobStatus | None]]:
        argv = ["qstat", "-x", str(job_id)]
        return [Query(argv, lambda completed: answers.ended(completed, job_id))]

    def own(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        return [Query(["sh", "-c", _OWN, "sh", user], _live)]

    # Its words

    def pending_text(self, status: JobStatus) -> str:
        return words.pending(status)

    def pending_advice(self, status: JobStatus) -> str:
        return words.advice(status)

    def ended_text(self, status: JobStatus) -> str:
        return words.ended(status)

    def cause(self, status: JobStatus) -> EndCause:
        """Return why it ended; Torque has no word for a job that was deleted."""
        return (
            EndCause.CANCELLED if words.was_deleted(status) else super().cause(status)
        )


def _live(completed: Completed) -> list[JobStatus]:
    """Those that have not ended: completed ones are listed for a while."""
    every = answers.every(completed)
    return [status for status in every if status.phase is not Phase.ENDED]


def _version(completed: Completed) -> str:
    found = _VERSION.search(f"{completed.stderr}\n{completed.stdout}")
    return f"Torque {found[1]}" if found else ""


def _cluster(completed: Completed) -> str | None:
    found = re.search(r"^Server: (\S+)", completed.stdout, re.MULTILINE)
    return found[1] if found else None


def _queues(completed: Completed) -> dict[str, Mapping[str, str]]:
    """Read `qstat -Q -f`: "Queue: batch", then "    name = value" a line."""
    queues: dict[str, Mapping[str, str]] = {}
    for part in re.split(r"^Queue: ", completed.stdout, flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        queues[name.strip()] = dict(
            re.findall(r"^\s+(\S+) = (.*)$", rest, re.MULTILINE)
        )
    return queues


def _doubts(completed: Completed, name: str, walltime: Any) -> Iterator[str]:
    queues = _queues(completed)
    if completed.returncode != 0 or not queues:
        return
    if name not in queues:
        shown = ", ".join(sorted(queues))
        yield f"qstat shows no queue '{name}' here. There are: {shown}"
        return
    if queues[name].get("enabled") == "False":
        yield f"queue '{name}' takes no jobs now; `qstat -Q` lists the queues"
    most = seconds(queues[name].get("resources_max.walltime"))
    if most is not None and walltime is not None and as_seconds(walltime) > most:
        yield (
            f"walltime {walltime} is over the limit of queue '{name}', which is "
            f"{queues[name]['resources_max.walltime']}; `qstat -Qf {name}` shows its "
            "limits"
        )
