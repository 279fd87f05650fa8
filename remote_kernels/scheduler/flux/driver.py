"""The driver for Flux (flux-core): its commands out, its answers in.

Rules: pure. Forms of 0.49 (2023) to 0.88. A kernel is a batch job, and so has a Flux of
its own on the job's nodes: `flux batch` takes the script on standard input, where
`flux submit` would want it as a file; a `flux run` in a cell uses the job's own nodes;
and agents start on its other nodes by `flux exec`. From outside the way in is ssh:
`flux exec` (0.88) ends its lines of output at a NUL byte, so it carries no channels.
What comes back is read in `answers.py`. Called through `scheduler.driver.Driver`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import ClassVar

from remote_kernels.errors import CommandError, ConfigError, DeniedError
from remote_kernels.scheduler import driver
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Query,
    Submission,
)

from . import answers, options, words

_SUBMITTED = re.compile(rf"^[fƒ]({answers.NUMBER[1:]})\s*$", re.MULTILINE)
_DENIED = re.compile(
    r"requires instance owner|immutable|exceeds policy limit|not permitted|"
    r"permission denied|only update their own",
    re.IGNORECASE,
)
_ALIVE = re.compile(r"\bowner \S+,\s+depth \d+,\s+size \d+")
_NOBODY = re.compile(r"^flux(-uptime)?: ", re.MULTILINE)
# A batch script is told little in its environment, and asks the Flux that is its job.
# Until 0.70 not even the job's number. ƒ is two bytes.
_HEAD = """\
rk_id=${FLUX_ENCLOSING_ID:-$(flux getattr jobid 2>/dev/null)}
rk_id=${rk_id#$'\\xc6\\x92'}
[ -z "$rk_id" ] || export RK_JOB_ID=f${rk_id#f}
[ -z "${FLUX_ENCLOSING_ID:-}" ] || export RK_JOB_MARK=FLUX_ENCLOSING_ID=$FLUX_ENCLOSING_ID
RK_NODE=$(uname -n) RK_NODES=$(flux getattr hostlist 2>/dev/null)
RK_NODE_COUNT=$(flux getattr size 2>/dev/null)
export RK_NODE RK_NODES RK_NODE_COUNT RK_LAUNCHERS="flux flux-job\""""
_BY_NAME = (
    'node=$1; shift; rank=$(flux overlay lookup "$node") || exit; '
    'exec flux exec --dir=/ --rank="$rank" "$@"'
)
# It fails where nobody answers, and where a job may be left.
_BY_JOB_NAME = """\
listed=$(flux jobs -n --count=0 -o "{id.dec} {name}") || exit
failed=0
while read -r id name; do
  [ "$name" != "$1" ] || flux cancel "$id" </dev/null || failed=1
done <<END
$listed
END
exit $failed"""


class Flux(
    driver.Driver,
    driver.Clusters,
    driver.Ends,
    driver.Extends,
    driver.OtherNodes,
    driver.Scripts,
    driver.Site,
):
    """Flux, from 0.49."""

    name = "flux"
    title = "Flux"
    command = "flux"
    lacks = options.LACKS
    options = options.OPTIONS
    further = "flux_args"
    allowed = ("FLUX_URI",)  # which Flux, if it is not this machine's own
    guarded = ("FLUX_*", "PMI_*", "PMIX_*")
    causes = words.CAUSES
    number = answers.NUMBER
    question: ClassVar[tuple[str, ...]] = ("flux", "uptime")
    by_name = ("sh", "-c", _BY_NAME, "flux", "{node}")
    by_number = ("flux", "exec", "--dir=/", "--rank={node}")

    def recognizes(self, completed: Completed) -> bool:
        """Return whether a broker answered, or Flux found none.

        Another `flux` deploys to Kubernetes, and knows no such command.
        """
        if completed.returncode == 0:
            return _ALIVE.search(completed.stdout) is not None
        return _NOBODY.search(completed.stderr) is not None

    # Before it is submitted

    def version(self) -> Query[str]:
        return Query(["flux", "version"], _version)

    def cluster(self) -> Query[str | None]:
        """Ask for the first host of this Flux, which has no name of its own."""

        def read(completed: Completed) -> str | None:
            said = completed.stdout.strip() if completed.returncode == 0 else ""
            return answers.first_node(said) or None

        return Query(["flux", "getattr", "hostlist"], read)

    def doubts(self, request: JobRequest) -> Query[list[str]] | None:
        wanted = request.options.get("queue")
        if wanted is None:
            return None

        def read(completed: Completed) -> list[str]:
            there = _queues(completed)
            if not there or wanted in there:
                return []
            shown = ", ".join(there)
            return [f"`flux queue list` shows no queue '{wanted}'. There are: {shown}"]

        return Query(_QUEUES, read)

    def offers(self, option: str, user: str) -> Query[list[str]] | None:
        return Query(_QUEUES, _queues) if option == "queue" else None

    # Submission

    def submission(self, request: JobRequest, script: str) -> Submission:
        self.check(request)
        if "{{" in request.output:
            text = f"Flux would change the name of the log, {request.output}"
            raise ConfigError(text)
        argv = ["flux", "batch", f"--job-name={request.name}"]
        argv += [f"--output={request.output}", *options.flags(request.options)]
        more = request.options.get("flux_args", ())
        return Submission([*argv, *more], script, _submitted)

    def own_submission(self, request: JobRequest, path: str, script: str) -> Submission:
        """Return how to submit it; without 'nodes' its own lines say how many slots."""
        self.check(request)
        given = request.options
        argv = ["flux", "batch"]
        argv += [f"--job-name={request.name}"] if request.name else []
        argv += options.flags(given)[0 if "nodes" in given else 1 :]
        argv += given.get("flux_args", ())
        directory = str(PurePosixPath(path).parent)
        return Submission([*argv, path], "", _submitted, directory)

    def notice(self, completed: Completed) -> str:
        said = _SUBMITTED.sub("", f"{completed.stderr}\n{completed.stdout}")
        return "\n".join(filter(None, map(str.rstrip, said.splitlines())))

    def submit_advice(self, completed: Completed) -> str:
        return words.submit(completed)

    def is_no_answer(self, completed: Completed) -> bool:
        return answers.is_no_answer(completed)

    def script_head(self, request: JobRequest) -> str:
        return _HEAD

    def node_head(self) -> str:
        return "export RK_NODE=$(uname -n)"  # flux exec passes the rest on

    # A job that is there

    def status(
        self, job_ids: Sequence[JobId]
    ) -> Sequence[Query[dict[JobId, JobStatus]]]:
        known = {job_id.number: job_id for job_id in job_ids}
        argv = ["flux", "jobs", "--json", *known]
        return [Query(argv, lambda completed: answers.listed(completed, known))]

    def ended(self, job_id: JobId) -> Sequence[Query[JobStatus | None]]:
        """Ask for it again: Flux keeps what has ended, until it is purged."""
        (query,) = self.status([job_id])
        return [Query(query.argv, lambda completed: query.parse(completed).get(job_id))]

    def own(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        argv = ["flux", "jobs", "--json", "--count=0", f"--user={user}"]
        return [Query(argv, answers.named)]

    def extend(self, job_id: JobId, minutes: int) -> Query[None]:
        def parse(completed: Completed) -> None:
            if self.is_no_answer(completed):
                raise answers.no_answer(completed)
            completed.check(
                DeniedError if _DENIED.search(completed.stderr) else CommandError,
                f"The time limit of job {job_id} was not moved.",
                "While a job runs, Flux lets only the owner of the instance move it, on "
                "a cluster the administrators: ask them, or save your work and start "
                "the kernel anew with more 'time-limit'.",
            )

        argv = ["flux", "update", job_id.number, f"duration=+{minutes}m"]
        return Query(argv, parse)

    # Its end

    def cancel(self, job_id: JobId) -> Query[None]:
        def parse(completed: Completed) -> None:
            if self.is_no_answer(completed):
                raise answers.no_answer(completed)
            if not answers.GONE.search(completed.stderr):
                completed.check(CommandError, "The job could not be cancelled.")

        return Query(["flux", "cancel", job_id.number], parse)

    def cancel_by_name(self, request: JobRequest) -> list[str]:
        return ["sh", "-c", _BY_JOB_NAME, "flux", request.name]

    # Its words

    def pending_text(self, status: JobStatus) -> str:
        return words.pending(status)

    def pending_advice(self, status: JobStatus) -> str:
        return words.advice(status)

    def ended_text(self, status: JobStatus) -> str:
        return words.ended(status)


_QUEUES = ("flux", "queue", "list", "-n", "-o", "{queue}")


def _queues(completed: Completed) -> list[str]:
    """Return their names; a Flux without queues has one row without a name."""
    if completed.returncode != 0:
        return []
    return sorted(filter(None, map(str.strip, completed.stdout.splitlines())))


def _version(completed: Completed) -> str:
    found = re.search(r"^commands:\s+(\S+)", completed.stdout, re.MULTILINE)
    return f"flux-core {found[1]}" if found else ""


def _submitted(completed: Completed) -> JobId:
    """Take the last line of that form: a site's plugins may print lines of theirs."""
    found = _SUBMITTED.findall(completed.stdout)
    if not found:
        text = "flux batch printed no job id"
        raise ValueError(text)
    return JobId(f"f{found[-1]}")
