"""What Parsl asks for nodes: a provider whose only block is a step in this allocation.

The only file that imports Parsl; imported when `cluster.parsl()` is called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.jobs.states import JobState, JobStatus
from parsl.providers.base import ExecutionProvider

from remote_kernels.cluster import step
from remote_kernels.cluster.allocation import Allocation
from remote_kernels.cluster.step import Order, Step

_GB = 1024**3
_CODE = "parsl.executors.high_throughput"
# An interrupt of the cell goes to all of the kernel's process group.
_INTERCHANGE = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    f"runpy.run_module('{_CODE}.interchange', run_name='__main__')"
)


class Block(ExecutionProvider):
    """One block of all nodes. Parsl calls it from threads of its own.

    Its files are in `run_dir` on the kernel's node alone, so copies of them are part of
    the order, and its paths are those of each node's own directory.
    """

    def __init__(self, allocation: Allocation, run_dir: Path) -> None:
        super().__init__()
        self.init_blocks = self.min_blocks = self.max_blocks = 1
        self.nodes_per_block = len(allocation.nodes)
        self.parallelism = 1.0
        self.script_dir: str | None = None
        self.resources: dict[object, object] = {}
        self.steps: list[Step] = []
        self._allocation = allocation
        self._run_dir = run_dir

    def submit(
        self, command: str, tasks_per_node: int, job_name: str = "parsl"
    ) -> object:
        """Start the step, and return the number that Parsl knows it by."""
        words = f"exec {command}".replace(str(self._run_dir), "{dir}")
        order = Order(
            ["sh", "-c", words],
            env={"PARSL_CORES": "{cpus}", "PARSL_MEMORY_GB": "{memory}"},
            files=self._keys(),
            values={
                node.name: {"cpus": str(node.cpus), "memory": _gigabytes(node.memory)}
                for node in self._allocation.nodes
            },
            nodes=self._allocation.names,
        )
        started = step.start("Parsl's workers", self._allocation, order)
        self.steps.append(started)
        return str(len(self.steps))

    def _keys(self) -> dict[str, str]:
        found = list(self._run_dir.glob("**/certificates/*"))
        for key in found:
            key.chmod(0o600)  # Parsl leaves that to the directory's mode
        return {str(key.relative_to(self._run_dir)): key.read_text() for key in found}

    def status(self, job_ids: Sequence[object]) -> Sequence[JobStatus]:
        """Return whether the steps run."""
        return [_status(self._step(job_id)) for job_id in job_ids]

    def cancel(self, job_ids: Sequence[object]) -> Sequence[bool]:
        """End the steps."""
        for job_id in job_ids:
            self._step(job_id).close()
        return [True for _ in job_ids]

    def close(self) -> None:
        """End what Parsl has not ended."""
        for started in self.steps:
            started.close()

    def _step(self, job_id: object) -> Step:
        return self.steps[int(str(job_id)) - 1]

    @property
    def label(self) -> str:
        """What Parsl calls this provider."""
        return "allocation"

    @property
    def status_polling_interval(self) -> int:
        """Seconds between two looks, which cost nothing."""
        return 5


def config(
    block: Block,
    address: str,
    run_dir: Path,
    retries: int,
    **executor_options: Any,
) -> Config:
    """Return Parsl's configuration: one executor, encrypted, on the node's own address.

    Parameters
    ----------
    block : Block
        The provider.
    address : str
        The address of the kernel's node.
    run_dir : Path
        Where all of Parsl's files go.
    retries : int
        How often to try a failed app again.
    **executor_options
        Further options of Parsl's HighThroughputExecutor.
    """
    executor = HighThroughputExecutor(
        label="allocation",
        provider=block,
        address=address,
        encrypted=True,
        interchange_launch_cmd=[sys.executable, "-c", _INTERCHANGE],
        **executor_options,
    )
    program = "process_worker_pool.py "
    assert executor.launch_cmd is not None
    # By the kernel's Python: its directory need not be on the PATH of the nodes.
    executor.launch_cmd = executor.launch_cmd.replace(
        program, f"{sys.executable} -m {_CODE}.process_worker_pool ", 1
    )
    return Config(
        executors=[executor],
        run_dir=str(run_dir / "runinfo"),
        strategy="none",
        retries=retries,
        initialize_logging=False,
    )


def _status(started: Step) -> JobStatus:
    code = started.returncode
    if code is None:
        return JobStatus(JobState.RUNNING)
    state = JobState.COMPLETED if code == 0 else JobState.FAILED
    return JobStatus(state, message=started.said(), exit_code=code)


def _gigabytes(memory: int | None) -> str:
    """Return GB; "" if not known, and Parsl then looks at the node's."""
    return "" if memory is None else f"{memory / _GB:.3f}"
