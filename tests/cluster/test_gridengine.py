"""Grid Engine's launcher: what it makes of a job's environment, and of a step."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from remote_kernels.cluster import node, spread
from remote_kernels.cluster.allocation import Allocation, Node
from remote_kernels.cluster.gridengine import Qrsh, parse, refuses_tasks
from remote_kernels.cluster.launchers import allocation
from remote_kernels.errors import AllocationError

# As a job of `-pe mpi 4` had it on 8.1.9, with h_vmem=1G.
HOSTFILE = "c1 2 debug.q@c1 UNDEFINED\nc2 2 debug.q@c2 UNDEFINED\n"
LIMIT = 2 << 30
PE = "pe_name            loose\nslots              999\ncontrol_slaves     FALSE\n"
PROGRAM = ["python", "node.py"]

qrsh = Qrsh()
HERE = Allocation("14", "c1", (Node("c1", 2, LIMIT), Node("c2", 2, LIMIT)), qrsh)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of any parallel environment, wherever these tests run."""
    monkeypatch.delenv("PE", raising=False)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Of that job."""
    hostfile = tmp_path / "pe_hostfile"
    hostfile.write_text(HOSTFILE)
    told = {"JOB_ID": "14", "SGE_TASK_ID": "undefined", "HOSTNAME": "c1", "NSLOTS": "4"}
    return {**told, "PE": "mpi", "PE_HOSTFILE": str(hostfile)}


def commands(argv: list[str]) -> list[list[str]]:
    """What `spread.py` is told to run."""
    assert [sys.executable, "-I", "-S", str(Path(spread.__file__))] == argv[:-1]
    order = json.loads(argv[-1])
    assert node.READY == order["ready"]
    return list(order["commands"])


def test_nodes_with_slots_and_memory(environ: dict[str, str]) -> None:
    """Each node has its slots, and the memory of so many."""
    assert parse(environ, LIMIT) == HERE


def test_a_node_in_several_queues(environ: dict[str, str]) -> None:
    """It has a line for each, and is one node."""
    Path(environ["PE_HOSTFILE"]).write_text(
        f"{HOSTFILE}c2 1 long.q@c2 UNDEFINED\nc3 1 long.q@c3 UNDEFINED\n"
    )
    found = parse(environ, None)

    assert found is not None
    assert (
        Node("c1", 2, None),
        Node("c2", 3, None),
        Node("c3", 1, None),
    ) == found.nodes


def test_another_name_of_this_node(environ: dict[str, str]) -> None:
    """The first node is the kernel's, whatever it is called."""
    found = parse({**environ, "HOSTNAME": "c1.example.org"}, LIMIT)

    assert found == HERE


def test_without_a_parallel_environment() -> None:
    """There is one node, and its slot."""
    told = {"JOB_ID": "14", "SGE_TASK_ID": "undefined", "HOSTNAME": "c1", "NSLOTS": "1"}

    assert Allocation("14", "c1", (Node("c1", 1, LIMIT),), qrsh) == parse(told, LIMIT)
    assert "14" == allocation(told).job


def test_no_job() -> None:
    """JOB_ID alone may be anybody's."""
    assert parse({"JOB_ID": "14"}, None) is None


def test_a_job_that_was_submitted_from_another_systems(environ: dict[str, str]) -> None:
    """Its own number decides which of the two it is in."""
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n7", "SLURMD_NODENAME": "n7"}
    del environ["PE_HOSTFILE"]

    assert "7" == allocation({**environ, **slurm, "RK_JOB_ID": "7"}).job
    assert "14" == allocation({**environ, **slurm, "RK_JOB_ID": "14"}).job


def test_a_step() -> None:
    """The kernel's node needs no task; on another one a shell reads the command."""
    here, there = commands(qrsh.argv(HERE, ["c1", "c2"], [*PROGRAM, "a b"]))

    assert ["env", "RK_NODE=c1", *PROGRAM, "a b"] == here
    assert ["qrsh", "-inherit", "c2"] == there[-4:-1]
    assert {"JOB_ID=14"} < {*there[:-4]}
    assert ["env", "RK_NODE=c2", *PROGRAM, "a b"] == shlex.split(there[-1])


def test_several_processes_of_one_node() -> None:
    """They are one task there, as each takes a slot."""
    *here, there = commands(qrsh.argv(HERE, ["c1", "c2"], PROGRAM, tasks=3))

    assert [["env", "RK_NODE=c1", *PROGRAM]] * 3 == here
    assert [PROGRAM] * 3 == commands(shlex.split(there[-1])[2:])


def test_gpus() -> None:
    """A program that needs none sees none."""
    (only,) = commands(qrsh.argv(HERE, ["c1"], PROGRAM, gpus=False))

    assert ["env", "RK_NODE=c1", "CUDA_VISIBLE_DEVICES=", *PROGRAM] == only


def test_mpi() -> None:
    """It is refused, and by default there is none."""
    with pytest.raises(AllocationError, match="starts no MPI programs"):
        qrsh.argv(HERE, ["c1"], PROGRAM, mpi="pmix")
    assert () == qrsh.list_mpi


def test_what_other_nodes_are_told(environ: dict[str, str]) -> None:
    """The kernel's variables, but not those of its own node and task."""
    own = {"JAVA_HOME": "/java", "SGE_ROOT": "/sge", "MY_TOKEN": "secret"}
    of_here = {"TMPDIR": "/tmp/14.1", "RK_NODE": "c1", "CUDA_VISIBLE_DEVICES": "0"}

    assert own == qrsh.carried({**environ, **own, **of_here})
    argv = qrsh.argv(HERE, ["c1", "c2"], PROGRAM)
    assert "secret" not in " ".join(argv)


def test_an_environment_that_starts_no_tasks() -> None:
    """`qconf -sp` says it; silence is no such answer."""
    assert refuses_tasks(PE)
    assert not refuses_tasks(PE.replace("FALSE", "TRUE"))
    assert not refuses_tasks("")


def test_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a task is started, with what to change; the kernel's node needs none."""
    qconf = tmp_path / "qconf"
    qconf.write_text(f"#!/bin/sh\necho '{PE}'\n")
    qconf.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PE", "loose")

    with pytest.raises(AllocationError, match=r"loose .*control_slaves(.|\n)*'pe'"):
        qrsh.argv(HERE, ["c1", "c2"], PROGRAM)
    assert 1 == len(commands(qrsh.argv(HERE, ["c1"], PROGRAM)))


def test_no_task_is_left() -> None:
    """A step that is refused says what takes them (8.1.9's words)."""
    said = (
        "1: error: executing task of job 60 failed: execution daemon on host "
        '"c2" didn\'t accept task\n'
    )

    assert "more 'slots'" in qrsh.advice(said)
    assert "" == qrsh.advice("1: Traceback ...")
