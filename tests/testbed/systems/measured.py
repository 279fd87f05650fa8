"""What `make bench` needs to know of a batch system over which it runs.

`Cluster.system.measured` has it. Called by benchmarks/.
"""

from __future__ import annotations

import abc
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any, ClassVar

from testbed.layout import ClusterError

if TYPE_CHECKING:
    from testbed.api import Cluster

LOGIN = "login1"


class Measured(abc.ABC):
    """How a batch system is measured."""

    title: ClassVar[str]
    batch: ClassVar[Sequence[str]]
    """The command that submits the smallest of jobs, whose script it reads."""
    kernel: ClassVar[Mapping[str, Any]]
    """What a kernelspec asks for."""
    crowd: ClassVar[Mapping[str, Any]]
    """The same, where there are many kernels: 50 have room at once in `room`."""
    cycle: ClassVar[str]
    """Of what the spread of starts is."""
    counts: ClassVar[str]
    """What a call is, and who counts it."""
    asks: ClassVar[str]
    """What the calls for kernels that wait are made of."""
    minutes: ClassVar[int]
    """Over how many minutes those are averaged."""
    asks_at_most: ClassVar[float]
    """How many those are to be in a minute."""

    @abc.abstractmethod
    @contextmanager
    def counting(self, cluster: Cluster, user: str) -> Iterator[Callable[[], int]]:
        """Count what the user asks of the controller; what is yielded says how much."""

    @contextmanager
    def room(self, cluster: Cluster) -> Iterator[None]:
        """Let 50 jobs of `crowd` run at once."""
        yield


class MeasuredSlurm(Measured):
    """Slurm counts the calls of each user itself."""

    title = "Slurm"
    batch = ("sbatch", "--parsable", "--mem=100", "--time=1", "--output=/dev/null")
    kernel: ClassVar = {"mem": 2000, "time": 60}
    crowd: ClassVar = {"partition": "class", "mem": 100}
    cycle = "Slurm starts a job 0.1 to 3 s after sbatch"
    counts = "Remote procedure calls of the user's, by the controller's count (sdiag)."
    asks = "A squeue makes two calls; each 5 minutes the places in the queue are asked for."
    minutes = 1
    asks_at_most = 2.0

    @contextmanager
    def counting(self, cluster: Cluster, user: str) -> Iterator[Callable[[], int]]:
        yield lambda: sdiag_count(cluster.run("ctl", "root", ["sdiag"]).stdout, user)


def sdiag_count(said: str, user: str) -> int:
    """The user's count in what sdiag says; 0 for one who never asked."""
    tail = said.partition("statistics by user")[2]
    row = re.search(rf"^\s+{user}\s+\(\s*\d+\)\s+count:(\d+)", tail, re.MULTILINE)
    return int(row[1]) if row else 0


class MeasuredGridEngine(Measured):
    """The qmaster counts nothing, but shows each message that it receives."""

    title = "Grid Engine"
    batch = (
        *("qsub", "-terse", "-S", "/bin/bash", "-j", "y", "-o", "/dev/null"),
        *("-l", "h_vmem=100M,h_rt=60"),
    )
    kernel: ClassVar = {"mem": "6G", "time": "1:00:00"}
    crowd: ClassVar = {"q": "debug.q", "mem": "2G"}
    cycle = "Grid Engine starts a job up to 2 s after qsub"
    counts = (
        "Requests (GDI) that the qmaster receives from the login host, where nobody else "
        "is; by its own messages (qping -dump)."
    )
    asks = (
        "A qstat for all jobs makes one call; what they all wait for makes three, asked "
        "after 30 s and then ever more seldom; their places, each 5 minutes, one."
    )
    # Else a median would not see what is asked for each 5 minutes alone. One call a
    # minute and four more in five of them are 1.8; a minute of ours is 54 to 66 s.
    minutes = 5
    asks_at_most = 3.0

    @contextmanager
    def counting(self, cluster: Cluster, user: str) -> Iterator[Callable[[], int]]:
        """It names no user: all count who ask from the login host."""
        dump = ["qping", "-dump", "ctl", "6444", "qmaster", "1"]
        process = cluster.popen("ctl", "root", dump, stdout=subprocess.PIPE, text=True)
        with process:
            assert process.stdout is not None
            try:
                yield _Requests(process.stdout).so_far
            finally:
                process.terminate()

    @contextmanager
    def room(self, cluster: Cluster) -> Iterator[None]:
        """Of 30 slots on each node, which have 8."""

        def change(kind: str, name: str, attribute: str, value: str) -> None:
            argv = ["qconf", "-mattr", kind, attribute, value, name]
            cluster.run("ctl", "root", argv)

        with ExitStack() as stack:
            for kind, show, name, attribute, value in ROOM:
                said = cluster.run("ctl", "root", ["qconf", show, name]).stdout
                before = re.search(rf"^{attribute}\s+(\S+)", said, re.MULTILINE)
                assert before is not None, said
                stack.callback(change, kind, name, attribute, before[1])
                change(kind, name, attribute, value)
            yield


ROOM = (
    ("exechost", "-se", "c1", "complex_values", "slots=30,h_vmem=99G"),
    ("exechost", "-se", "c2", "complex_values", "slots=30,h_vmem=99G"),
    ("queue", "-sq", "debug.q", "slots", "30"),
)
SILENCE = 30.0  # seconds; nodes report each 5, which is shown as well


class _Requests:
    """Counts what `qping -dump` shows of requests from the login host."""

    def __init__(self, output: IO[str]) -> None:
        self._output = output
        self._number = 0
        self._ended = False
        self._heard = time.monotonic()
        said = output.readline()
        if "no error happened" not in said:
            raise ClusterError(f"qping -dump ctl 6444 qmaster 1, as root: {said}")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._output:
            self._number += is_request(line)
            self._heard = time.monotonic()
        self._ended = True

    def so_far(self) -> int:
        """How many. Raises ClusterError where some may have been missed."""
        silent = time.monotonic() - self._heard
        if self._ended or silent > SILENCE:
            what = "ended" if self._ended else f"was silent for {silent:.0f} s"
            raise ClusterError(f"qping -dump {what}; requests are no longer counted")
        return self._number


def is_request(line: str) -> bool:
    """Whether this is a request that the qmaster received from the login host.

    Columns are: time, itself, direction, the other one, format, acknowledgement, tag.
    """
    cells = [cell.strip() for cell in line.split("|")]
    return (
        len(cells) > 6
        and cells[2] == "<-"
        and cells[3].startswith(f"{LOGIN}/")
        and cells[6] == "TAG_GDI_REQUEST"
    )
