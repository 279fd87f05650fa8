"""More nodes from the same notebook: workers in the allocation that the kernel is in.

Rules: runs inside the kernel; a library is imported only by its own helper, when that
is called. Called by cells: `from remote_kernels import cluster`.
"""

from __future__ import annotations

from remote_kernels.cluster.dask_workers import dask
from remote_kernels.cluster.ipyparallel_engines import ipyparallel
from remote_kernels.cluster.launchers import nodes
from remote_kernels.cluster.parsl_workers import parsl
from remote_kernels.cluster.running import Cluster
from remote_kernels.cluster.spark import pyspark

__all__ = ["Cluster", "dask", "ipyparallel", "nodes", "parsl", "pyspark"]
