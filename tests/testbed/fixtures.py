"""pytest's `cluster`: the test cluster, up for a whole session.

Imported by the conftest of whoever wants it. A cluster that is up already is used and
left as it was found; one that was brought up here is taken down at the end, unless
RK_CLUSTER_KEEP=1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from testbed import machine
from testbed.api import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster, with its nodes idle; skips where none can be made."""
    cluster = Cluster(say=print)
    if reason := machine.why_not(cluster.system):
        pytest.skip(reason)
    keep = cluster.is_up() or os.environ.get("RK_CLUSTER_KEEP") == "1"
    cluster.up(owner=None if keep else os.getpid())
    yield cluster
    if not keep:
        cluster.down()
