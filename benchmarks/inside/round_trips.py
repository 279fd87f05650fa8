"""Round trips, alternating between kernels: python -m benchmarks.inside.round_trips."""

from __future__ import annotations

import statistics
import sys
from contextlib import ExitStack

from benchmarks.inside.kernels import bench, say

TRIPS = 200  # a round


def quantiles(times: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def main(rounds: int, *names: str) -> None:
    with bench() as here, ExitStack() as stack:
        kernels = {name: stack.enter_context(here.any(name)) for name in names}
        for kernel in kernels.values():  # warm
            for _ in range(20):
                kernel.info(), kernel.execute()
        for _ in range(rounds):
            for name, kernel in kernels.items():
                found = {}
                for kind, ask in (("info", kernel.info), ("execute", kernel.execute)):
                    found[kind] = quantiles([ask() for _ in range(TRIPS)])
                    kernel.drain()
                say({"kernel": name, **found})


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
