"""What starts programs on the nodes of the kernel's job: one class for a batch system.

Called by `allocation.py` and `step.py`.
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
    node_variable: ClassVar[str]
    """What names the node in the environment of what it starts."""
    step_variable: ClassVar[str]
    """What names the step there, for `cancel_argv`."""
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
        """Return how to run a program on some nodes.

        It shares what the job has there with the kernel, and ends with its standard
        input.

        Parameters
        ----------
        tasks:
            How often on each node.
        mpi:
            What it is to give MPI programs: a word of `list_mpi`.
        gpus:
            Whether it sees the job's GPUs.
        """

    @abc.abstractmethod
    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the kernel's environment without what belongs to its own step."""

    @abc.abstractmethod
    def cancel_argv(self, allocation: Allocation, step: str) -> list[str]:
        """Return how to end a step if its launcher does not get that done."""
