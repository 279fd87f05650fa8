"""What Slurm has told the kernel of its allocation."""

from __future__ import annotations

import pytest

from remote_kernels.cluster.allocation import MIB, Allocation, Node, share
from remote_kernels.cluster.launchers import allocation
from remote_kernels.cluster.slurm import Srun, cpus_per_node, hostnames, parse
from remote_kernels.errors import AllocationError

ENV = {
    "SLURM_JOB_ID": "56",
    "SLURM_JOB_NODELIST": "c[1-3]",
    "SLURM_JOB_CPUS_PER_NODE": "2(x2),4",
    "SLURM_MEM_PER_CPU": "100",
    "SLURMD_NODENAME": "c1",
}


def expand(listed: str) -> list[str]:
    return {"c[1-3]": ["c1", "c2", "c3"]}[listed]


def told(environ: dict[str, str]) -> Allocation:
    found = parse(environ, expand)
    assert found is not None
    return found


def test_nodes_with_cpus_and_memory() -> None:
    """Each node has its own number of CPUs, and the memory that comes with them."""
    found = told(ENV)
    nodes = (
        Node("c1", 2, 200 * MIB),
        Node("c2", 2, 200 * MIB),
        Node("c3", 4, 400 * MIB),
    )
    assert Allocation("56", "c1", nodes, Srun()) == found


def test_memory_per_node() -> None:
    """It may be asked for in two ways; 0 is no limit."""
    whole = {**ENV, "SLURM_MEM_PER_NODE": "1000"}
    assert [1000 * MIB] * 3 == [node.memory for node in told(whole).nodes]
    none = {**ENV, "SLURM_MEM_PER_CPU": "", "SLURM_MEM_PER_NODE": "0"}
    assert [None] * 3 == [node.memory for node in told(none).nodes]


def test_cpus_per_node() -> None:
    """Slurm counts what repeats."""
    assert [4, 4, 8] == cpus_per_node("4(x2),8")
    assert [] == cpus_per_node("")


def test_one_node_needs_no_command() -> None:
    """A single name stands for itself."""
    assert ["c1"] == hostnames("c1")


def test_no_allocation() -> None:
    """The error says which kernel to choose."""
    with pytest.raises(AllocationError, match="install python-compute --nodes 2"):
        allocation({})


def test_only_some_nodes() -> None:
    """Those that are named; a name that is not there is told, with what is."""
    found = told(ENV)
    assert found is found.only(None)
    assert ["c1", "c3"] == found.only(["c3", "c1"]).names
    with pytest.raises(AllocationError, match=r"asks for c9; job 56 has c1, c2, c3"):
        found.only(["c1", "c9"])
    with pytest.raises(AllocationError, match="asks for none"):
        found.only([])


def test_an_address_that_other_nodes_reach() -> None:
    """A host's own name may stand for its loopback address, which serves one node."""
    alone = Allocation("56", "localhost", (Node("localhost", 1, None),), Srun())
    assert "127.0.0.1" == alone.address()


def test_share() -> None:
    """Of what is known."""
    assert 40 == share(Node("c1", 2, 100), 2, 0.8)
    assert share(Node("c1", 2, None), 2, 0.8) is None
