"""Run a command from a cell, so that an interrupt ends it and leaves nothing behind.

A thread starts and follows the command; the cell's thread only waits for what it says.
Python raises KeyboardInterrupt in the main thread alone, so none is lost between the
start of a process and the note of its number. The command leads a process group of its
own, and gets SIGTERM when the kernel dies. `scheduler/command.py` does this on an event
loop, which a cell does not have. Called by all magics.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import queue
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from remote_kernels.errors import CommandError
from remote_kernels.scheduler.job import Completed

GRACE = 5.0  # seconds from SIGTERM to SIGKILL; a launcher ends its tasks meanwhile
TICK = 0.05  # seconds

# Not preexec_fn: with it Python forks, and the copy of a kernel of 100 GB may fail
# where vfork does not. Python ignores SIGPIPE, which exec would pass on.
_LAUNCH = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
if os.getppid() != int(sys.argv[1]):
    sys.exit("the kernel is gone")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[3:])
"""


class Failure(CommandError):
    """A command that failed, shown without a traceback of ours.

    It ends the cell, so that Run All stops there.
    """

    def __init__(self, error: CommandError, advice: str = "") -> None:
        text = f"{error}\n{advice}" if advice else str(error)
        Exception.__init__(self, text)
        self.argv = error.argv
        self.returncode = error.returncode
        self.stdout = error.stdout
        self.stderr = error.stderr

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows instead of a traceback."""
        return str(self).splitlines()


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    input: str = "",
    live: bool = False,
    timeout: float | None = None,
) -> Completed:
    """Run a command to its end, whatever its exit code is.

    Parameters
    ----------
    argv : sequence of str
        The command.
    env : mapping of str to str, optional
        Its environment; the kernel's own if None.
    input : str
        Its standard input.
    live : bool
        Whether to show what it says as it comes, instead of keeping it.
    timeout : float, optional
        Seconds until it is ended.

    Returns
    -------
    Completed
        Its exit code, and its output as far as that is kept.

    Raises
    ------
    CommandError
        It is not there, cannot be started, or did not end in time.
    """
    environ = dict(os.environ if env is None else env)
    path = shutil.which(argv[0], path=environ.get("PATH"))
    if path is None:
        raise _not_found(argv)
    follower = _Follower(path, argv, environ, input)
    kept: dict[str, list[str]] = {"stdout": [], "stderr": []}
    try:
        follower.start()
        for name, text in follower.said(timeout):
            if live:
                stream = getattr(sys, name)
                stream.write(text)
                stream.flush()
            else:
                kept[name].append(text)
    except TimeoutError:
        raise _too_slow(argv, timeout) from None
    finally:
        follower.end()
    if follower.error is not None:
        raise _not_started(argv, follower.error) from follower.error
    return Completed(
        tuple(argv),
        follower.returncode,
        "".join(kept["stdout"]),
        "".join(kept["stderr"]),
    )


class _Follower(threading.Thread):
    """Starts the command, reads what it says, and ends it when it is unwanted."""

    def __init__(
        self, path: str, argv: Sequence[str], env: dict[str, str], input: str
    ) -> None:
        super().__init__(name=f"follows {argv[0]}", daemon=True)
        self._path = path
        self._argv = argv
        self._env = env
        self._input = input
        self._pieces: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._unwanted = threading.Event()
        self._impatient = threading.Event()
        self._done = threading.Event()
        self._kill_at: float | None = None
        self.returncode = 0
        self.error: OSError | None = None

    # In the cell's thread

    def said(self, timeout: float | None) -> Iterator[tuple[str, str]]:
        """Yield pieces of its streams until its end.

        Raises TimeoutError if that does not come within `timeout` seconds.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            try:
                piece = self._pieces.get(timeout=left)
            except queue.Empty:
                raise TimeoutError from None
            if piece is None:
                return
            yield piece

    def end(self) -> None:
        """Return when it has ended. A second interrupt speeds this up."""
        self._unwanted.set()
        try:
            self._await_done()
        except KeyboardInterrupt:
            self._impatient.set()
            self._await_done()
            raise

    def _await_done(self) -> None:
        # Without an ident we never got to run, and will find that we are unwanted.
        while not self._done.wait(TICK) and self.ident is not None:
            pass

    # In its own thread

    def run(self) -> None:
        """Follow the command, as the thread."""
        try:
            if not self._unwanted.is_set():
                self._follow()
        except OSError as error:
            self.error = error
        finally:
            self._done.set()
            self._pieces.put(None)

    def _follow(self) -> None:
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid())]
        with contextlib.ExitStack() as stack:
            process = subprocess.Popen(
                [*launch, self._path, *self._argv],
                env=self._env,
                stdin=stack.enter_context(_file(self._input)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            stack.enter_context(process)
            ready = stack.enter_context(selectors.DefaultSelector())
            for name in ("stdout", "stderr"):
                decoder = codecs.getincrementaldecoder("utf-8")("replace")
                ready.register(
                    getattr(process, name), selectors.EVENT_READ, (name, decoder)
                )
            while self._read(ready) or not _has_ended(process):
                if self._unwanted.is_set():
                    self._end(process)
            _signal(process, signal.SIGKILL)  # what it started and left behind
        self.returncode = process.returncode

    def _read(self, ready: selectors.BaseSelector) -> bool:
        """Wait a little for what it says, and return whether it said something."""
        heard = False
        for key, _ in ready.select(TICK):
            data = os.read(key.fd, 65536)
            name, decoder = key.data
            self._pieces.put((name, decoder.decode(data, final=not data)))
            heard = heard or bool(data)
            if not data:
                ready.unregister(key.fileobj)
        return heard

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End it by SIGTERM, later by SIGKILL.

        Not by SIGINT: Slurm's launcher (22.05) asks for a second one within a second.
        """
        now = time.monotonic()
        if self._kill_at is None:
            self._kill_at = now + GRACE
            _signal(process, signal.SIGTERM)
        elif now > self._kill_at or self._impatient.is_set():
            _signal(process, signal.SIGKILL)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether it has ended, without reaping it.

    Until it is reaped its number stays its own, so that its group can be signalled.
    """
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, options) is not None


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _file(text: str) -> IO[bytes]:
    """Return a file, and not a pipe, to read the text from: nobody need feed it."""
    if not text:
        return Path(os.devnull).open("rb")
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's
    file.write(text.encode())
    file.seek(0)
    return file


def _not_found(argv: Sequence[str]) -> CommandError:
    advice = (
        f"Is {argv[0]} installed on this node and on the kernel's PATH? Some sites have "
        "the batch system's commands on login nodes only, or want a module to be loaded: a line "
        "of 'prologue' in the kernelspec can do that."
    )
    return CommandError(f"There is no {argv[0]} here.", argv, None, advice=advice)


def _not_started(argv: Sequence[str], error: OSError) -> CommandError:
    return CommandError(f"{argv[0]} could not be started: {error}.", argv, None)


def _too_slow(argv: Sequence[str], timeout: float | None) -> CommandError:
    summary = f"{argv[0]} did not answer within {timeout:g} s and was ended."
    advice = "The batch system may be overloaded or down; try again in a while."
    return CommandError(summary, argv, None, advice=advice)
