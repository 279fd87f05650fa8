"""The driver for OAR: its commands out, its answers in.

Rules: pure. What comes back is read in `answers.py`, OAR's words for the user are in
`words.py`; `program.py` runs what could wait for ever, and keeps the script of a job
until it begins. Called through `scheduler.driver.Driver`. Quirks were seen on 2.5.9.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

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

from . import answers, options, reasons, script, site, words
from .commands import bounded, held, submitting

# A refused job has a number below 0 there, or none.
_SUBMITTED = re.compile(r"^OAR_JOB_ID=([1-9]\d*)\s*$", re.MULTILINE)
_VERSION = re.compile(r"^OAR version ?: (.+)$", re.MULTILINE)
# What the rules of a fresh installation say of every job, and oarsub itself.
_NO_NOTICE = re.compile(
    r"OAR_JOB_ID=|\[ADMISSION RULE\] (Modify resource description|Set default walltime)|"
    r"(# )?(Generate a|Import) job key"
)
_GONE = re.compile(r"This job was already killed")
# It says so of a job that is not there, too.
_NOT_YOURS = re.compile(r"You are not the right user")
# Format 3, which a site may have as its own from 2.5.10 on, has other names.
_OARSTAT = ("oarstat", "-J", "--format=2")
_LIVE = "state NOT IN ('Terminated', 'Error')"


class Oar(
    driver.Driver,
    driver.Ends,
    driver.Enters,
    driver.Extends,
    driver.Mails,
    driver.OtherNodes,
    driver.Site,
):
    """OAR, from 2.5.9."""

    name = "oar"
    title = "OAR"
    command = "oarsub"
    question = tuple(bounded("sh", "-c", "oarsub -V && exec oarstat -u"))
    carriers = ("oarsh", "ssh")
    is_private = True  # oarsh is ssh, with a key of OAR's
    lacks = options.LACKS
    options = options.OPTIONS
    further = "oarsub_args"
    guarded = ("OAR_*", "OARDO_*", "OARUSER", "OARDIR")
    causes = reasons.CAUSES
    number = r"[1-9]\d*"
    way_back = (
        "oarsh goes to OAR's own ssh server on the node, usually at port 6667: a "
        "firewall must let this host in there."
    )
    by_name = script.BY_NAME
    by_number = script.BY_NUMBER

    def recognizes(self, completed: Completed) -> bool:
        """Whether that is what OAR says to `question`, and somebody answered."""
        return completed.returncode == 0 and bool(_VERSION.search(completed.stdout))

    def contradictions(self, config: Mapping[str, Any]) -> Iterator[str]:
        yield from options.contradictions(config)

    # Before it is submitted

    def version(self) -> Query[str]:
        return Query(["oarsub", "-V"], _version)

    def doubts(self, request: JobRequest) -> Query[list[str]] | None:
        """Nothing: oarsub refuses at once what its nodes could never give."""
        return None

    def offers(self, option: str, user: str) -> Query[list[str]] | None:
        return site.offers(option)

    # Submission

    def submission(self, request: JobRequest, script: str) -> Submission:
        """Return how to submit it; the directory is one that every node has."""
        self.check(request)
        argv = ["oarsub", f"--name={request.name}", "--directory=/"]
        argv += [f"--stdout={request.output}", f"--stderr={request.output}"]
        argv += options.flags(request.options)
        kept = f"{request.output}.script"
        return Submission(
            submitting(kept, argv, login=request.login), script, _submitted
        )

    def mail(self, on: Collection[str], to: str) -> tuple[str, ...]:
        if not to:
            text = "OAR sends mail to an address that is given: say to whom"
            raise ConfigError(text)
        words = {"begin": "RUNNING", "end": "END", "fail": "ERROR"}
        when = ",".join(words[word] for word in on)
        return (f"--notify=[{when}]mail:{to}",)

    def notice(self, completed: Completed) -> str:
        """Return the site's lines, which are those of its admission rules."""
        said = f"{completed.stderr}\n{completed.stdout}"
        lines = (line.strip() for line in said.splitlines())
        kept = [line for line in lines if line and not _NO_NOTICE.match(line)]
        return "\n".join(kept)

    def submit_advice(self, completed: Completed) -> str:
        return words.submit(completed)

    def is_no_answer(self, completed: Completed) -> bool:
        return completed.returncode != 0 and answers.is_no_answer(completed)

    def script_head(self, request: JobRequest) -> str:
        return script.HEAD

    def node_head(self) -> str:
        return script.HEAD

    # A job that is there

    def status(
        self, job_ids: Sequence[JobId]
    ) -> Sequence[Query[dict[JobId, JobStatus]]]:
        return [Query(_oarstat(job_ids), lambda done: answers.known(done, job_ids))]

    def ended(self, job_id: JobId) -> Sequence[Query[JobStatus | None]]:
        def parse(completed: Completed) -> JobStatus | None:
            return answers.known(completed, [job_id]).get(job_id)

        return [Query(_oarstat([job_id]), parse)]

    def own(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        return [Query(bounded(*_OARSTAT, "-u", user), answers.jobs)]

    def extend(self, job_id: JobId, minutes: int) -> Query[None]:
        def parse(completed: Completed) -> None:
            if self.is_no_answer(completed):
                raise answers.no_answer(completed)
            denied = re.match(r"Forbidden|Not available", completed.stdout)
            completed.check(
                DeniedError if denied else CommandError,
                f"The time limit of job {job_id} was not moved.",
                "Sites say how far it can be moved, and most do not allow it: "
                f"`oarwalltime {job_id}` shows it. Save your work and start the kernel "
                "anew with more 'walltime'.",
            )

        more = f"+{minutes // 60}:{minutes % 60:02}:00"
        return Query(bounded("oarwalltime", job_id.number, more), parse)

    # Its end

    def cancel(self, job_id: JobId) -> Query[None]:
        def parse(completed: Completed) -> None:
            if self.is_no_answer(completed):
                raise answers.no_answer(completed)
            if not _GONE.search(completed.stderr):
                advice = ""
                if _NOT_YOURS.search(completed.stderr):
                    advice = (
                        f"`oarstat -f -j {job_id}` shows whose it is, if it is there."
                    )
                summary = "The job could not be cancelled."
                completed.check(CommandError, summary, advice)

        return Query(bounded("oardel", job_id.number), parse)

    def cancel_by_name(self, request: JobRequest) -> list[str]:
        wanted = f"job_name = '{request.name}' AND {_LIVE}"
        return bounded("oardel", "--sql", wanted)

    # The way into it

    def into(self, job_id: JobId, node: str, argv: Sequence[str]) -> list[str]:
        """Return how to run it by oarsh, which makes one text of it for a shell there.

        That may be a bash that reads ~/.bashrc, as Debian's does under ssh: what this
        prints comes before anything of ours, and is skipped by whoever opens the way.
        """
        to = ["env", f"OAR_JOB_ID={job_id}", "oarsh", "-q", node]
        return held(*to, shlex.join(argv))

    # Its words

    def never(self, status: JobStatus, options: Mapping[str, Any]) -> str | None:
        return words.never(status)

    def pending_text(self, status: JobStatus) -> str:
        return words.pending(status)

    def pending_advice(self, status: JobStatus) -> str:
        return words.advice(status)

    def ended_text(self, status: JobStatus) -> str:
        return words.ended(status)


def _oarstat(job_ids: Sequence[JobId]) -> list[str]:
    """Ask for jobs in full: what ended one is told in no other way."""
    numbers = [word for job_id in job_ids for word in ("-j", job_id.number)]
    return bounded(*_OARSTAT, "-f", *numbers)


def _submitted(completed: Completed) -> JobId:
    found = _SUBMITTED.findall(completed.stdout)
    if not found:
        text = "oarsub printed no job id"
        raise ValueError(text)
    return JobId(found[-1])


def _version(completed: Completed) -> str:
    found = _VERSION.search(completed.stdout)
    return found[1].strip() if found else ""
