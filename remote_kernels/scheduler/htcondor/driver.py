"""The driver for HTCondor: its commands out, its answers in.

Rules: pure. Jobs of this host's schedd, or of the one that the configuration names, in
the vanilla universe, on one machine each. What comes back is read in `answers.py`; how
a job is described, and where its script is until it begins, is in `description.py`.
Called through `scheduler.driver.Driver`. Quirks were seen on 23.9.6.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from remote_kernels.errors import CommandError, ConfigError
from remote_kernels.scheduler import driver
from remote_kernels.scheduler.free import Queue
from remote_kernels.scheduler.job import (
    Completed,
    JobId,
    JobRequest,
    JobStatus,
    Query,
    Submission,
)

from . import answers, options, site, words
from .description import description, quoted, script_file

_HERE = Path(__file__).parent
_SUBMIT, _ENTER, _REMOVE, _ANALYZE = (
    str(_HERE / f"{it}.sh") for it in ("submit", "enter", "remove", "analyze")
)
_SUBMITTED = re.compile(r"^(\d+\.\d+) - \d+\.\d+\s*$", re.MULTILINE)
_SCHEDD = re.compile(r"^-- Schedd: (\S+)", re.MULTILINE)

# HTCondor describes a job and its machine in files. GlobalJobId is SCHEDD#JOB#TIME. Who
# comes by ssh does not see the job's /tmp (MOUNT_UNDER_SCRATCH), but its scratch.
_HEAD = """\
rk_fact() { sed -n "s/^$1 = \\"\\(.*\\)\\"\\$/\\1/p" "$2" 2>/dev/null; }
IFS='#' read -r RK_CLUSTER RK_JOB_ID rk_one <<<"$(rk_fact GlobalJobId "$_CONDOR_JOB_AD")"
RK_NODE=$(rk_fact Machine "$_CONDOR_MACHINE_AD")
RK_JOB_MARK=_CONDOR_SCRATCH_DIR=$_CONDOR_SCRATCH_DIR RK_NODE_COUNT=1 RK_NODES=$RK_NODE
export RK_CLUSTER RK_JOB_ID RK_NODE RK_NODES RK_NODE_COUNT RK_JOB_MARK
[ ! -w "$_CONDOR_SCRATCH_DIR" ] || export TMPDIR=$_CONDOR_SCRATCH_DIR"""


class HTCondor(
    driver.Driver,
    driver.Clusters,
    driver.Ends,
    driver.Enters,
    driver.Queues,
    driver.Mails,
    driver.Reasons,
    driver.Site,
):
    """HTCondor; seen: 23.9.6."""

    name = "htcondor"
    title = "HTCondor"
    command = "condor_submit"
    carriers = ("ssh", "condor_ssh_to_job")
    lacks = options.LACKS
    options = options.OPTIONS
    further = "submit_commands"
    further_form = ("{} = ...",)
    # Where its daemons are; as a configuration's macros, they come in both cases.
    allowed = (
        *("CONDOR_CONFIG", "_CONDOR_SCHEDD_HOST", "_condor_SCHEDD_HOST"),
        *("_CONDOR_SCHEDD_NAME", "_condor_SCHEDD_NAME"),
        *("_CONDOR_COLLECTOR_HOST", "_condor_COLLECTOR_HOST"),
        *("_CONDOR_CONDOR_HOST", "_condor_CONDOR_HOST"),
    )
    guarded = ("_CONDOR_*", "_condor_*", "CONDOR_*")
    causes = words.CAUSES
    number = r"\d+\.\d+"
    is_private = True
    slow = 20.0  # see enter.sh
    says_little = True
    way_back = (
        "The site may have switched it off (ENABLE_SSH_TO_JOB), or its machines may have "
        "no sshd."
    )
    question = ("condor_q", "-constraint", "false")

    def recognizes(self, completed: Completed) -> bool:
        """Return whether condor_q named its schedd, or could not reach it."""
        said = completed.stdout + completed.stderr
        return bool(_SCHEDD.search(said)) or answers.is_no_answer(completed)

    def check(self, request: JobRequest) -> None:
        """Refuse more than one node: a kernel's job is on one machine."""
        rest = dict(request.options)
        if rest.pop("nodes", 1) not in (1, "1"):
            raise ConfigError(self.lacks["nodes"])
        super().check(replace(request, options=rest))

    # Before it is submitted

    def version(self) -> Query[str]:
        return Query(["condor_version"], _version)

    def queues(self) -> Query[list[Queue]]:
        return site.queues()

    def doubts(self, request: JobRequest) -> Query[list[str]] | None:
        return site.doubts(request.options)

    def offers(self, option: str, user: str) -> Query[list[str]] | None:
        return None

    def cluster(self) -> Query[str | None]:
        """Ask for the schedd: each one has numbers of its own."""
        return Query(self.question, _schedd)

    # Submission

    def submission(self, request: JobRequest, script: str) -> Submission:
        self.check(request)
        file = script_file(request)
        text = f"{description(request)}\n\n{script}"

        def parse(completed: Completed) -> JobId:
            found = _SUBMITTED.findall(completed.stdout)
            if not found:
                message = "condor_submit printed no job id"
                raise ValueError(message)
            return JobId(found[-1], file)

        return Submission(["sh", _SUBMIT, file], text, parse)

    def mail(self, on: Collection[str], to: str) -> tuple[str, ...]:
        """Return when; HTCondor calls it an error if a job is ended by a signal."""
        if "begin" in on:
            text = "HTCondor sends no mail when a job begins; ask for 'end' or 'fail'"
            raise ConfigError(text)
        when = "Complete" if "end" in on else "Error"
        lines = (f"notification = {when}",)
        return (*lines, f"notify_user = {to}") if to else lines

    def notice(self, completed: Completed) -> str:
        """Return the site's lines, and warnings of lines that say nothing."""
        lines = completed.stderr.splitlines()
        return "\n".join(filter(None, map(str.strip, lines)))

    def submit_advice(self, completed: Completed) -> str:
        return words.submit(completed)

    def is_no_answer(self, completed: Completed) -> bool:
        return answers.is_no_answer(completed)

    def script_head(self, request: JobRequest) -> str:
        return _HEAD

    # A job that is there

    def status(
        self, job_ids: Sequence[JobId]
    ) -> Sequence[Query[dict[JobId, JobStatus]]]:
        if not job_ids:
            return []
        known = {job_id.number: job_id for job_id in job_ids}
        argv = ["condor_q", *known, "-json", "-attributes", answers.ATTRIBUTES]
        return [Query(argv, lambda completed: answers.listed(completed, known))]

    def ended(self, job_id: JobId) -> Sequence[Query[JobStatus | None]]:
        argv = ["condor_history", job_id.number, "-limit", "1"]
        argv += ["-json", "-attributes", answers.ATTRIBUTES]
        return [Query(argv, lambda completed: answers.ended(completed, job_id))]

    def own(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        mine = f"Owner == {quoted(user)}"
        argv = ["condor_q", "-constraint", mine, "-json"]
        return [Query([*argv, "-attributes", answers.ATTRIBUTES], answers.own)]

    def reasons(self, job_ids: Sequence[JobId]) -> Query[dict[JobId, str]]:
        known = {job_id.number: job_id for job_id in job_ids}
        return Query(
            ["sh", _ANALYZE, *known],
            lambda completed: answers.reasons(completed, known),
        )

    # Its end

    def cancel(self, job_id: JobId) -> Query[None]:
        def parse(completed: Completed) -> None:
            if self.is_no_answer(completed):
                raise answers.no_answer(completed)
            if not re.search(r"Job \S+ not found", completed.stderr):
                completed.check(CommandError, "The job could not be cancelled.")

        if not job_id.where:
            return Query(["condor_rm", job_id.number], parse)
        return Query(["sh", _REMOVE, job_id.where, job_id.number], parse)

    def cancel_by_name(self, request: JobRequest) -> list[str]:
        named = f"JobBatchName == {quoted(request.name)}"
        return ["sh", _REMOVE, script_file(request), "-constraint", named]

    # The way into it

    def into(self, job_id: JobId, node: str, argv: Sequence[str]) -> list[str]:
        """Return ssh to HTCondor's own sshd in the job; a shell there takes one line."""
        return ["sh", _ENTER, job_id.number, shlex.join(argv)]

    # Its words

    def never(self, status: JobStatus, options: Mapping[str, Any]) -> str | None:
        return words.never(status)

    def pending_text(self, status: JobStatus) -> str:
        return words.pending(status)

    def pending_advice(self, status: JobStatus) -> str:
        return words.advice(status)

    def ended_text(self, status: JobStatus) -> str:
        return words.ended(status)


def _version(completed: Completed) -> str:
    found = re.search(r"CondorVersion: (\S+)", completed.stdout)
    return f"condor {found[1]}" if found else ""


def _schedd(completed: Completed) -> str | None:
    if answers.is_no_answer(completed):
        raise answers.no_answer(completed)
    found = _SCHEDD.search(completed.stdout)
    return found[1] if found else None
