"""Starts and restarts, ours and a local one's.

python -m benchmarks.inside.start ROUNDS COMMAND...

Starts of ours are beside what none can be quicker than: the first line of a trivial
batch script that COMMAND submits, and a local kernel; or that alone, where the job is
there already.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from jupyter_client.manager import KernelManager

from benchmarks.inside.kernels import Asked, Bench, bench, say, wait_for

NOTE = "echo $EPOCHREALTIME >{}"
TWO_CYCLES = 6.0  # seconds; Slurm looks at new batch jobs each 3 s, Grid Engine each 2


def batch(argv: list[str], path: Path) -> float:
    """Seconds from the submission of a script to its first line."""
    script = f"#!/bin/bash\n{NOTE.format(path)}\n"
    begun = time.time()
    subprocess.run(argv, input=script, check=True, capture_output=True, text=True)
    return noted(path) - begun


def noted(path: Path) -> float:
    """When a job has noted there that it runs: seconds since the epoch."""
    moment = wait_for(lambda: float(path.read_text()))
    path.unlink()
    return float(moment)


def answered(manager: KernelManager, begun: float) -> float:
    """Seconds until a new client has a kernel_info_reply."""
    asked = Asked(manager.blocking_client(), ready=False)
    asked.info()
    asked.close()
    return time.perf_counter() - begun


def kernel(here: Bench, spec: str) -> tuple[float, float]:
    """Seconds of a start and of a restart."""
    with here.manager(spec) as manager:
        begun = time.perf_counter()
        manager.start_kernel()
        start = answered(manager, begun)
        begun = time.perf_counter()
        manager.restart_kernel()
        return start, answered(manager, begun)


def rest() -> None:
    """Until the batch system is at any point of its cycle: else what came before decides."""
    time.sleep(random.uniform(0, TWO_CYCLES))  # noqa: S311


def main(rounds: int, submit: list[str]) -> None:
    with bench() as here:
        ran = here.directory / "ran"
        here.remote("ssh", carrier="ssh", prologue=[NOTE.format(ran)])
        here.remote("shared", carrier="ssh", allocation="bench", keep=1)
        with here.manager("shared") as first:
            first.start_kernel()
            measure(here, ran, rounds, submit)


def measure(here: Bench, ran: Path, rounds: int, submit: list[str]) -> None:
    for _ in range(rounds):
        rest()
        begun = time.time()
        ours = kernel(here, "ssh")
        in_job = begun + ours[0] - noted(ran)
        local = kernel(here, "local")
        shared = kernel(here, "shared")
        rest()
        both = batch(submit, ran) + local[0]
        found = {"start": [ours[0], both], "restart": [ours[1], local[1]]}
        say({**found, "in-job": [in_job, local[0]], "shared": [shared[0], local[0]]})


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
