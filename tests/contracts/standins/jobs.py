"""The jobs of a stand-in for a batch system: directories, each really run as a process.

A stand-in answers as a batch system's commands do; its first lines say what it cannot
show. Its jobs are directories in $STANDIN_HOME, with their numbers for names. Each has
a holder, a process that waits for the job's turn, runs it, and writes how it ended.
Tests change what all commands do by a file there:

    asleep   nobody answers (see `answers`)
    slots    how many jobs may run at once; else all may
    first    the number before the first job's
    forgets  what has ended is not known any more (for the stand-in to obey)

Rules: standard library only. Commands write what is `wanted` of a job, and wake its
holder, which alone writes `began` and `ended`. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

HOME = Path(os.environ.get("STANDIN_HOME", "/nowhere"))
LOOK = 0.05  # seconds between two looks at whether it is a job's turn
CANCELLED, TIMED_OUT, NOT_STARTED = "cancel", "limit", "start"
TERM_THEN_KILL = ((signal.SIGTERM, 2.0),)
_WAKE = {signal.SIGUSR1, signal.SIGCHLD}
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Request:
    """A job to be.

    Parameters
    ----------
    script : str
        What the shell runs.
    output : str
        Where both of its streams go; opened when it starts.
    environ : mapping
        All of its environment.
    shell : sequence of str
        What runs the script, whose path is its last argument.
    limit : float or None
        Seconds that it may run.
    held : bool
        Whether it waits until it is released.
    on_limit, on_cancel : sequence
        The signals that all of its processes get at its limit, and when it is
        cancelled, each with the seconds to wait for its end; SIGKILL follows.
    facts : mapping
        What else the stand-in remembers of it: anything that JSON can say.
    """

    script: str
    output: str
    environ: Mapping[str, str]
    shell: Sequence[str] = ("/bin/bash",)
    limit: float | None = None
    held: bool = False
    on_limit: Sequence[tuple[int, float]] = TERM_THEN_KILL
    on_cancel: Sequence[tuple[int, float]] = TERM_THEN_KILL
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class End:
    """How a job ended: by itself, or by CANCELLED, TIMED_OUT or NOT_STARTED."""

    at: float
    code: int | None = None
    signal: int | None = None
    by: str = ""


@dataclass(frozen=True)
class Job:
    """One of them, by its number."""

    number: int

    @property
    def directory(self) -> Path:
        return HOME / str(self.number)

    @property
    def state(self) -> str:
        """One of waiting, held, running, suspended, ended."""
        holder, wanted = self._read("holder"), self.wanted
        if (self.directory / "ended").exists() or (holder and not _lives(holder)):
            return "ended"
        if self.began is not None:
            return "suspended" if wanted["suspended"] else "running"
        return "held" if wanted["held"] else "waiting"

    @property
    def began(self) -> float | None:
        """When it began to run, in seconds since the epoch."""
        return self._read("began")  # type: ignore[no-any-return]

    @property
    def end(self) -> End | None:
        """How it ended; None if it has not, or its holder was killed."""
        said = self._read("ended")
        return End(**said) if said else None

    @property
    def wanted(self) -> dict[str, Any]:
        """What commands want of it: held, suspended, cancelled, limit, facts."""
        return self._read("wanted")  # type: ignore[no-any-return]

    @property
    def facts(self) -> dict[str, Any]:
        """What the stand-in remembers of it."""
        return self.wanted["facts"]  # type: ignore[no-any-return]

    def submit(self, request: Request) -> None:
        """Hand it to its holder, which goes on without us."""
        wanted = {"limit": request.limit, "facts": dict(request.facts)}
        no = {"suspended": False, "cancelled": False}
        self._write("wanted", {"held": request.held, **no, **wanted})
        (self.directory / "script").write_text(request.script)
        (self.directory / "script").chmod(0o700)
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                _hold(self, request, writer)
            os._exit(0)
        os.close(writer)
        os.wait()
        os.read(reader, 1)  # until there is a holder
        os.close(reader)

    def change(self, **wanted: Any) -> None:
        """Want this of it from now on: held, cancelled, limit, facts."""
        with _locked():
            self._write("wanted", {**self.wanted, **wanted})
        self._wake()

    def cancel(self) -> None:
        """End it, whether it waits or runs; this does not wait for the end."""
        self.change(cancelled=True)

    def suspend(self, suspended: bool = True) -> None:
        """Stop all of its processes, or let them go on."""
        self.change(suspended=suspended)
        self.signal(signal.SIGSTOP if suspended else signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send a signal to all of its processes."""
        if self.state != "ended":
            _kill(_descendants(self._read("holder")[0]), number)

    def _wake(self) -> None:
        if self.state != "ended":
            _kill([self._read("holder")[0]], signal.SIGUSR1)

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.directory / name).read_text())
        except FileNotFoundError:
            return None

    def _write(self, name: str, value: object) -> None:
        """Beside, and renamed: who reads has all of it."""
        beside = self.directory / f"{name}.{os.getpid()}"
        beside.write_text(json.dumps(value))
        beside.replace(self.directory / name)


def answers() -> bool:
    """Whether somebody is there to answer the commands."""
    return HOME.is_dir() and not (HOME / "asleep").exists()


def setting(name: str) -> str | None:
    """What a test has written to that file; None if there is none."""
    path = HOME / name
    return path.read_text().strip() if path.exists() else None


def jobs() -> list[Job]:
    """All of them, in the order of their numbers."""
    numbers = (int(path.name) for path in HOME.iterdir() if path.name.isdigit())
    return [Job(number) for number in sorted(numbers) if Job(number).wanted]


def new() -> Job:
    """A job with a number that none had before, to be submitted."""
    with _locked():
        number = int(setting("last") or setting("first") or 0) + 1
        (HOME / "last").write_text(str(number))
        Job(number).directory.mkdir()
    return Job(number)


# --- the holder of a job --------------------------------------------------------------


def _hold(job: Job, request: Request, writer: int) -> NoReturn:
    """Be its holder, who lets go of all that the command had."""
    with contextlib.suppress(BaseException):
        signal.pthread_sigmask(signal.SIG_BLOCK, _WAKE)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        job._write("holder", [os.getpid(), _stat(os.getpid())[1]])
        os.closerange(3, 64)
        end = End(0, by=CANCELLED)
        if _has_its_turn(job):
            end = _run(job, request)
        job._write("ended", {**vars(end), "at": time.time()})
    os._exit(0)


def _has_its_turn(job: Job) -> bool:
    """Wait for a slot; earlier jobs go first. False if it is cancelled before."""
    while not job.wanted["cancelled"]:
        with _locked():
            before = [each for each in jobs() if _is_before(each, job)]
            slots = setting("slots")
            if job.state == "waiting" and (not slots or len(before) < int(slots)):
                job._write("began", time.time())
                return True
        signal.sigtimedwait(_WAKE, LOOK)
    return False


def _is_before(other: Job, job: Job) -> bool:
    state = other.state
    return state in ("running", "suspended") or (
        state == "waiting" and other.number < job.number
    )


def _run(job: Job, request: Request) -> End:
    """Run the script to its end, and leave nothing of it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    argv = [*request.shell, str(job.directory / "script")]
    os.chdir(request.environ.get("HOME", "/"))
    try:
        pid = os.posix_spawn(
            argv[0],
            argv,
            request.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, request.output, flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
    except OSError:
        return End(0, by=NOT_STARTED)
    status, by = _see_to(job, pid, request)
    with contextlib.suppress(ChildProcessError):  # when there is nobody any more
        while True:
            _kill(_descendants(os.getpid()), signal.SIGKILL)
            os.waitpid(-1, 0)
    code = os.waitstatus_to_exitcode(status)
    return End(0, code, by=by) if code >= 0 else End(0, None, -code, by)


def _see_to(job: Job, pid: int, request: Request) -> tuple[int, str]:
    """Wait for its end, and send what ends it: its wait status, and why that was."""
    by, due = "", float("inf")
    steps: list[tuple[int, float]] = []
    while (status := _reaped(pid)) is None:
        wanted, now = job.wanted, time.time()
        limit = (job.began or now) + (wanted["limit"] or float("inf"))
        if not by and wanted["cancelled"]:
            by, due, steps = CANCELLED, now, [*request.on_cancel]
        elif not by and now >= limit:
            by, due, steps = TIMED_OUT, now, [*request.on_limit]
        if now >= due:
            number, patience = steps.pop(0) if steps else (signal.SIGKILL, 1.0)
            _kill(_descendants(os.getpid()), number, signal.SIGCONT)
            due = now + patience
        rest = (due if by else limit) - now
        signal.sigtimedwait(_WAKE, min(max(rest, 0.01), 60.0))
    return status, by


def _reaped(wanted: int) -> int | None:
    """Reap what has ended; the wait status of that process if it is among it."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid in (0, wanted):
            return status if pid else None


# --- processes ------------------------------------------------------------------------


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    with (HOME / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _stat(pid: int) -> tuple[int, str]:
    """Parent and start time of a process; a zombie is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0, ""
    fields = text.rpartition(")")[2].split()  # the name before may hold spaces
    return (0, "") if fields[0] in "ZX" else (int(fields[1]), fields[19])


def _lives(holder: Sequence[Any]) -> bool:
    """Whether it is still the process that it was."""
    pid, start = holder
    return _stat(pid)[1] == str(start)


def _descendants(ancestor: int) -> list[int]:
    parents = {
        int(path.name): _stat(int(path.name))[0]
        for path in Path("/proc").iterdir()
        if path.name.isdigit()
    }
    below = [ancestor]
    for pid in below:
        below += [child for child, parent in parents.items() if parent == pid]
    return below[1:]


def _kill(pids: Sequence[int], *numbers: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            for number in numbers:
                os.kill(pid, number)
