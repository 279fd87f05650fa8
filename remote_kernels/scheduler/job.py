"""What a job is, whatever batch system runs it: its ID, a request, a state, a command.

Rules: values only. Unknown input is normal: a state that no driver knows is
`Phase.UNKNOWN`, which means alive. Called by drivers and by all who use them.
"""

from __future__ import annotations

import enum
import os
import pwd
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from remote_kernels.errors import CommandError, ControllerError, RemoteKernelError

OUR_NAME = re.compile(r"jupyter-[0-9a-f]{8}")
"""The names of our jobs: "jupyter-" and the beginning of the kernel's ID."""

SUBMITTED = "submitted"
"""Our word for the state of a job of which the batch system has said nothing yet."""

T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=CommandError)


@dataclass(frozen=True)
class JobId:
    """A job, as its driver has named it; nobody else takes it apart.

    Parameters
    ----------
    number : str
        What people read, and what the batch system's own commands take: "4711".
    where : str
        What the driver needs besides to find the job, such as the name of a cluster.
    """

    number: str
    where: str = ""

    def __str__(self) -> str:
        return self.number


@dataclass(frozen=True)
class JobRequest:
    """What a job is to be.

    Parameters
    ----------
    name : str
        The job's name in the batch system's lists; "" for a user's own script that is
        to be called as it says.
    output : str
        The absolute path of its log.
    options : mapping
        The driver's options, by the names that the driver has for them.
    user : str
        The user's number (UID), as text.
    login : bool
        Whether the script wants a login shell.
    variables : mapping
        What the script has to set, as nobody else does; for the driver's own use.
    """

    name: str
    output: str
    options: Mapping[str, Any] = field(default_factory=dict)
    user: str = ""
    login: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Completed:
    """A command that was run to its end, and all that it said."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def error(self, kind: type[E], summary: str, advice: str = "") -> E:
        """Return an error that tells all that the command said."""
        said = self.stdout, self.stderr
        return kind(summary, self.argv, self.returncode, *said, advice)

    def check(self, kind: type[E], summary: str, advice: str = "") -> None:
        """Raise such an error if the command failed."""
        if self.returncode != 0:
            raise self.error(kind, summary, advice)


@dataclass(frozen=True)
class Query(Generic[T_co]):
    """A command, and what its answer means.

    Parameters
    ----------
    argv : sequence of str
        The command.
    parse : callable
        Makes a value of what it said. Raises ControllerError where the batch system
        did not answer, which says nothing about any job, and CommandError for a
        refusal. Called by `answer`.
    """

    argv: Sequence[str]
    parse: Callable[[Completed], T_co]

    def answer(self, completed: Completed) -> T_co:
        """Return what the command's answer means; one that has no sense is none."""
        try:
            return self.parse(completed)
        except RemoteKernelError:
            raise
        except Exception as error:  # as of half an answer, or of another version's
            msg = f"The answer of {self.argv[0]} is not understood ({error!r})."
            raise completed.error(ControllerError, msg) from error


@dataclass(frozen=True)
class Submission:
    """A command that submits a job.

    Parameters
    ----------
    argv : sequence of str
        The command.
    stdin : str
        What it reads on standard input: often the script.
    parse : callable
        Finds the new job's ID in what the command said, though it may have said more.
        ValueError if there is none.
    cwd : str or None
        The directory in which it is to run; None: any.
    """

    argv: Sequence[str]
    stdin: str
    parse: Callable[[Completed], JobId]
    cwd: str | None = None


class Phase(enum.Enum):
    """Where a job is in its life. `UNKNOWN` is a word that we do not know: still there."""

    PENDING = "pending"
    RUNNING = "running"
    ENDING = "ending"
    SUSPENDED = "suspended"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class JobStatus:
    """What the batch system says of one job.

    Parameters
    ----------
    job_id, phase
        Which job, and where it is in its life.
    state, reason : str
        The batch system's own words.
    node : str or None
        Where the script runs.
    exit_code, signal : int or None
        How the script ended.
    start_time, end_time : float or None
        When the job started, or is expected to; when it ended, or will at its time
        limit. Seconds since the epoch, None where that is not told.
    standing : float
        For how long we have seen this state and reason without a change, in seconds;
        0 where nobody watches.
    place : int or None
        Its place among the jobs that wait for the same queue, from 1.
    name : str
        The job's name, where it is told.
    by_itself : bool
        Whether its script ended, as against something that ended the job.
    vague : bool
        Whether another way of asking may tell more.
    queue : str
        The queue on its node, where that may limit the job's time; in a list of all
        jobs, the one that it is in, or waits for.
    submit_time : float or None
        When it was submitted, in seconds since the epoch, where that is told.
    """

    job_id: JobId
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
    by_itself: bool = False
    vague: bool = False
    queue: str = ""
    submit_time: float | None = None


def named_signal(number: int) -> str:
    """Return a signal's number, with its name where it has one: "9 (SIGKILL)"."""
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def login_name() -> str:
    """Return this user's name; the number where it has none, as in some containers."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
