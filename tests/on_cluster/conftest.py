"""What tests that drive several hosts and users share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from on_cluster.traces import Desk
from on_cluster.ui import Served, served
from testbed.api import Cluster
from testbed.fixtures import cluster
from testbed.hosts import wait_for

__all__ = ["cluster"]

USER = "bob"


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go, to be looked at."""
    path = Path(os.environ.get("RK_SCREENSHOTS", tmp_path))
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def site(cluster: Cluster) -> Iterator[Served]:
    """JupyterLab on the login host, which may end and be started again."""
    with served(cluster) as made:
        yield made


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
