"""The boundary to what starts programs on a job's nodes: a class for each batch system.

Called by `launchers.py`, `step.py` and the file of each library.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from remote_kernels.cluster.allocation import Allocation


class Launcher(abc.ABC):
    """The launcher of one batch system."""

    command: ClassVar[str]
    """The program that must be on the kernel's PATH."""
    job_variable: ClassVar[str]
    """What names the enclosing job in the kernel's environment."""
    node_variable: ClassVar[str]
    """What names the node in the environment of what it starts."""
    step_variable: ClassVar[str] = ""
    """What names the step there, for `cancel_argv`, if anything does."""
    list_mpi: ClassVar[tuple[str, ...]] = ()
    """A command that lists the words for `mpi`, if it has such."""

    @abc.abstractmethod
    def allocation(self, environ: Mapping[str, str]) -> Allocation | None:
        """Return the enclosing allocation; None if it is none of this batch system."""

    @abc.abstractmethod
    def argv(
        self,
        allocation: Allocation,
        nodes: Sequence[str],
        program: Sequence[str],
        *,
        tasks: int = 1,
        mpi: str = "none",
        gpus: bool = True,
    ) -> list[str]:
        """Return the command that runs a program on some nodes.

        The program shares with the kernel what the job has there, and ends with its
        standard input.

        Parameters
        ----------
        allocation : Allocation
            The job.
        nodes : sequence of str
            The names of the nodes.
        program : sequence of str
            The program, and its arguments.
        tasks : int
            How often to run it on each node.
        mpi : str
            What it is to give MPI programs: a word that `list_mpi` lists.
        gpus : bool
            Whether it sees the job's GPUs.
        """

    @abc.abstractmethod
    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the kernel's environment without what belongs to its own step."""

    def carried(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return what of the kernel's environment it does not itself pass on."""
        return {}

    def cancel_argv(self, allocation: Allocation, step: str) -> list[str]:
        """Return the command that ends a step if its launcher does not."""
        return ["true"]

    def advice(self, said: str) -> str:
        """Return what to do about a step that has said that; "" if we do not know it."""
        return ""
