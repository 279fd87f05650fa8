"""What is told of Grid Engine beside Slurm: starts, and calls of the qmaster.

On a cluster of its own, as a part of the benchmarks of Slurm's.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace

from testbed import machine
from testbed.layout import ClusterError
from testbed.systems import named

from benchmarks.command import running_cluster, say
from benchmarks.figures import many, single
from benchmarks.host import Host
from benchmarks.results import Figure

NAME = "gridengine"


def why_not() -> str:
    """Why there can be no such cluster here, or nothing; installs what is missing."""
    try:
        machine.install(named(NAME), say)
    except (ClusterError, subprocess.CalledProcessError) as error:
        return f"a cluster of Grid Engine's cannot be made here: {error}"
    return machine.why_not(named(NAME))


def figures(rounds: int) -> Iterator[Figure]:
    """Those of the parts start, many and pending. Raises ClusterError."""
    with running_cluster(NAME) as cluster:
        host = Host(cluster)
        with host.programs():
            for figure in _figures(host, rounds):
                title = f"{figure.title}, {host.system.title}"
                yield replace(figure, name=f"{NAME}-{figure.name}", title=title)


def _figures(host: Host, rounds: int) -> Iterator[Figure]:
    yield next(single.starts(host, rounds))
    yield many.running(host)
    yield many.pending(host)
