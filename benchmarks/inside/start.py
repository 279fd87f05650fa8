"""Starts and restarts, ours and a local one's: python -m benchmarks.inside.start ROUNDS.

Starts of ours are beside what none can be quicker than: the first line of a trivial
batch script, and a local kernel.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from jupyter_client.manager import KernelManager

from benchmarks.inside.kernels import Asked, Bench, bench, say, wait_for

SCRIPT = "#!/bin/bash\necho $EPOCHREALTIME >{}\n"


def batch(path: Path) -> float:
    """Seconds from sbatch to the first line of its script."""
    argv = ["sbatch", "--parsable", "--mem=100", "--time=1", "--output=/dev/null"]
    begun = time.time()
    subprocess.run(
        argv, input=SCRIPT.format(path), check=True, capture_output=True, text=True
    )
    ran = wait_for(lambda: float(path.read_text()))
    path.unlink()
    return float(ran) - begun


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


def main(rounds: int) -> None:
    with bench() as here:
        here.remote("ssh", carrier="ssh")
        for _ in range(rounds):
            ours, local = kernel(here, "ssh"), kernel(here, "local")
            found = {"start": [ours[0], batch(here.directory / "ran") + local[0]]}
            found["restart"] = [ours[1], local[1]]
            say({**found, "local": local[0]})


if __name__ == "__main__":
    main(int(sys.argv[1]))
