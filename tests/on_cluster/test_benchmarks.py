"""benchmarks: each part measures what it says. How much that is, is no test's business.

What takes minutes (many kernels, the queue, the peers) is left to `make bench`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from on_cluster.system import SYSTEM
from on_cluster.traces import Desk, left_over, traces
from testbed.api import Cluster
from testbed.hosts import wait_for

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.__main__ import ALL, PARTS, left_out
from benchmarks.host import USER, Host
from benchmarks.results import Figure

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.only("slurm", "gridengine", "benchmarks are of these two"),
]

NAMES = {
    "imports": ["import"],
    "agent": ["agent-rss", "agent-pss"],
    "start": ["start", "start-in-job", "start-shared", "restart"],
    "resume": ["resume"],
    "trips": [
        *("info-p50", "info-p50-ssh-L", "info-p50-session"),
        *("info-p99", "info-p99-ssh-L", "info-p99-session", "info-srun"),
        *("execute-p50", "execute-p50-ssh-L", "execute-p50-session"),
        *("execute-p99", "execute-p99-ssh-L", "execute-p99-session", "execute-srun"),
    ],
}


@pytest.fixture
def host(cluster: Cluster, desk: Desk) -> Iterator[Host]:
    made = Host(cluster)
    with made.programs():
        yield made


HERE = [part for part in NAMES if not left_out(part, SYSTEM.scheduler)]


@pytest.mark.parametrize("part", HERE)
def test_a_part(host: Host, cluster: Cluster, part: str) -> None:
    """One round of it; nothing is left."""
    before = traces(cluster, USER)

    found = list(PARTS[part](host, 1))

    assert NAMES[part] == [made.name for made in found if isinstance(made, Figure)]
    for made in found:
        assert isinstance(made, Figure)
        assert min(made.ours + made.reference) > 0
    assert [] == left_over(cluster, USER, before)


def test_what_the_user_asks_is_counted(host: Host, cluster: Cluster) -> None:
    """By the controller itself, whatever the command is."""
    for argv in cluster.system.status_commands():
        with host.counting() as calls:
            before = calls()

            cluster.run("login1", USER, argv)

            wait_for(f"{argv} to be counted", lambda: calls() > before, 10)  # noqa: B023


def test_all_parts_are_known() -> None:
    """Those that are left out here, too."""
    longer = {"streaming", "output", "backlog", "sizes", "many", "pending", "page"}
    longer |= {"peers"}
    assert set(ALL) == {*NAMES, *longer, "gridengine"}


def test_what_does_not_suit_a_batch_system_is_left_out() -> None:
    """With the reason; what suits has none."""
    assert "" == left_out("peers", "slurm")
    assert "is Slurm's" in left_out("peers", "gridengine")
    assert "" == left_out("start", "gridengine")
    assert "Grid Engine already" in left_out("gridengine", "gridengine")
