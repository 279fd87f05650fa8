"""Round trips beside a stream: python -m benchmarks.inside.streaming ROUNDS KERNEL.

On the control channel, which a kernel answers while a cell runs.
"""

from __future__ import annotations

import sys
import time

from benchmarks.inside.kernels import Asked, bench, say
from benchmarks.inside.round_trips import quantiles

# 50 MB in 5 s: at full speed a kernel's own threads would wait for each other.
STREAM = """\
import time
for _ in range(250):
    print("x" * 200_000, flush=True)
    time.sleep(0.02)
"""
REST = "print(flush=True); import time; time.sleep(5)"
SECONDS = 4.5


def trips(kernel: Asked, code: str) -> float:
    """p99, in seconds, of round trips while a cell runs."""
    asked = kernel.begin(code)
    next(kernel.outputs(asked))  # it has begun
    times = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        times.append(kernel.info(control=True))
    for _ in kernel.outputs(asked):
        pass
    kernel.drain()
    return quantiles(times)[1]


def main(rounds: int, name: str) -> None:
    with bench() as here, here.any(name) as kernel:
        for _ in range(rounds):
            found = [trips(kernel, STREAM), trips(kernel, REST)]
            say({"busy": found})


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
