"""The allocation that this kernel runs in: its nodes, and what the job has on each.

Called by the file of each library.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from remote_kernels.cluster.launcher import Launcher
from remote_kernels.cluster.node import address_towards
from remote_kernels.errors import AllocationError

MIB = 1024 * 1024


@dataclass(frozen=True)
class Node:
    """What the job has on one node.

    Parameters
    ----------
    name : str
        The node's name.
    cpus : int
        How many CPUs the job has there.
    memory : int or None
        Bytes that it may use there; None if not told.
    """

    name: str
    cpus: int
    memory: int | None


@dataclass(frozen=True)
class Allocation:
    """A job, and the nodes of it that are to be used.

    Parameters
    ----------
    job : str
        The job's ID.
    here : str
        The name of the node that the kernel is on.
    nodes : tuple of Node
        The nodes to use.
    launcher : Launcher
        What starts programs there.
    """

    job: str
    here: str
    nodes: tuple[Node, ...]
    launcher: Launcher = field(compare=False, repr=False)

    @property
    def names(self) -> list[str]:
        """The names of the nodes."""
        return [node.name for node in self.nodes]

    def only(self, wanted: Sequence[str] | None) -> Allocation:
        """Return the same with these nodes alone; with all of them if None.

        Raises AllocationError if there are none, or others than the job's.
        """
        if wanted is None:
            return self
        unknown = sorted(set(wanted) - set(self.names))
        if unknown or not wanted:
            message = (
                f"nodes={list(wanted)} asks for {', '.join(unknown) or 'none'}; job "
                f"{self.job} has {', '.join(self.names)}."
            )
            raise AllocationError(message)
        nodes = tuple(node for node in self.nodes if node.name in wanted)
        return replace(self, nodes=nodes)

    def address(self) -> str:
        """Return the address of this node, as other nodes reach it."""
        found = socket.gethostbyname(self.here)
        others = [name for name in self.names if name != self.here]
        if not found.startswith("127.") or not others:
            return found
        return address_towards(others[0])  # some hosts call themselves 127.0.1.1


def share(node: Node, parts: int, fraction: float) -> int | None:
    """Return the bytes for one of `parts` processes that share a fraction of a node."""
    return None if node.memory is None else int(node.memory * fraction / parts)
