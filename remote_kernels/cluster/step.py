"""A step in this kernel's allocation: one command on some nodes, and its end.

The job's launcher runs `node.py` there, which gets its order through standard input.
The kernel holds the other end of that pipe, so a step ends with the kernel, however
that ends. What the step says is read as it comes, and its last lines are kept for
errors. Called by the file of each library.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from remote_kernels.cluster import node
from remote_kernels.cluster.allocation import Allocation
from remote_kernels.cluster.launcher import Launcher
from remote_kernels.errors import AllocationError, StepError

LINES = 200  # kept
ENDS = 15.0  # seconds for the nodes to end what they run; node.GRACE is part of it
LOOK = 0.1  # seconds

# A process group of its own, so that an interrupt of the cell does not reach the
# workers; the kernel's session, so that its agent sees that there is work (agent/culling.py).
_LAUNCH = "import os, sys; os.setpgid(0, 0); os.execvp(sys.argv[1], sys.argv[1:])"


@dataclass(frozen=True)
class Order:
    """What a step is to run, and where.

    Words may hold {dir}, {node}, {address}, {python}, and the names in `values`.

    Parameters
    ----------
    argv : sequence of str
        The command; without one, only the directory is made and held.
    env : mapping of str to str
        More variables of its environment. Nothing secret.
    files : mapping of str to str
        Files of mode 0600 to make first in the private directory {dir}, by name.
    values : mapping of str to mapping
        For each node, what stands for other {words}.
    nodes : sequence of str
        The names of the nodes; if there is none, the kernel's, without its GPUs.
    tasks : int
        How often to run it on each node.
    mpi : str
        See Launcher.argv.
    """

    argv: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    nodes: Sequence[str] = ()
    tasks: int = 1
    mpi: str = "none"

    def line(self, first: str, launcher: Launcher) -> bytes:
        """Return the order as `node.py` reads it.

        `first` is the address of the kernel's node.
        """
        body = {
            "node_variable": launcher.node_variable,
            "step_variable": launcher.step_variable,
            "argv": list(self.argv),
            "environ": launcher.carried(os.environ),
            "env": {"PATH": _path(), "PYTHONUNBUFFERED": "1", **self.env},
            "files": dict(self.files),
            "values": {name: dict(own) for name, own in self.values.items()},
            "first": first,
            "cwd": directory(),
        }
        return json.dumps(body).encode() + b"\n"


class Step:
    """A step that runs.

    Parameters
    ----------
    what : str
        What it is called in errors.
    argv : sequence of str
        The launcher's command.
    allocation : Allocation
        Where it runs.
    order : bytes
        What it is to run: see `Order.line`.

    Raises
    ------
    OSError
        The launcher cannot be started.
    """

    def __init__(
        self, what: str, argv: Sequence[str], allocation: Allocation, order: bytes
    ) -> None:
        self.what = what
        self._allocation = allocation
        self.directories: dict[str, Path] = {}
        self._argv = list(argv)
        self._number = ""
        self._lines: collections.deque[str] = collections.deque(maxlen=LINES)
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH]
        self._process = subprocess.Popen(
            [*launch, *argv],
            env=allocation.launcher.environment(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(
            target=self._read, name=f"reads {what}", daemon=True
        )
        self._reader.start()
        try:
            self._send(order.decode())
        except BaseException:
            self.close()
            raise

    def _send(self, order: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `check` tells why
            self._process.stdin.write(order)
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = re.match(rf"(?:\d+: )?{re.escape(node.READY)}(.*)", line)
            if found is None:
                self._lines.append(line)
                continue
            told = json.loads(found[1])
            self._number = told["step"]
            self.directories[told["node"]] = Path(told["directory"])

    def directory(self, end: float) -> Path:
        """Wait for the step's directory on the kernel's node, and return it.

        Raises StepError when the step ends first, or at `end` (of `time.monotonic`).
        """
        here = self._allocation.here
        until(self.what, lambda: here in self.directories, [self], end)
        return self.directories[here]

    def said(self) -> str:
        """Return the last lines of its output, each with the number of its task."""
        return "".join(list(self._lines))

    @property
    def returncode(self) -> int | None:
        """The launcher's exit code; None while it runs."""
        return self._process.poll()

    def find(self, pattern: str) -> re.Match[str] | None:
        """Return where its output matches a pattern; None if it does not yet."""
        return re.search(pattern, self.said())

    def check(self) -> None:
        """Raise StepError if it has ended."""
        if self.returncode is not None:
            self._reader.join(1.0)
            summary = f"{self.what} ended."
            raise self.error(summary)

    def error(self, summary: str) -> StepError:
        """Return an error with the command and its output."""
        said = self.said()
        advice = self._allocation.launcher.advice(said)
        return StepError(summary, self._argv, self.returncode, said, advice=advice)

    def close(self) -> None:
        """End the step, and return when nothing of it is left."""
        process = self._process
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        # SIGTERM: Slurm's launcher (22.05) kills the tasks at once.
        for more in (process.terminate, self._cancel, process.kill):
            try:
                process.wait(ENDS)
                break
            except subprocess.TimeoutExpired:
                more()
        process.wait()
        self._reader.join(1.0)
        if process.stdout is not None and not self._reader.is_alive():
            process.stdout.close()

    def _cancel(self) -> None:
        """Have the batch system end it, if the launcher does not manage to."""
        if self._number:
            allocation = self._allocation
            argv = allocation.launcher.cancel_argv(allocation, self._number)
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(argv, check=False, timeout=ENDS)


def start(what: str, allocation: Allocation, order: Order) -> Step:
    """Start a step.

    Parameters
    ----------
    what : str
        What it is called in errors.
    allocation : Allocation
        Where it runs.
    order : Order
        What to run.

    Raises
    ------
    StepError
        The launcher is not there, or cannot be started.
    """
    launcher = allocation.launcher
    argv = launcher.argv(
        allocation,
        order.nodes or [allocation.here],
        [sys.executable, "-I", "-S", str(Path(node.__file__))],
        tasks=order.tasks,
        mpi=order.mpi,
        gpus=bool(order.nodes),
    )
    if shutil.which(launcher.command) is None:
        summary = (
            f"{what} could not be started: no `{launcher.command}` is on the kernel's "
            "PATH."
        )
        advice = "Some sites want a module to be loaded: see 'prologue'."
        raise StepError(summary, argv, None, advice=advice)
    try:
        return Step(what, argv, allocation, order.line(allocation.address(), launcher))
    except OSError as error:
        summary = f"{what} could not be started: {error}."
        raise StepError(summary, argv, None) from error


def until(
    what: str, ready: Callable[[], bool], steps: Sequence[Step], end: float
) -> None:
    """Wait for `ready()` to be true.

    Raises StepError when a step ends first, or at the time `end` (of `time.monotonic`).
    """
    while not ready():
        for step in steps:
            step.check()
        if time.monotonic() > end:
            summary = f"Gave up waiting for {what}; timeout= sets how long to wait."
            raise steps[-1].error(summary)
        time.sleep(LOOK)


def missing(error: ImportError, library: str, *install: str) -> AllocationError:
    """Return an error for a library that the kernel's environment lacks."""
    packages = " ".join(f"'{name}'" for name in install)
    return AllocationError(
        f"{library} cannot be imported ({error}). Install it where the kernel's Python "
        f"is, {sys.prefix}: pip install {packages}, and restart the kernel."
    )


def _path() -> str:
    """Return a PATH on which programs of the kernel's environment are found.

    The environment need not be activated.
    """
    own = str(Path(sys.executable).parent)
    return os.pathsep.join([own, os.environ.get("PATH", os.defpath)])


def directory() -> str:
    """Return the kernel's directory, which is the notebook's."""
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return "/"
