"""What bob puts where alice keeps her records: she does not take it for hers."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from testbed.api import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

SHARED = "/home/shared"
STATE = f"{SHARED}/alice"

# Starts a kernel whose records are in the directory that it is given; says how it went.
START = """
import json, os, pathlib, sys, tempfile
with tempfile.TemporaryDirectory() as data:
    spec = pathlib.Path(data, "kernels", "planted")
    spec.mkdir(parents=True)
    config = {"scheduler": "slurm", "state_dir": sys.argv[1], "time": 10}
    stanza = {"provisioner_name": "remote-kernels", "config": config}
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({
        "argv": argv, "display_name": "planted", "language": "python",
        "metadata": {"kernel_provisioner": stanza}}))
    os.environ["JUPYTER_DATA_DIR"] = data
    os.umask(0)
    from jupyter_client import KernelManager
    manager = KernelManager(kernel_name="planted")
    try:
        manager.start_kernel()
    except Exception as exc:
        print(type(exc).__name__, exc)
    else:
        print("started")
        manager.shutdown_kernel()
"""


@pytest.fixture
def shared(cluster: Cluster) -> Iterator[Cluster]:
    """A directory that all users can write to."""
    cluster.run("login1", "root", ["mkdir", "-m", "777", SHARED])
    yield cluster
    cluster.run("login1", "root", ["rm", "-rf", SHARED])


def start(cluster: Cluster) -> str:
    argv = [sys.executable, "-c", START, STATE]
    return cluster.run("login1", "alice", argv, timeout=120).stdout


def bob(cluster: Cluster, script: str) -> str:
    return cluster.run("login1", "bob", ["sh", "-c", script], check=False).stdout


def jobs(cluster: Cluster) -> list[str]:
    return [job.user for job in cluster.jobs() if job.user == "alice"]


@pytest.mark.parametrize(
    "plant",
    [
        f"umask 0; mkdir -p {STATE}/kernels",
        f"umask 0; mkdir -p {STATE}-x/kernels; ln -s {STATE}-x {STATE}",
        "true",
    ],
    ids=["directory", "link", "nothing yet"],
)
def test_what_bob_planted_is_refused(shared: Cluster, plant: str) -> None:
    """No record, so no secret and no job; the error says whose it is, and what to do."""
    bob(shared, plant)

    said = start(shared)

    assert said.startswith("RecordError"), said
    assert "owner bob" in said or "can be written by others" in said
    assert "state_dir" in said
    assert [] == jobs(shared)
    assert "" == bob(shared, f"find -L {SHARED} -name '*.json'")


def test_a_shared_directory_with_the_sticky_bit(shared: Cluster) -> None:
    """What alice makes there nobody can exchange, nor look into; kernels start."""
    shared.run("login1", "root", ["chmod", "1777", SHARED])

    assert "started\n" == start(shared)

    assert "" == bob(shared, f"ls {STATE} 2>/dev/null")
    assert "700" == shared.run("login1", "root", ["stat", "-c%a", STATE]).stdout.strip()
