"""The driver for IBM Spectrum LSF: its commands out, its answers in.

Rules: pure. Only forms that 10.1.0.2 (2017) and later have: bjobs -json, and sizes with
their unit. What comes back is read in `answers.py`, LSF's words for the user are in
`words.py`. Called through `scheduler.driver.Driver`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar

from remote_kernels.errors import CommandError, ConfigError, DeniedError
from remote_kernels.scheduler import driver
from remote_kernels.scheduler.free import Queue
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Query,
    Submission,
    login_name,
)

from . import answers, options, site, words

_SUBMITTED = re.compile(r"^.*\bJob <(\d+)> is submitted\b.*$", re.MULTILINE)
_DENIED = re.compile(
    r"permission denied|hard limit|cannot be (changed|modified)|LSB_MOD_ALL_JOBS|"
    r"not (allowed|permitted)|already (started|running)",
    re.IGNORECASE,
)
# The job's output is copied to its log when it ends, unless the site has
# LSB_STDOUT_DIRECT: so the script writes there itself, and LSF adds its report.
_HEAD = """\
if ( : >>{log} ) 2>/dev/null; then exec >>{log} 2>&1; fi
export RK_JOB_ID=$LSB_JOBID RK_JOB_MARK=LSB_JOBID=$LSB_JOBID
export RK_LAUNCHERS="blaunch jsrun"
[ "${{LSB_RESTART:-}}" != Y ] || rk_restarted=1
{here}"""
# LSB_MCPU_HOSTS has each host with its number of slots: "a 4 b 4".
_HERE = """\
RK_NODE=$(uname -n) RK_NODES= RK_NODE_COUNT=0
for rk_one in ${LSB_MCPU_HOSTS:-}; do
  case $rk_one in
    *[!0-9]*)
      RK_NODES="$RK_NODES${RK_NODES:+ }$rk_one" RK_NODE_COUNT=$((RK_NODE_COUNT + 1))
      [ "${rk_one%%.*}" != "${RK_NODE%%.*}" ] || RK_NODE=$rk_one ;;
  esac
done
[ "$RK_NODE_COUNT" != 0 ] || RK_NODE_COUNT=
export RK_NODE RK_NODES RK_NODE_COUNT"""
_BY_NUMBER = (
    "number=$1; shift; "
    "for word in $LSB_MCPU_HOSTS; do case $word in *[!0-9]*) "
    '[ "$number" != 0 ] || exec blaunch -z "$word" -no-shell "$@"; '
    "number=$((number - 1));; esac; done; "
    'echo "no such host in: $LSB_MCPU_HOSTS" >&2; exit 1'
)
# bmod sets a limit, and does not move it.
_EXTEND = (
    'limit=$(LSB_HMS_TIME_FORMAT=N bjobs -noheader -o runtimelimit "$1") || exit; '
    "limit=${limit%%[./]*}; "
    'case $limit in ""|*[!0-9]*) echo "Job <$1> has no run limit." >&2; exit 2;; esac; '
    'exec bmod -W "$((limit + $2))" "$1"'
)


# 0: all of that name. It fails where there is none.
_BY_NAME = (
    'said=$(bkill -J "$1" 0 2>&1) || case $said in *"not found"* | *" job found"*) ;; '
    '*) echo "$said" >&2; exit 1 ;; esac'
)


class Lsf(
    driver.Driver,
    driver.Clusters,
    driver.Ends,
    driver.Extends,
    driver.Mails,
    driver.OtherNodes,
    driver.Queues,
    driver.Scripts,
    driver.Site,
):
    """LSF, from 10.1.0.2."""

    name = "lsf"
    title = "LSF"
    command = "bsub"
    lacks = options.LACKS
    options = options.OPTIONS
    further = "bsub_args"
    further_form = ("-{}", "...")
    # A site's profile.lsf sets these, and the commands find the cluster by them.
    allowed = (
        *("LSF_ENVDIR", "LSF_BINDIR", "LSF_LIBDIR", "LSF_SERVERDIR"),
        *("EGO_TOP", "EGO_CONFDIR", "EGO_BINDIR", "EGO_LIBDIR"),
    )
    causes = words.CAUSES
    guarded = ("LSB_*", "LSF_*", "LS_*", "BSUB_*", "JSM_*")
    question: ClassVar[tuple[str, ...]] = ("lsid",)
    by_name = ("blaunch", "-z", "{node}", "-no-shell")
    by_number = ("sh", "-c", _BY_NUMBER, "blaunch", "{node}")

    def recognizes(self, completed: Completed) -> bool:
        """Return whether LSF's own commands are here: OpenLava's have the same names.

        They say whose they are before they ask a daemon.
        """
        return re.search(r"\bLSF\b", completed.stdout) is not None

    def contradictions(self, config: Mapping[str, Any]) -> Iterator[str]:
        yield from options.contradictions(config)

    # Before it is submitted

    def version(self) -> Query[str]:
        return Query(self.question, site.version)

    def cluster(self) -> Query[str | None]:
        return Query(self.question, site.cluster)

    def queues(self) -> Query[list[Queue]]:
        return site.queues(login_name())

    def doubts(self, request: JobRequest) -> Query[list[str]] | None:
        return site.doubts(request.options)

    def offers(self, option: str, user: str) -> Query[list[str]] | None:
        return site.offers(option, user)

    # Submission

    def submission(self, request: JobRequest, script: str) -> Submission:
        """Return how to submit it; never to be rerun, as its kernel dies with its job."""
        self.check(request)
        if re.search(r"%[JI]", request.output):
            text = f"LSF would change the name of the log, {request.output}"
            raise ConfigError(text)
        argv = ["bsub", "-J", request.name, "-o", request.output, "-rn"]
        argv += options.flags(request.options)
        return Submission(
            [*argv, *request.options.get("bsub_args", ())], script, _submitted
        )

    def own_submission(self, request: JobRequest, path: str, script: str) -> Submission:
        """Return how to submit it; bsub reads its lines from standard input alone."""
        self.check(request)
        argv = ["bsub", *(["-J", request.name] if request.name else [])]
        argv += [*options.flags(request.options), *request.options.get("bsub_args", ())]
        return Submission(argv, script, _submitted, str(PurePosixPath(path).parent))

    def mail(self, on: Collection[str], to: str) -> tuple[str, ...]:
        """Return when; the report of a job's end says whether it failed."""
        when = ["-B"] if "begin" in on else []
        when += ["-N"] if {"end", "fail"} & {*on} else []
        return (*when, *(["-u", to] if to else []))

    def every(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        argv = ["bjobs", "-json", "-o", answers.FIELDS, "-u", user]
        return [Query(argv, answers.named)]

    def notice(self, completed: Completed) -> str:
        said = _SUBMITTED.sub("", f"{completed.stderr}\n{completed.stdout}")
        return "\n".join(filter(None, map(str.rstrip, said.splitlines())))

    def submit_advice(self, completed: Completed) -> str:
        return words.submit(completed)

    def is_no_answer(self, completed: Completed) -> bool:
        return answers.is_no_answer(completed)

    def script_head(self, request: JobRequest) -> str:
        return _HEAD.format(log=shlex.quote(request.output), here=_HERE)

    def node_head(self) -> str:
        return _HERE

    # A job that is there

    def status(
        self, job_ids: Sequence[JobId]
    ) -> Sequence[Query[dict[JobId, JobStatus]]]:
        known = {job_id.number: job_id for job_id in job_ids}
        return [
            Query(_bjobs(*known), lambda completed: answers.listed(completed, known))
        ]

    def ended(self, job_id: JobId) -> Sequence[Query[JobStatus | None]]:
        """Ask bjobs, which has a job for CLEAN_PERIOD (an hour), then the event logs."""
        number = job_id.number

        def recent(completed: Completed) -> JobStatus | None:
            return answers.listed(completed, {number: job_id}).get(job_id)

        def history(completed: Completed) -> JobStatus | None:
            return answers.history(completed, job_id)

        bhist = ["bhist", "-l", "-n", "2", number]  # and the log before the present one
        return [Query(_bjobs(number), recent), Query(bhist, history)]

    def own(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        argv = ["bjobs", "-json", "-o", answers.FIELDS, "-u", user, "-J", "jupyter-*"]
        return [Query(argv, answers.named)]

    def extend(self, job_id: JobId, minutes: int) -> Query[None]:
        def parse(completed: Completed) -> None:
            if self.is_no_answer(completed):
                raise answers.no_answer(completed)
            completed.check(
                DeniedError if _DENIED.search(completed.stderr) else CommandError,
                f"The run limit of job {job_id} was not moved.",
                "It may not exceed the queue's limit (`bqueues -l`), and some sites let "
                "nobody move it (LSB_MOD_ALL_JOBS in lsf.conf): ask the administrators, "
                "or save your work and start the kernel anew with more 'W'.",
            )

        argv = ["sh", "-c", _EXTEND, "bmod", job_id.number, str(minutes)]
        return Query(argv, parse)

    # Its end

    def cancel(self, job_id: JobId) -> Query[None]:
        def parse(completed: Completed) -> None:
            if self.is_no_answer(completed):
                raise answers.no_answer(completed)
            if not answers.GONE.search(completed.stderr + completed.stdout):
                completed.check(CommandError, "The job could not be cancelled.")

        return Query(["bkill", job_id.number], parse)

    def cancel_by_name(self, request: JobRequest) -> list[str]:
        return ["sh", "-c", _BY_NAME, "sh", request.name]

    # Its words

    def never(self, status: JobStatus, options: Mapping[str, Any]) -> str | None:
        return words.never(status)

    def pending_text(self, status: JobStatus) -> str:
        return words.pending(status)

    def pending_advice(self, status: JobStatus) -> str:
        return words.advice(status)

    def ended_text(self, status: JobStatus) -> str:
        return words.ended(status)


def _bjobs(*numbers: str) -> list[str]:
    return ["bjobs", "-a", "-json", "-o", answers.FIELDS, *numbers]


def _submitted(completed: Completed) -> JobId:
    """Take the last line of that form: a site's esub may print lines of its own."""
    found = _SUBMITTED.findall(completed.stdout)
    if not found:
        text = "bsub printed no job id"
        raise ValueError(text)
    return JobId(found[-1])
