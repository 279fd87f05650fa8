"""A batch system of one machine: submit, status, own, cancel, cancel-name.

Rules: stands alone (standard library only, Python 3.9, run with `-I -S`); the only
state is the job's own holder process, and the exit code that it writes beside the
job's output when the job has ended. A job id is "PID-START;OUTPUT": the holder and
the time it started, safe when numbers are used again, and where the exit code is.
Run with the arguments that
`driver.py` makes. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_ENDED = ".ended"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the command that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(description="Jobs on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    submit = commands.add_parser("submit", help="run the script on standard input")
    submit.add_argument("--name", required=True)
    submit.add_argument("--output", required=True)
    submit.add_argument("--grace", type=float, default=10.0)
    for name in ("status", "cancel"):
        commands.add_parser(name).add_argument("jobs", nargs="+")
    commands.add_parser("own", help="the status of all jobs of this user")
    commands.add_parser("cancel-name").add_argument("name")
    args = parser.parse_args()
    if args.command == "submit":
        return _submit(sys.stdin.buffer.read(), args.output, args.grace)
    if args.command == "status":
        _status(args.jobs)
    elif args.command == "own":
        _own()
    elif args.command == "cancel":
        _cancel(args.jobs)
    else:
        _cancel_name(args.name)
    return 0


# --- submit -------------------------------------------------------------------------


def _submit(script: bytes, output: str, grace: float) -> int:
    """Start the holder, detached, and print the job's id once the job runs."""
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        os.setsid()
        if os.fork():
            os._exit(0)
        _hold(script, log, writer, Path(output + _ENDED), grace)
    os.close(writer)
    os.wait()
    with os.fdopen(reader, encoding="ascii") as answer:
        holder = answer.read()
    if not holder:
        print(f"the job could not be started; see {output}", file=sys.stderr)
        return 1
    print(f"{holder};{output}")
    return 0


def _hold(script: bytes, log: int, writer: int, ended: Path, grace: float) -> None:
    """Be the job's holder: never returns."""
    code = 1
    try:
        _detach(log)
        job = _start(script)
        os.write(writer, f"{os.getpid()}-{_start_time(os.getpid())}".encode())
        os.close(writer)
        _await(job, ended, grace)
        code = 0
    except OSError as error:
        print(f"local job: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def _detach(log: int) -> None:
    """Let go of the submitter; orphans of the job become children of the holder."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Held back from now on, and taken by sigtimedwait: no handler, no race.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _start(script: bytes) -> int:
    """Start the script by its own first line, from memory: it never is on a disk."""
    memory = os.memfd_create("script", 0)
    with os.fdopen(os.dup(memory), "wb") as file:
        file.write(script)
    first = script.partition(b"\n")[0].decode()
    argv = shlex.split(first[2:]) if first.startswith("#!") else ["/bin/sh"]
    os.set_inheritable(memory, True)
    pid = os.fork()
    if pid == 0:
        _become([*argv, f"/proc/self/fd/{memory}"])
    os.close(memory)
    return pid


def _become(argv: list[str]) -> None:
    """In the child: a session of its own, which ends with its holder."""
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execv(argv[0], argv)  # noqa: S606 -- this is what a batch system does
    except OSError as error:
        print(f"local job: {argv[0]}: {error}", file=sys.stderr, flush=True)
    os._exit(127)


def _await(job: int, ended: Path, grace: float) -> None:
    """Wait for the job; pass SIGTERM on, SIGKILL after the grace; leave nothing."""
    deadline = None
    while (status := _reap(job)) is None:
        left = 3600.0 if deadline is None else max(0.1, deadline - time.monotonic())
        info = signal.sigtimedwait({signal.SIGTERM, signal.SIGCHLD}, left)
        if info is not None and info.si_signo == signal.SIGTERM and deadline is None:
            deadline = time.monotonic() + grace
            _kill(_descendants(), signal.SIGTERM)
        elif deadline is not None and time.monotonic() >= deadline:
            _kill(_descendants(), signal.SIGKILL)
    _record(ended, status, cancelled=deadline is not None)
    _sweep()


def _reap(job: int) -> int | None:
    """Reap what has ended; the wait status of the job if it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid in (0, job):
            return status if pid == job else None


def _record(ended: Path, status: int, cancelled: bool) -> None:
    """Written beside and renamed; its directory may be gone by now."""
    if os.WIFSIGNALED(status):
        code, number = 0, os.WTERMSIG(status)
    else:
        code, number = os.WEXITSTATUS(status), 0
    state = "CANCELLED" if cancelled else "FAILED" if code or number else "COMPLETED"
    with contextlib.suppress(OSError):
        beside = ended.with_name(ended.name + ".new")
        beside.touch(0o600)
        beside.write_text(f"{state}|{code}|{number}|{time.time():.0f}\n")
        beside.replace(ended)


def _sweep() -> None:
    """End what the job left running, as a batch system does at the end of a job."""
    while True:
        _kill(_descendants(), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _descendants() -> list[int]:
    """All processes below the holder; those in sessions of their own too."""
    parents = {pid: found[0] for pid in _pids() if (found := _stat(pid))}
    below = [os.getpid()]
    for pid in below:
        below += [child for child, parent in parents.items() if parent == pid]
    return below[1:]


def _kill(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


# --- status and cancel --------------------------------------------------------------


def _status(jobs: list[str]) -> None:
    """Print a line for each job: ID|STATE|CODE|SIGNAL|END|NODE."""
    for job in jobs:
        print(_line(job))


def _line(job: str) -> str:
    holder, _, output = job.partition(";")
    try:
        found = Path(output + _ENDED).read_text().strip()
    except OSError:
        found = ""
    if _holder(holder) is None:
        return f"{job}|{found or 'UNKNOWN|||'}|{socket.gethostname()}"
    state = "COMPLETING" if found else "RUNNING"
    return f"{job}|{state}||||{socket.gethostname()}"


def _own() -> None:
    """Print a line for each live job of this user: NAME|, then as `_status` does."""
    for pid, options in _holders():
        with contextlib.suppress(OSError):  # it has just ended
            if Path(f"/proc/{pid}").stat().st_uid == os.getuid():
                job = f"{pid}-{_start_time(pid)};{options.get('--output', '')}"
                print(f"{options.get('--name', '')}|{_line(job)}")


def _cancel(jobs: list[str]) -> None:
    """Ask the holders; they do the rest, so this returns at once."""
    for job in jobs:
        pid = _holder(job.partition(";")[0])
        if pid is not None:
            _kill([pid], signal.SIGTERM)


def _cancel_name(name: str) -> None:
    for pid, options in _holders():
        if options.get("--name") == name:
            with contextlib.suppress(PermissionError):
                _kill([pid], signal.SIGTERM)


def _holders() -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the processes that hold jobs, or are about to, and the options of the job."""
    for pid in _pids():
        words = _command_line(pid)
        if "submit" in words and __file__ in words:
            yield pid, dict(word.partition("=")[::2] for word in words if "=" in word)


def _holder(holder: str) -> int | None:
    """Return the holder's process number, if it still is the process that it was."""
    pid, _, start = holder.partition("-")
    if not pid.isdigit() or _start_time(int(pid)) != start:
        return None
    return int(pid)


# --- /proc --------------------------------------------------------------------------


def _pids() -> list[int]:
    return [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()
    ]


def _stat(pid: int) -> tuple[int, str] | None:
    """Parent and start time of a live process; a zombie is dead."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold spaces
    return None if fields[0] in "ZX" else (int(fields[1]), fields[19])


def _start_time(pid: int) -> str | None:
    found = _stat(pid)
    return found[1] if found else None


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (OSError, UnicodeDecodeError):
        return []


if __name__ == "__main__":
    sys.exit(main())
