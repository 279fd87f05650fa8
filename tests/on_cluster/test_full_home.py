"""A home that fills up, or cannot be written any more, while a kernel runs.

The kernels are local ones on the login host, whose small disk holds their records.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from testbed.api import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

HOST, USER = "login1", "bob"
DISK = "/home/bob/small"

# Holds a kernel until its standard input ends; does what each line asks for.
HOLD = """
import json, os, pathlib, sys
disk = pathlib.Path(sys.argv[1])
data = disk / "data"
spec = data / "kernels" / "small"
spec.mkdir(parents=True)
config = {"scheduler": "local", "state_dir": str(disk / "state")}
stanza = {"provisioner_name": "remote-kernels", "config": config}
argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
(spec / "kernel.json").write_text(json.dumps({
    "argv": argv, "display_name": "small", "language": "python",
    "metadata": {"kernel_provisioner": stanza}}))
os.environ["JUPYTER_DATA_DIR"] = str(data)
os.environ["JUPYTER_RUNTIME_DIR"] = str(disk / "runtime")
from jupyter_client import KernelManager
km = KernelManager(kernel_name="small")
def start():
    km.start_kernel()
    job()
def restart():
    km.restart_kernel(now=True)
    job()
def job():
    client = km.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    said = []
    def hear(message):
        if message["msg_type"] == "stream":
            said.append(message["content"]["text"])
    client.execute_interactive("print('answers', end='')", output_hook=hear)
    client.stop_channels()
    print(km.provisioner.remote_kernel.status.job_id, *said, flush=True)
def shutdown():
    km.shutdown_kernel()
    print("shut down", flush=True)
print("ready", flush=True)
for line in sys.stdin:
    try:
        {"start": start, "restart": restart, "shutdown": shutdown}[line.strip()]()
    except Exception as exc:
        print(" ".join(f"{type(exc).__name__}: {exc}".split()), flush=True)
"""


@pytest.fixture
def small(cluster: Cluster) -> Iterator[Cluster]:
    """A disk of 4 MB there."""
    cluster.run(HOST, USER, ["mkdir", "-p", DISK])
    argv = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "none", DISK]
    cluster.run(HOST, "root", argv)
    cluster.run(HOST, "root", ["chown", USER, DISK])
    yield cluster
    cluster.run(HOST, "root", ["umount", "--lazy", DISK])


class Held:
    """The process that holds the kernel."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.process = cluster.popen(
            *(HOST, USER, [sys.executable, "-c", HOLD, DISK]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert "ready\n" == self.process.stdout.readline()

    def do(self, what: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return str(self.process.stdout.readline()).strip()

    def fill(self) -> None:
        argv = ["dd", "if=/dev/zero", f"of={DISK}/fill", "bs=4k"]
        self.cluster.run(HOST, USER, argv, check=False)


@pytest.fixture
def held(small: Cluster) -> Iterator[Held]:
    made = Held(small)
    yield made
    made.process.communicate("", timeout=60)


def test_the_home_is_full(held: Held) -> None:
    """A restart needs none of it: the kernel stays in its job, and ends as ever."""
    job, answer = held.do("start").split(maxsplit=1)
    held.fill()

    again = held.do("restart")
    once_more = held.do("restart")

    assert "answers" == answer.split()[-1]
    assert [f"{job} {answer}"] * 2 == [again, once_more]
    assert "shut down" == held.do("shutdown")


def test_the_home_cannot_be_written(held: Held) -> None:
    """As with a full one."""
    first = held.do("start")
    bind = ["mount", "--bind", DISK, DISK]
    held.cluster.run(HOST, "root", bind)
    held.cluster.run(HOST, "root", ["mount", "-o", "remount,ro,bind", DISK])

    again = held.do("restart")

    held.cluster.run(HOST, "root", ["umount", DISK])
    assert first == again
    assert first.endswith("answers")
    assert "shut down" == held.do("shutdown")


def test_a_start_in_a_full_home(held: Held) -> None:
    """It says what is full, and what to do; there is no job."""
    held.cluster.run(HOST, USER, ["mkdir", "-p", "-m", "700", f"{DISK}/state/kernels"])
    held.fill()

    said = held.do("start")

    assert said.startswith("RecordError")
    assert "No space left" in said
    assert "quota -s" in said
    assert "state_dir" in said
