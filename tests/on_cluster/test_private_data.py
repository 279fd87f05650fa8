"""A site that hides partitions or nodes: what doctor and install make of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from on_cluster.traces import BIN, Desk
from testbed.api import Cluster
from testbed.hosts import wait_for

pytestmark = pytest.mark.cluster


@pytest.fixture(params=["partitions", "nodes"])
def hidden(
    request: pytest.FixtureRequest, cluster: Cluster
) -> Iterator[tuple[Cluster, str]]:
    """PrivateData, and an end to it."""
    conf = cluster.layout.etc / "slurm" / "slurm.conf"
    before = conf.read_text()

    def configure(text: str, private: str) -> None:
        conf.write_text(text)
        cluster.run("ctl", "root", ["scontrol", "reconfigure"])
        shown = ["scontrol", "show", "config"]
        wait_for(
            "the new configuration",
            lambda: f"= {private}\n" in cluster.run("ctl", "root", shown).stdout,
            30,
        )

    configure(f"{before}PrivateData={request.param}\n", request.param)
    yield cluster, request.param
    configure(before, "none")


def test_what_is_hidden_is_no_fault(hidden: tuple[Cluster, str], desk: Desk) -> None:
    """doctor sees that kernels work; install says nothing that it cannot know."""
    cluster, _ = hidden
    seen = cluster.run("login1", desk.user, ["sinfo", "-h", "-o", "%P"], check=False)
    program = str(BIN / "remote-kernels")
    directory = str(desk.path / "runtime")

    doctor = cluster.run(
        "login1",
        desk.user,
        [program, "doctor", "--no-job", "--json", "--runtime-dir", directory],
        check=False,
    )
    install = cluster.run(
        "login1",
        desk.user,
        [program, "install", "python-compute", "--dry-run", "--partition", "long"],
        check=False,
    )

    report = json.loads(doctor.stdout)
    assert (0, "ssh") == (doctor.returncode, report["carrier"]), report
    assert 0 == install.returncode
    assert "partition" not in install.stderr.replace("--partition", ""), seen
