"""What comes through while somebody cuts the cable: python -m benchmarks.inside.resume.

Prints when each output came, by the machine's monotonic clock, until its standard input
ends.
"""

from __future__ import annotations

import sys
import threading
import time

from benchmarks.inside.kernels import bench, say

TICKS = """\
import time
while True:
    print("x" * {size}, flush=True)
    time.sleep({pause})
"""


def main(carrier: str, size: int, pause: float) -> None:
    with bench() as here, here.any(carrier) as kernel:
        kernel.begin(TICKS.format(size=size, pause=pause))
        stop = threading.Event()

        def wait_for_end() -> None:
            sys.stdin.read()
            stop.set()

        threading.Thread(target=wait_for_end).start()
        say({"ready": time.monotonic()})
        times = []
        while not stop.is_set():
            if kernel.iopub.poll(100):
                kernel.iopub.recv_multipart()
                times.append(time.monotonic())
        say({"came": times})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
