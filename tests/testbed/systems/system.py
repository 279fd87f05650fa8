"""What a batch system is to the test cluster. Called by `api` and `files`."""

from __future__ import annotations

import abc
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from testbed.hosts import Process
from testbed.layout import Host, Layout, host_named
from testbed.roots import Root

from .measured import Measured

if TYPE_CHECKING:
    from testbed.api import Cluster


class Job(NamedTuple):
    """A job that waits, runs or is just ending. Slurm's words for states: PENDING, ..."""

    id: str
    user: str
    name: str
    partition: str
    state: str
    reason: str
    nodes: str


class System(abc.ABC):
    """One batch system."""

    name: ClassVar[str]
    """Of a cluster that has it, of this release."""
    scheduler: ClassVar[str]
    """As a kernelspec's `scheduler` has it."""
    root: ClassVar[Root | None] = None
    """What its hosts' root is; None for the machine's own."""
    programs: ClassVar[Mapping[str, str]]
    """Programs that it needs on the machine, and the Debian package of each."""
    controller: ClassVar[str]
    """The program that all others ask."""
    controller_host: ClassVar[str] = "ctl"
    """Where that is."""
    needs_a_job: ClassVar[bool] = False
    """Whether ssh to a node is for those alone who have a job there."""
    measured: ClassVar[Measured | None] = None
    """How `make bench` measures it, where it does."""
    carrier: ClassVar[str]
    """Its own way into a job."""
    carrier_may_break: ClassVar[bool] = True
    """Whether a job outlives the violent end of its carrier."""
    inside: ClassVar[Mapping[str, Any]] = {}
    """What a kernelspec asks for so that its job can be entered by it."""
    gpus: ClassVar[Mapping[str, Any]]
    """The same, for two GPUs of one node."""
    two_nodes: ClassVar[Mapping[str, Any]] = {}
    """The same, for both nodes, with the kernel on c1."""
    on_both: ClassVar[str] = ""
    """A command of a cell there that prints the names of both nodes."""
    job_variable: ClassVar[str]
    """What tells a job its number."""
    waits_word: ClassVar[str]
    """A pattern of what it says of a job that is to begin later."""
    cancelled_words: ClassVar[str]
    """A pattern of what our driver says of a job that was cancelled."""
    refuses_word: ClassVar[str]
    """What it says where there is no such queue."""

    def missing_packages(self) -> set[str]:
        """Debian packages that no program tells of."""
        return set()

    # What hosts find

    @abc.abstractmethod
    def write(self, layout: Layout) -> None:
        """Write what all hosts share; /etc is there already."""

    @abc.abstractmethod
    def write_host(self, layout: Layout, host: Host) -> None:
        """Write what is one host's own, as it is when it first starts."""

    def mounts(self, layout: Layout, host: Host) -> list[tuple[Path, str]]:
        """What is mounted where besides."""
        return []

    def directories(self) -> list[tuple[str, str, int]]:
        """What is made in /run: path, owner, mode."""
        return []

    # What runs there

    def prepare(self, cluster: Cluster, host: Host) -> None:  # noqa: B027 - may be left
        """Do what comes before the first daemon of a host that has just started."""

    def configure(self, cluster: Cluster) -> None:  # noqa: B027
        """Tell a new controller, once its daemons run, what there is to know."""

    @abc.abstractmethod
    def daemons(self, host: Host) -> list[tuple[str, list[str]]]:
        """The user and the command of each daemon, in order; sshd comes after them."""

    @abc.abstractmethod
    def answers(self, cluster: Cluster) -> bool:
        """Whether the controller does."""

    @abc.abstractmethod
    def nodes(self, cluster: Cluster) -> dict[str, str]:
        """The state of every compute node; one that the controller hears of is not "down"."""

    def lose_jobs(self, cluster: Cluster, host: Host) -> None:  # noqa: B027
        """Let the controller know that a node failed, before it is back."""

    def controllers(self, cluster: Cluster) -> list[Process]:
        """The processes of the controller."""
        found = cluster.processes(self.controller_host)
        return [p for p in found if self.controller in p.cmdline[0]]

    def stop(self, cluster: Cluster) -> None:
        """Tell the controller to end."""
        self._signal(cluster, signal.SIGTERM)

    def stopped(self, cluster: Cluster) -> None:  # noqa: B027 -- few have more to stop
        """Stop what the controller needs to end, now that it has ended."""

    def kill(self, cluster: Cluster) -> None:
        """Kill the controller, as the machine does where there is no memory."""
        self._signal(cluster, signal.SIGKILL)

    def _signal(self, cluster: Cluster, number: signal.Signals) -> None:
        for process in self.controllers(cluster):
            with contextlib.suppress(ProcessLookupError):  # it ended with another one
                os.kill(process.pid, number)

    def keeps(self, cluster: Cluster, job: Job) -> bool:
        """Whether the controller would know a job again after it was killed."""
        return True

    def start(self, cluster: Cluster) -> None:
        """Start a controller that was stopped, or killed."""
        host = host_named(self.controller_host)
        for user, argv in self.daemons(host):
            if self.controller in argv[0]:
                cluster.start_daemon(host, user, argv)

    job_tmp: ClassVar[str] = "/tmp"
    """Where a node has what its jobs take for their TMPDIR."""
    spool: ClassVar[str]
    """Where a node keeps the scripts of its jobs."""
    spool_owner: ClassVar[str] = "alice"
    """Whose they are, of a job of alice's."""

    @abc.abstractmethod
    def tell_all(self, job: str) -> list[list[str]]:
        """Commands that tell others all that they may know of a job."""

    # What kernelspecs of tests ask for

    @abc.abstractmethod
    def on(self, node: str) -> dict[str, Any]:
        """A job on that node."""

    @abc.abstractmethod
    def later(self, seconds: int) -> dict[str, Any]:
        """A job that waits for so long."""

    # What people do there

    @abc.abstractmethod
    def jobs(self, cluster: Cluster) -> list[Job]:
        """The jobs that wait, run or are just ending."""

    @abc.abstractmethod
    def cancel(self, job: str) -> list[str]:
        """The command that ends a job."""

    @abc.abstractmethod
    def suspend(self, job: str) -> list[str]:
        """The command by which root suspends a job that runs."""

    @abc.abstractmethod
    def resume(self, job: str) -> list[str]:
        """The command by which root lets it go on."""

    @abc.abstractmethod
    def cancel_all(self, user: str) -> list[str]:
        """The command by which root ends all jobs of a user."""

    @abc.abstractmethod
    def submit(self, command: str, *, whole: bool = False) -> list[str]:
        """The command that submits a job of a shell command and prints its number.

        Parameters
        ----------
        command
            What it runs.
        whole
            Whether it takes both compute nodes for itself.
        """

    def status_commands(self) -> Sequence[list[str]]:
        """What shows nodes and jobs to people."""
        return []
