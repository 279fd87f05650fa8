"""Throughput by the size of a message: python -m benchmarks.inside.sizes ROUNDS KERNEL..."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from benchmarks.inside.kernels import bench, say
from benchmarks.inside.output import measure

CODE = "for _ in range({count}): display({{'text/x': 'x' * {size}}}, raw=True)"
SIZES = (100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
BYTES = 20_000_000  # of one measurement, but for the smallest and the largest messages
MOST = 1000


def main(rounds: int, *names: str) -> None:
    with bench() as here, ExitStack() as stack:
        kernels = {name: stack.enter_context(here.any(name)) for name in names}
        for kernel in kernels.values():
            kernel.execute("from IPython.display import display")
        for size in SIZES:
            count = max(1, min(MOST, BYTES // size))
            code = CODE.format(count=count, size=size)
            for _ in range(rounds):
                for name, kernel in kernels.items():
                    rate = size * count / measure(kernel, code)[0]
                    facts = {"kernel": name, "size": size, "rate": rate}
                    say(facts)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
