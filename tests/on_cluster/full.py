"""A full cluster: a job of somebody else on all nodes. Used by tests of waiting."""

from __future__ import annotations

import time

from testbed.api import Cluster


class Full:
    """Jobs of somebody else on all nodes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        argv = ["sbatch", "--parsable", "--exclusive", "--output=/dev/null"]
        argv += ["--nodes=2", "--wrap=sleep 3000"]
        self._job = cluster.run("login1", "alice", argv).stdout.strip()

    @staticmethod
    def is_full(cluster: Cluster) -> bool:
        """Whether somebody has all nodes already."""
        states = cluster.run("ctl", "root", ["sinfo", "-h", "-o", "%t"]).stdout
        return set(states.split()) == {"alloc"}

    def until_full(self) -> None:
        """Until it runs."""
        end = time.monotonic() + 30
        argv = ["squeue", "-h", "-j", self._job, "-o", "%T"]
        while "RUNNING" not in self._cluster.run("login1", "alice", argv).stdout:
            assert time.monotonic() < end
            time.sleep(0.2)

    def free(self) -> None:
        self._cluster.run("login1", "alice", ["scancel", self._job])
