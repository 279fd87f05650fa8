"""Output, alternating between kernels: python -m benchmarks.inside.output ROUNDS."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack

from benchmarks.inside.kernels import Asked, bench, say

SIZE = 50_000_000  # bytes
SMALL = 10_000  # messages
CELLS = {
    "display": f"display({{'text/x': 'x' * {SIZE}}}, raw=True)",
    "stream": (
        f"for _ in range(50): sys.stdout.write('x' * {SIZE // 50}); sys.stdout.flush()"
    ),
    "small": f"for i in range({SMALL}): display({{'text/x': str(i)}}, raw=True)",
}


def measure(kernel: Asked, code: str) -> tuple[float, int]:
    """Seconds until all is there, and how many messages of output came."""
    begun = time.perf_counter()
    asked = kernel.begin(code)
    count = sum(
        b'"display_data"' in parts[3] or b'"stream"' in parts[3]
        for parts in kernel.outputs(asked)
    )
    return time.perf_counter() - begun, count


def main(rounds: int, *names: str) -> None:
    with bench() as here, ExitStack() as stack:
        kernels = {name: stack.enter_context(here.any(name)) for name in names}
        for kernel in kernels.values():
            kernel.execute("import sys; from IPython.display import display")
            for code in CELLS.values():
                measure(kernel, code)
        for _ in range(rounds):
            for name, kernel in kernels.items():
                found = {kind: measure(kernel, code) for kind, code in CELLS.items()}
                say({"kernel": name, **found})


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
