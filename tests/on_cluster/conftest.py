"""What tests that drive several hosts and users share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from on_cluster.traces import Desk
from testbed.api import Cluster
from testbed.fixtures import cluster
from testbed.hosts import wait_for

__all__ = ["cluster"]

USER = "bob"


@pytest.fixture
def desk(cluster: Cluster) -> Iterator[Desk]:
    """A Jupyter of bob's, and an end to whatever jobs it leaves."""
    desk = Desk(cluster, USER)
    try:
        yield desk
        cluster.run("ctl", "root", cluster.system.cancel_all(USER))
        wait_for(
            "the end of jobs", lambda: USER not in {j.user for j in cluster.jobs()}, 90
        )
    finally:
        desk.remove()
