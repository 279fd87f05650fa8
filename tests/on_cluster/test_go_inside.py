"""Processes in a kernel's job where neither srun nor ssh to nodes is allowed any more.

`shell`, `exec`, `stack` and `top` go by the session that is there, also through a cut.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from on_cluster.system import SYSTEM
from on_cluster.traces import BIN, Desk
from testbed.api import Cluster
from testbed.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

USER = "bob"
NODE = "c1"
TIMEOUT = 60
CUT = 5.0  # seconds
SRUN = "/usr/bin/srun"

HOLD = """\
import pathlib, time
from jupyter_client.manager import KernelManager
manager = KernelManager(kernel_name="k")
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
pathlib.Path("begun").write_text(manager.provisioner.remote_kernel.status.carrier)
while not pathlib.Path("stop").exists():
    time.sleep(0.05)
client.stop_channels()
manager.shutdown_kernel()
"""


def popen(
    cluster: Cluster, desk: Desk, *args: str, **more: Any
) -> subprocess.Popen[Any]:
    argv = [str(BIN / "remote-kernels"), *args]
    return cluster.popen("login1", USER, argv, env=desk.env, **more)


def told(cluster: Cluster, desk: Desk, *args: str) -> subprocess.CompletedProcess[str]:
    argv = [str(BIN / "remote-kernels"), *args]
    return cluster.run("login1", USER, argv, env=desk.env, check=False, timeout=TIMEOUT)


@contextlib.contextmanager
def forbidden(cluster: Cluster) -> Iterator[None]:
    """Nobody starts srun on the login host, and no sshd takes a new connection."""
    cluster.run("login1", "root", ["mount", "--bind", "/bin/false", SRUN])
    (listener,) = [
        process.pid
        for process in cluster.processes(NODE, "root")
        if "sshd" in process.cmdline[0] and "listener" in " ".join(process.cmdline)
    ]
    os.kill(listener, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(listener, signal.SIGCONT)
        cluster.run("login1", "root", ["umount", SRUN])


@pytest.fixture(params=["ssh", SYSTEM.carrier])
def kernel(
    request: pytest.FixtureRequest, cluster: Cluster, desk: Desk
) -> Iterator[str]:
    """One that runs, whose session is up; then srun and ssh are forbidden."""
    desk.spec({**SYSTEM.on(NODE), "time": "0:10:00", "carrier": request.param})
    desk.write("hold.py", HOLD)
    holder = cluster.popen(
        "login1",
        USER,
        ["sh", "-c", f"exec {BIN}/python hold.py >said 2>&1"],
        env=desk.env,
        cwd=str(desk.given("")),
        stdin=subprocess.DEVNULL,
    )
    ready = lambda: desk.has("begun") or holder.poll() is not None
    wait_for("the kernel", ready, TIMEOUT)
    assert holder.poll() is None, desk.read("said")
    try:
        with forbidden(cluster):
            yield request.param
    finally:
        cluster.mend("login1")
        desk.write("stop", "")
        assert 0 == holder.wait(TIMEOUT), desk.read("said")


def cut(cluster: Cluster) -> None:
    cluster.cut("login1")
    time.sleep(CUT)  # the cut is what is tested
    cluster.mend("login1")


class Terminal:
    """A terminal on the login host, and all that it shows."""

    def __init__(self, cluster: Cluster, desk: Desk, *args: str) -> None:
        self._fd, theirs = pty.openpty()
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        self.program = popen(cluster, desk, *args, **streams)
        os.close(theirs)
        self._seen = ""
        self._watch = threading.Timer(TIMEOUT, self.program.kill)
        self._watch.start()

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, text: str) -> str:
        """Until it shows `text`; what came before."""
        while text not in self._seen:
            try:
                self._seen += os.read(self._fd, 10000).decode(errors="replace")
            except OSError:
                pytest.fail(f"no {text!r} in {self._seen!r}")
        before, _, self._seen = self._seen.partition(text)
        return before

    def close(self) -> None:
        self._watch.cancel()
        self.program.kill()
        self.program.wait(TIMEOUT)
        os.close(self._fd)


def test_through_a_cut(cluster: Cluster, desk: Desk, kernel: str) -> None:
    """Nothing of a command's streams or of a shell's is lost; its look is as ever."""
    assert 1 == cluster.run("login1", USER, [SRUN, "hostname"], check=False).returncode
    count = "for n in $(seq 80); do echo $n; echo $n >&2; sleep 0.1; done; cat; exit 3"
    pipe = subprocess.PIPE
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), pipe)
    command = popen(cluster, desk, "exec", "--", "sh", "-c", count, **streams)
    with contextlib.closing(Terminal(cluster, desk, "shell", "--", "sh")) as terminal:
        terminal.type("hostname; echo $((20 + 22))\n")
        terminal.until(f"{NODE}\r\n42")
        assert command.stdout is not None
        begun = os.read(command.stdout.fileno(), 100)
        broken = threading.Thread(target=cut, args=(cluster,))
        broken.start()
        terminal.type("echo during $((1 + 1)); sleep 300\n")  # while it is cut
        broken.join()
        terminal.until("during 2")
        terminal.type("\x03")
        terminal.type("echo after; exit 4\n")
        terminal.until("after\r\n")
        assert 4 == terminal.program.wait(TIMEOUT)
    out, err = command.communicate(b"typed\n", TIMEOUT)
    numbers = [b"%d" % n for n in range(1, 81)]
    assert [*numbers, b"typed"] == (begun + out).split()
    assert numbers == err.split()
    assert 3 == command.returncode

    shown = told(cluster, desk, "stack", "--json")
    assert 0 == shown.returncode, shown.stderr
    sample = json.loads(told(cluster, desk, "top", "--once", "--json").stdout)
    assert json.loads(shown.stdout)["pid"] == sample["kernel_pid"]
    assert NODE == sample["node"]
    assert kernel == desk.read("begun")
