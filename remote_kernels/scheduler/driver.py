"""The boundary to every batch system: what a driver must do, and what some can besides.

Rules: pure. A driver is argv out, text in: it runs nothing, and never learns how or
where its commands are run. What only some batch systems can do is a capability: a
class of its own, which callers ask for (`isinstance(driver, Extends)`). A batch
system is a folder here (see `drivers.py`), and nobody outside of it, its magics and
its launcher in `cluster/` knows its commands, variables, options or words.
"""

from __future__ import annotations

import abc
import json
import re
import shutil
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from remote_kernels.causes import EndCause
from remote_kernels.errors import ConfigError
from remote_kernels.options import Option

from .free import Estimate, Queue
from .job import Completed, JobId, JobRequest, JobStatus, Query, Submission


class Driver(abc.ABC):
    """One batch system."""

    name: ClassVar[str]
    """What the kernelspec's `scheduler` calls it."""
    title: ClassVar[str]
    """What people call it."""
    command: ClassVar[str]
    """The program that must be there: a name on PATH, or a path."""
    is_fallback: ClassVar[bool] = False
    """Whether it is chosen only where no other one is here."""
    rank: ClassVar[int] = 50
    """Where nothing else decides, the lower one comes first: more sites have it."""
    carriers: ClassVar[tuple[str, ...]] = ("ssh",)
    """The carriers that can reach its jobs, the best one first."""
    options: ClassVar[tuple[Option, ...]] = ()
    """What may be asked of a job, by the batch system's own names."""
    further: ClassVar[str] = ""
    """The option that takes further arguments for its command, if there is one."""
    further_form: ClassVar[tuple[str, ...]] = ("--{}=...",)
    """How an option of that name would be given there."""
    lacks: ClassVar[Mapping[str, str]] = {}
    """What others can be asked for and it cannot, and what to do instead: sentences."""
    allowed: ClassVar[tuple[str, ...]] = ()
    """Variables of the server's environment that its commands need."""
    guarded: ClassVar[tuple[str, ...]] = ()
    """Patterns of variables that speak of the job they were found in."""
    number: ClassVar[str] = r"\d+"
    """What the numbers of its jobs look like: a regular expression."""
    causes: ClassVar[Mapping[str, EndCause]] = {}
    """Why a job ended that did not end by itself: by `JobStatus.state`, or `reason`, or
    the first word of either."""
    question: ClassVar[tuple[str, ...]] = ()
    """A command by which `recognizes` can tell whether it is here; quick, harmless."""
    is_login: ClassVar[bool] = False
    """Whether it runs every script in a login shell, asked to or not."""

    # Which one is here, and what may be asked of it

    @classmethod
    def is_here(cls, environ: Mapping[str, str]) -> bool:
        """Return whether jobs can be submitted from this host, by a look at PATH."""
        return shutil.which(cls.command, path=environ.get("PATH")) is not None

    def recognizes(self, completed: Completed) -> bool:
        """Return whether the answer to `question` is this batch system's.

        Another one may have commands of these names; this one may be silent.
        """
        return True

    def knows(self, job_id: JobId) -> bool:
        """Return whether this could be a job of its own.

        What is none may make the batch system refuse the whole question.
        """
        return re.fullmatch(self.number, job_id.number) is not None

    def contradictions(self, config: Mapping[str, Any]) -> Iterator[str]:
        """Yield what cannot be together in a kernelspec's config, in a clause each."""
        yield from ()

    def check(self, request: JobRequest) -> None:
        """Raise ConfigError for a request that this batch system has no words for."""
        known = {option.name for option in self.options}
        asked = [name for name in request.options if name not in known]
        if asked:
            text = f"scheduler '{self.name}' has no option {', '.join(asked)}"
            raise ConfigError(text)

    def lacking(self, option: Option) -> str:
        """Return what to say of an option that only others have, and what to do."""
        for name in (option.name, option.portable, option.like):
            if name in self.lacks:
                return f"option '{option.name}': {self.lacks[name]}"
        shared = {option.portable, option.like} - {""}
        for own in self.options:
            if shared & {own.portable, own.like}:
                text = f"option '{option.name}': {self.title} has '{own.name}' for that"
                return f"{text}, for example {_as_json(own.name, own.example)}"
        if option.elsewhere:
            return f"option '{option.name}': {self.title} {option.elsewhere}"
        text = f"option '{option.name}': {self.title} has no such option"
        if not self.further:
            return text
        return f"{text}; what else {self.command} takes is given as '{self.further}'"

    def further_text(self, name: str) -> str:
        """Return how an option is given that its command may have; "" if there is no way."""
        if not self.further:
            return ""
        given = [word.format(name) for word in self.further_form]
        return (
            f"an option of {self.command} is given as {_as_json(self.further, given)}"
        )

    # A job

    @abc.abstractmethod
    def submission(self, request: JobRequest, script: str) -> Submission:
        """Return how to submit that script. May raise ConfigError."""

    @abc.abstractmethod
    def status(
        self, job_ids: Sequence[JobId]
    ) -> Sequence[Query[dict[JobId, JobStatus]]]:
        """Ask for these jobs, in as few commands as can be.

        A job that the batch system does not list any more is missing in the answers.
        """

    @abc.abstractmethod
    def own(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        """List the live jobs of this user (a login name), each with its name."""

    def every(self, user: str) -> Sequence[Query[list[JobStatus]]]:
        """List all live jobs of this user, whoever submitted them, for people.

        An array of jobs is one; queues and times are there where they are told.
        """
        return self.own(user)

    @abc.abstractmethod
    def cancel(self, job_id: JobId) -> Query[None]:
        """End a job. No error if it has ended already."""

    @abc.abstractmethod
    def cancel_by_name(self, request: JobRequest) -> list[str]:
        """Return a command that ends the job of this request, if that has one.

        It fails only where it is not known whether there is none: it is tried again.
        `["true"]` where jobs are not found by their names.
        """

    def script_head(self, request: JobRequest) -> str:
        """Return the lines of shell with which its batch script begins.

        They export RK_JOB_ID, RK_NODE, RK_CLUSTER, RK_NODES, RK_NODE_COUNT,
        RK_JOB_MARK and RK_LAUNCHERS as far as they are known (agent/job_facts.py says what
        they mean), and set rk_restarted to anything but 0 or "" where the batch
        system has started the job anew.
        """
        return ""

    # Its words

    def is_no_answer(self, completed: Completed) -> bool:
        """Return whether nobody answered that command, so that nothing is known."""
        return False

    def notice(self, completed: Completed) -> str:
        """Return what a submission that succeeded said besides, for the user; or ""."""
        return ""

    def submit_advice(self, completed: Completed) -> str:
        """Return what to do about a failed submission; "" if we do not know it."""
        return ""

    def never(self, status: JobStatus, options: Mapping[str, Any]) -> str | None:
        """Return why a job that waits can never start, and what to change.

        None if it may. `options` are those that it was submitted with.
        """
        return None

    def pending_text(self, status: JobStatus) -> str:
        """Return what a waiting job waits for, as a clause in plain words."""
        return f"waiting ({status.reason})" if status.reason else "waiting"

    def pending_advice(self, status: JobStatus) -> str:
        """Return what can be done about that; "" if there is only to wait."""
        return ""

    @abc.abstractmethod
    def ended_text(self, status: JobStatus) -> str:
        """Return how a job ended, in plain words, and what to change."""

    def cause(self, status: JobStatus) -> EndCause:
        """Return why a job ended, for programs to decide by."""
        for text in (status.state, status.reason):
            for word in (text, re.split(r"[:+ ]", text)[0]):
                if word in self.causes:
                    return self.causes[word]
        if status.signal == signal.SIGKILL:
            return EndCause.KILLED
        if status.signal or status.exit_code:
            return EndCause.FAILED
        return EndCause.FINISHED if status.by_itself else EndCause.UNKNOWN


def _as_json(name: str, value: object) -> str:
    """Return how kernel.json has it."""
    return json.dumps({name: value})[1:-1]


# What some can


class Clusters(abc.ABC):
    """The batch system has a name here: another one may share the home directory."""

    @abc.abstractmethod
    def cluster(self) -> Query[str | None]:
        """Ask for the name of the cluster that its commands speak to."""


class Preflight(abc.ABC):
    """Some requests need answers before they can be submitted."""

    @abc.abstractmethod
    def questions(self, request: JobRequest) -> Sequence[Query[Any]]:
        """Return what must be asked before that can be submitted."""

    @abc.abstractmethod
    def prepared(self, request: JobRequest, answers: Sequence[Any]) -> JobRequest:
        """Return the request as those answers make it. ConfigError if it can't be."""


class Ends(abc.ABC):
    """Somebody can be asked how a job ended."""

    late: ClassVar[float] = 0.0
    """Seconds until who is asked is sure to know it."""

    @abc.abstractmethod
    def ended(self, job_id: JobId) -> Sequence[Query[JobStatus | None]]:
        """Return ways to ask, in the order in which to try them.

        None, for an answer, if that way does not know.
        """


class Places(abc.ABC):
    """There are queues in which a job has a place."""

    @abc.abstractmethod
    def places(self, job_ids: Sequence[JobId]) -> Query[dict[JobId, int]]:
        """Ask where these jobs are in their queues, from 1.

        The answer may be long, as it has the jobs of all users: to be asked seldom.
        """


class Reasons(abc.ABC):
    """What a job waits for has to be asked for besides."""

    @abc.abstractmethod
    def reasons(self, job_ids: Sequence[JobId]) -> Query[dict[JobId, str]]:
        """Ask what these jobs wait for: to be asked seldom."""


class Limits(abc.ABC):
    """A job that asked for no time limit may have its queue's, to be asked for besides."""

    @abc.abstractmethod
    def limits(self, queues: Sequence[str]) -> Query[dict[str, float]]:
        """Ask for how many seconds these queues (JobStatus.queue) let a job run.

        One without a limit is missing in the answer.
        """


class Extends(abc.ABC):
    """Time limits can be moved while a job runs."""

    @abc.abstractmethod
    def extend(self, job_id: JobId, minutes: int) -> Query[None]:
        """Move the job's time limit. DeniedError where the site allows no such thing."""


class Scripts(abc.ABC):
    """A user's own batch script can be submitted as it is."""

    @abc.abstractmethod
    def own_submission(self, request: JobRequest, path: str, script: str) -> Submission:
        """Return how to submit that script from its directory. May raise ConfigError.

        Lines of the script that speak to the batch system count; the request goes over
        them. The log is where they say, or where the batch system puts it: it is
        `request.output` only where there is no such place.

        Parameters
        ----------
        request
            What else is asked for.
        path, script
            Where the script is, and what is in it.
        """


class Logs(abc.ABC):
    """It can be asked where a job's log is."""

    @abc.abstractmethod
    def log_of(self, job_id: JobId) -> Query[str | None]:
        """Ask for the path of what a job's script writes; None where nobody tells."""


class Mails(abc.ABC):
    """It can send mail about a job."""

    @abc.abstractmethod
    def mail(self, on: Collection[str], to: str) -> tuple[str, ...]:
        """Return what the option `further` takes for that. ConfigError for what is not.

        Parameters
        ----------
        on
            When: some of "begin", "end" and "fail".
        to
            The address; "" for the one that the batch system has for this user.
        """


class Enters(abc.ABC):
    """A command can be run in a job from outside: a carrier."""

    is_private: ClassVar[bool] = False
    """Whether nobody can read or change what passes there."""
    says_little: ClassVar[bool] = False
    """Whether it writes so little on standard error that it may go to the job's log."""
    slow: ClassVar[float] = 0.0
    """Seconds that it may need to get there, where the job has just begun."""
    caution: ClassVar[str] = ""
    """What else is to be known before a kernel is left to it, as a clause."""
    way_back: ClassVar[str] = ""
    """What may be in the way where it gets no answer, for people."""

    @abc.abstractmethod
    def into(self, job_id: JobId, node: str, argv: Sequence[str]) -> list[str]:
        """Return a command that runs argv there.

        Its standard input and output are clean and binary.
        """

    def closed(self, options: Mapping[str, Any]) -> str:
        """Return why no command comes into a job with these options; "" if one does."""
        return ""


class OtherNodes(abc.ABC):
    """The agent can start another one on another node of its job.

    In these commands {job} and {node} stand for the job's number and the node.
    """

    by_name: ClassVar[tuple[str, ...]]
    """The command for a node that is named."""
    by_number: ClassVar[tuple[str, ...]]
    """The command for a node by its number in the job, from 0."""

    @abc.abstractmethod
    def node_head(self) -> str:
        """Return what `script_head` is on another node.

        It has what the agent on the first node has in its environment.
        """


class Site(abc.ABC):
    """It can be asked what this site has."""

    @abc.abstractmethod
    def version(self) -> Query[str]:
        """Ask for the version of its commands; "" if they do not tell."""

    @abc.abstractmethod
    def doubts(self, request: JobRequest) -> Query[list[str]] | None:
        """Ask what of a request this site cannot give, a sentence each."""

    @abc.abstractmethod
    def offers(self, option: str, user: str) -> Query[list[str]] | None:
        """Ask what this option of its own can be; None if nobody knows."""

    def slow_starts(self) -> Query[str | None] | None:
        """Ask whether jobs start late here even where there is room for them.

        The answer is what the site could change, in a sentence for people, or None;
        None instead of a question where nothing of that kind can be asked.
        """
        return None


class Queues(abc.ABC):
    """It can be asked what is free."""

    @abc.abstractmethod
    def queues(self) -> Query[list[Queue]]:
        """Ask for the queues that this user may use, in one command.

        Its answer may be long: to be asked seldom, and once for all who want it.
        """


class Estimates(abc.ABC):
    """It can be asked when a job would start, and whether it would be taken."""

    @abc.abstractmethod
    def estimates(self, request: JobRequest) -> Sequence[Query[Estimate | None]]:
        """Return ways to ask, in the order in which to try them; nothing is submitted.

        None, for an answer, if that way does not know. The request is prepared.
        """


class Adopts(abc.ABC):
    """Logins over ssh are taken into a job, perhaps into another one than was meant."""

    @abc.abstractmethod
    def adoption(self, cluster: str, node: str, job_id: JobId) -> Any:
        """Return what the ssh carrier is to know of that: a `tunnel` Adoption.

        Parameters
        ----------
        cluster, node, job_id
            Which job, on which node of which cluster, is to be reached.
        """
