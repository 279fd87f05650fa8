"""What the two command lines share. Called by both `__main__`s."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from testbed.api import Cluster


def say(line: str) -> None:
    """What happens, beside the results."""
    sys.stderr.write(f"{line}\n")


@contextmanager
def running_cluster(scheduler: str | None = None) -> Iterator[Cluster]:
    """The test cluster, up; one that was down is down afterwards.

    Raises ClusterError; also where one is up that has another batch system.
    """
    cluster = Cluster(say=say)
    found_up = cluster.is_up()
    try:
        cluster.up(owner=None if found_up else os.getpid(), scheduler=scheduler)
        yield cluster
    finally:
        if not found_up:
            cluster.down()
