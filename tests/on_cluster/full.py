"""A full cluster: a job of somebody else on all nodes. Used by tests of waiting."""

from __future__ import annotations

import time

from testbed.api import Cluster


class Full:
    """Jobs of somebody else on all nodes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        argv = cluster.system.submit("sleep 3000", whole=True)
        self._job = cluster.run("login1", "alice", argv).stdout.strip()

    @staticmethod
    def is_full(cluster: Cluster) -> bool:
        """Whether somebody has all nodes already."""
        states = {job.state for job in cluster.jobs() if job.user == "alice"}
        return states == {"RUNNING"}  # some systems want a job for each node

    def until_full(self) -> None:
        """Until it runs."""
        end = time.monotonic() + 90
        while not self.is_full(self._cluster):
            assert time.monotonic() < end
            time.sleep(0.2)

    def free(self) -> None:
        self._cluster.run(
            "login1", "alice", self._cluster.system.cancel(self._job), check=False
        )
