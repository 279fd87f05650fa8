"""Firewalls that drop, and a node that lacks an address: what still works, and when."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from on_cluster.traces import BIN, Desk, left_over, traces
from testbed.api import Cluster
from testbed.layout import NET

from remote_kernels.tunnel.carriers.ssh_login import CONNECT_TIMEOUT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

USER = "bob"
NODE = "c1"
SSH = (NODE, "22")
BACK = ("login1", "61000-61999")  # SrunPortRange: where srun waits for the node

# Says as JSON how a kernel was reached, and what of the ways not taken is left.
START = """\
import json, os, subprocess, sys, time
import psutil
from jupyter_client.manager import KernelManager
from remote_kernels.tunnel import tunnel

if len(sys.argv) > 1:
    tunnel.HEAD_START = float(sys.argv[1])
said = {}
opened = tunnel.Tunnel.open
async def measured(self):
    begun = time.monotonic()
    try:
        await opened(self)
    finally:
        said["reached"] = time.monotonic() - begun
tunnel.Tunnel.open = measured
manager = KernelManager(kernel_name="k")
begun = time.monotonic()
try:
    manager.start_kernel()
except Exception as exc:
    said["error"], said["kind"] = str(exc), type(exc).__name__
said["seconds"] = time.monotonic() - begun
if "error" not in said:
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    said["seconds"] = time.monotonic() - begun
    kernel = manager.provisioner.remote_kernel
    said["carrier"] = kernel.status.carrier
    def left():
        every = [p.info for p in psutil.process_iter(["pid", "ppid", "name"])]
        mine = [p for p in every if p["ppid"] == os.getpid()]
        children = [p["pid"] for p in mine if p["name"] == "srun"]
        lines = [c for c in psutil.Process().net_connections("tcp") if c.raddr.port == 22]
        job = str(kernel.status.job_id)
        asked = ["squeue", "-h", "-s", "-j", job, "-o", "%i"]
        steps = subprocess.run(asked, capture_output=True, text=True).stdout.split()
        steps = [step for step in steps if step.split(".")[1].isdigit()]
        counts = {"srun": (1, 0, 1), "ssh": (0, 1, 0)}[kernel.status.carrier]
        here = (len(children), len(lines), len(steps))
        return [] if here == counts else [children, len(lines), steps]
    end = time.monotonic() + 40
    while (rest := left()) and time.monotonic() < end:
        time.sleep(0.1)
    said["left"] = rest
    client.stop_channels()
    manager.shutdown_kernel()
json.dump(said, open("said.json", "w"))
"""


@contextmanager
def blocked(cluster: Cluster, *ways: tuple[str, str]) -> Iterator[None]:
    with ExitStack() as stack:
        for way in ways:
            cluster.block(*way)
            stack.callback(cluster.unblock, *way)
        yield


def start(cluster: Cluster, desk: Desk, *argv: str) -> dict[str, Any]:
    desk.write("start.py", START)
    process = cluster.popen(
        "login1",
        USER,
        [str(BIN / "python"), "start.py", *argv],
        env=desk.env,
        cwd=str(desk.given("")),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    said: dict[str, Any] = json.loads(desk.read("said.json"))
    print(said)
    return said


@pytest.fixture
def traceless(cluster: Cluster, desk: Desk) -> Iterator[Desk]:
    """A desk for kernels on one node, of which nothing is left."""
    desk.spec({"nodelist": NODE, "time": 10})
    before = traces(cluster, USER)
    yield desk
    memory = f"home: file /home/{USER}/{desk.path.name}/state/carriers.json"
    assert [] == [line for line in left_over(cluster, USER, before) if line != memory]


def test_ssh_is_dropped(cluster: Cluster, traceless: Desk) -> None:
    """Nobody waits until ssh has given up; the next kernel on such a node not at all."""
    with blocked(cluster, SSH):
        first = start(cluster, traceless)
        second = start(cluster, traceless, "60")  # seconds that it would wait for ssh

    for said in (first, second):
        assert ("srun", []) == (said["carrier"], said["left"])
    assert CONNECT_TIMEOUT > first["reached"]  # some 2 s where the machine is idle
    assert CONNECT_TIMEOUT > second["reached"]


def test_a_node_of_many_addresses(cluster: Cluster, traceless: Desk) -> None:
    """None of which answers: they are not tried one after the other."""
    with blocked(cluster, SSH), more_addresses(cluster, 5):
        said = start(cluster, traceless)

    assert ("srun", []) == (said["carrier"], said["left"])
    assert CONNECT_TIMEOUT > said["reached"]


def test_all_is_dropped(cluster: Cluster, traceless: Desk) -> None:
    """What was tried, what that means, and what to tell the staff, without delay."""
    with blocked(cluster, SSH, BACK):
        said = start(cluster, traceless)

    assert "TunnelError" == said["kind"]
    print(said["error"])
    assert 40 > said["reached"]
    for word in ("firewall", "SrunPortRange", "port 22", "staff", NODE):
        assert word in said["error"]


def test_srun_comes_second(cluster: Cluster, traceless: Desk) -> None:
    """Its step does not stay in the job, though it finds no way back to srun."""
    with blocked(cluster, BACK):
        said = start(cluster, traceless, "0")  # no head start for ssh

    assert ("ssh", []) == (said["carrier"], said["left"])


def test_a_node_without_loopback(cluster: Cluster, traceless: Desk) -> None:
    """What it lacks is said, not that a program may be missing."""
    traceless.spec({"nodelist": NODE, "time": 10, "transport": "tcp"})
    lo = ["127.0.0.1/8", "dev", "lo"]
    cluster.run(NODE, "root", ["ip", "addr", "del", *lo])
    try:
        said = start(cluster, traceless)
    finally:
        cluster.run(NODE, "root", ["ip", "addr", "add", *lo])

    assert "has no 127.0.0.1" in said["error"]
    assert "--transport" in said["error"]
    assert "Is that program there" not in said["error"]


@contextmanager
def more_addresses(cluster: Cluster, count: int) -> Iterator[None]:
    """The node has more of them, and its name stands for all."""
    hosts = cluster.layout.etc / "hosts"
    old = hosts.read_text()
    added = [f"{NET}.{100 + number}" for number in range(count)]
    for address in added:
        cluster.run(NODE, "root", ["ip", "addr", "add", f"{address}/24", "dev", "eth0"])
    lines = [f"{address} {NODE}\n" for address in added]
    hosts.write_text(old + "".join(lines))  # in place: the hosts have mounted it
    try:
        yield
    finally:
        hosts.write_text(old)
        for address in added:
            argv = ["ip", "addr", "del", f"{address}/24", "dev", "eth0"]
            cluster.run(NODE, "root", argv)
