"""Again and again: kernels come and go, programs are killed, and nothing is left.

`make soak` runs a hundred of each.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections import Counter

import pytest
from on_cluster.traces import BIN, Desk, left_over, traces
from testbed.api import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

USER = "bob"
COUNTS = [5, pytest.param(100, marks=pytest.mark.soak)]

CYCLES = """\
import json, os, pathlib, sys, threading
from jupyter_client.manager import KernelManager

def grown():
    return [len(os.listdir("/proc/self/fd")), threading.active_count()]

sizes = []
for i in range(int(sys.argv[1])):
    manager = KernelManager(kernel_name="k")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    assert client.execute("1 + 1", reply=True, timeout=60)["content"]["status"] == "ok"
    client.stop_channels()
    manager.shutdown_kernel()
    sizes.append(grown())
pathlib.Path("sizes.json").write_text(json.dumps(sizes))
"""
ONE = """\
import pathlib
from jupyter_client.manager import KernelManager
manager = KernelManager(kernel_name="k")
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
client.execute("import time; time.sleep(1)", reply=True, timeout=60)
client.stop_channels()
manager.shutdown_kernel()
"""


def start(cluster: Cluster, desk: Desk, *argv: str) -> subprocess.Popen[bytes]:
    return cluster.popen(
        "login1",
        USER,
        ["sh", "-c", 'exec "$@" >said 2>&1', "sh", str(BIN / "python"), *argv],
        env=desk.env,
        cwd=str(desk.given("")),
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("count", COUNTS)
def test_cycles(cluster: Cluster, desk: Desk, count: int) -> None:
    """In one process: it does not grow, either."""
    desk.spec({})
    desk.write("cycles.py", CYCLES)
    before, begin = traces(cluster, USER), time.monotonic()

    process = start(cluster, desk, "cycles.py", str(count))

    assert process.wait(100 + count * 12) == 0, desk.read("said")
    print(f"{count} cycles in {time.monotonic() - begin:.0f} s")
    sizes = json.loads(desk.read("sizes.json"))
    (descriptors, threads), (first_descriptors, _) = sizes[-1], sizes[2]
    assert descriptors <= first_descriptors
    assert threads < 10  # an executor makes its threads one by one, to a bound
    assert [] == left_over(cluster, USER, before)


@pytest.mark.parametrize("count", COUNTS)
def test_kills(cluster: Cluster, desk: Desk, count: int) -> None:
    """At any moment of a start and a kernel's life, by any signal."""
    desk.spec({})
    desk.write("one.py", ONE)
    before = traces(cluster, USER)
    chance = random.Random(count)
    ends: Counter[str] = Counter()
    for _ in range(count):
        process = start(cluster, desk, "one.py")
        time.sleep(chance.uniform(0, 4))  # a random moment is what is tested
        number = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        process.send_signal(number)
        process.wait(60)
        ends[signal.Signals(number).name] += 1
    print(dict(ends))

    assert [] == left_over(cluster, USER, before)
