"""Parsl: its HighThroughputExecutor with one block, which is this allocation.

Connections are encrypted by CURVE, as Parsl does by itself; the keys travel in the
order of the step instead of a shared directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from remote_kernels.cluster import step
from remote_kernels.cluster.running import Cluster, starting
from remote_kernels.cluster.step import Order

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel


def parsl(
    *,
    workers: int | None = None,
    cores: float = 1.0,
    memory: float | None = None,
    nodes: Sequence[str] | None = None,
    retries: int = 0,
    timeout: float = 120.0,
) -> Cluster[DataFlowKernel]:
    """Start Parsl in this kernel's allocation; apps run there inside the block.

    `with cluster.parsl(): square(3).result()`, where `square` is a `@python_app`.

    Parameters
    ----------
    workers : int, optional
        Workers on each node at most; by default as many as CPUs and memory allow.
    cores : float
        CPUs of each worker.
    memory : float, optional
        GB of each worker, if that is to limit their number.
    nodes : sequence of str, optional
        Names of the nodes to use; by default all of the allocation.
    retries : int
        How often Parsl tries a failed app again.
    timeout : float
        Seconds until the workers of all nodes must have come.

    Returns
    -------
    Cluster of DataFlowKernel
        Parsl's kernel, and the end of everything that was started.

    Raises
    ------
    AllocationError
        The kernel is in no allocation, or Parsl is not installed.
    StepError
        The workers ended, or did not come in time.
    """
    try:
        import parsl as library

        from remote_kernels.cluster.parsl_provider import Block, config
    except ImportError as error:
        raise step.missing(error, "Parsl", "parsl") from error
    with starting(nodes, timeout) as work:
        here, stack = work.here, work.stack
        run_dir = work.step("Parsl's directory", Order()).directory(work.end)
        block = Block(here, run_dir)
        stack.callback(block.close)
        settings = config(
            block,
            here.address(),
            run_dir,
            retries,
            cores_per_worker=cores,
            mem_per_worker=memory,
            max_workers_per_node=workers,
        )
        kernel = library.load(settings)
        stack.callback(lambda: None if kernel.cleanup_called else kernel.cleanup())
        executor = settings.executors[0]
        work.steps += block.steps
        work.until(
            f"Parsl's workers on {len(here.nodes)} nodes",
            lambda: len(executor.connected_managers()) >= len(here.nodes),
        )
        found = sum(
            manager["worker_count"] for manager in executor.connected_managers()
        )
        return work.opened(kernel, f"Parsl: {found} workers")
