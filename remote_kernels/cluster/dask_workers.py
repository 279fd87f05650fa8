"""Dask: a scheduler on the kernel's node, and workers on all nodes of the allocation.

Everything listens with TLS, by a certificate made for this cluster alone. The
dashboard has no password of its own, and listens on the node's loopback address.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remote_kernels.cluster import step
from remote_kernels.cluster.allocation import Allocation, Node, share
from remote_kernels.cluster.running import Cluster, Starting, reached, starting
from remote_kernels.cluster.step import Order

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

FRACTION = 0.8  # of a node's memory; the kernel and the scheduler need some
_TLS = (
    *("--tls-ca-file", "{dir}/tls.crt", "--tls-cert", "{dir}/tls.crt"),
    *("--tls-key", "{dir}/tls.key"),
)


def dask(
    *,
    workers: int | None = None,
    threads: int | None = None,
    memory: int | str | None = None,
    nodes: Sequence[str] | None = None,
    dashboard: bool = True,
    timeout: float = 120.0,
) -> Cluster[Client]:
    """Start Dask in this kernel's allocation; `with cluster.dask() as client:`.

    Parameters
    ----------
    workers : int, optional
        Worker processes on each node; by default as many as Dask's LocalCluster has for
        so many CPUs.
    threads : int, optional
        Threads of each worker; by default the node's CPUs divided by the workers.
    memory : int or str, optional
        Limit of each worker, in bytes or as in "4GiB". By default the workers share
        four fifths of the job's memory on the node.
    nodes : sequence of str, optional
        Names of the nodes to use; by default all of the allocation.
    dashboard : bool
        Whether there is a dashboard, which anybody on the kernel's node can see.
    timeout : float
        Seconds until all workers must have come.

    Returns
    -------
    Cluster of Client
        The client, and the end of everything that was started.

    Raises
    ------
    AllocationError
        The kernel is in no allocation, or Dask is not installed.
    StepError
        The scheduler or the workers ended, or did not come in time.
    """
    try:
        from distributed import Client
        from distributed.deploy.utils import nprocesses_nthreads
        from distributed.security import Security

        security = Security.temporary()
    except ImportError as error:
        raise step.missing(
            error, "Dask", "dask[distributed]", "cryptography"
        ) from error
    files = _files(security)
    with starting(nodes, timeout) as work:
        here = work.here
        counts = {
            node.name: workers or int(nprocesses_nthreads(node.cpus)[0])
            for node in here.nodes
        }
        values = {
            node.name: limits(node, counts[node.name], threads, memory)
            for node in here.nodes
        }
        scheduler = work.step("Dask's scheduler", _scheduler(here, files, dashboard))
        info = _info(work, scheduler)
        work.step("Dask's workers", _workers(info["address"], files, values))
        left = max(1.0, work.end - time.monotonic())
        client = Client(info["address"], security=security, timeout=left)
        work.stack.callback(client.close)
        wanted = sum(counts.values())
        work.until(
            f"{wanted} workers of Dask", lambda: len(client.nthreads()) >= wanted
        )
        port = info.get("services", {}).get("dashboard") if dashboard else None
        page = reached("Dashboard", port, here.job, "/status") if port else ""
        return work.opened(client, f"Dask: {wanted} workers", page)


def limits(
    node: Node, workers: int, threads: int | None, memory: int | str | None
) -> dict[str, str]:
    """Return how many workers a node gets, their threads and their memory."""
    limit = memory or share(node, workers, FRACTION) or "auto"
    return {
        "workers": str(workers),
        "threads": str(threads or max(1, node.cpus // workers)),
        "memory": str(limit),
    }


def _files(security: Security) -> dict[str, str]:
    """Return the files with the one certificate that all roles share."""
    return {
        "tls.crt": str(security.tls_ca_file),
        "tls.key": str(security.tls_worker_key),
    }


def _scheduler(here: Allocation, files: Mapping[str, str], dashboard: bool) -> Order:
    page = "--dashboard" if dashboard else "--no-dashboard"
    argv = [
        *_program("dask_scheduler"),
        *("--host", here.address(), "--port", "0", "--protocol", "tls", *_TLS),
        *("--dashboard-address", "127.0.0.1:0", page),
        *("--scheduler-file", "{dir}/scheduler.json"),
    ]
    return Order(argv, files=files)


def _workers(
    scheduler: str, files: Mapping[str, str], values: Mapping[str, Mapping[str, str]]
) -> Order:
    argv = [
        *_program("dask_worker"),
        *(scheduler, "--host", "{address}", "--protocol", "tls", *_TLS),
        *("--dashboard-address", "127.0.0.1:0", "--no-dashboard"),
        *("--name", "{node}", "--nworkers", "{workers}", "--nthreads", "{threads}"),
        *("--memory-limit", "{memory}", "--local-directory", "{dir}"),
        *("--death-timeout", "60"),
    ]
    return Order(argv, files=files, values=values, nodes=list(values))


def _program(name: str) -> list[str]:
    return ["{python}", "-m", f"distributed.cli.{name}"]


def _info(work: Starting, scheduler: step.Step) -> dict[str, Any]:
    """Wait for what the scheduler writes about itself, and return it."""
    file = scheduler.directory(work.end) / "scheduler.json"
    work.until("Dask's scheduler", lambda: bool(_read(file)))
    return _read(file)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):  # not yet, or half of it
        return {}
