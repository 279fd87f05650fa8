"""What bob can do about alice's kernel: nothing, on the login host and on her node.

Each look is also made as alice, so that a test that looks at nothing fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from on_cluster.system import SYSTEM
from testbed.api import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

HOSTS = ("login1", "c1")
HOME = "/home/alice/isolation"
IN_ENV = f"value-in-the-kernelspec-{uuid.uuid4()}"

# Runs as alice: holds a kernel until its standard input ends; prints all that matters.
HOLD = """
import json, sys
from jupyter_client import KernelManager
km = KernelManager(kernel_name=sys.argv[1])
km.start_kernel()
client = km.client()
client.start_channels()
client.wait_for_ready(timeout=60)
kernel = km.provisioner.remote_kernel
record = kernel._record
spec = record.read("spec.json")
connection = spec["kernels"][kernel.kernel_id]["connection"]
print(json.dumps({
    "job": str(kernel.status.job_id), "record": str(record.path), "secret": spec["secret"],
    "key": connection["key"], "curve": connection.get("curve_secretkey"),
    "connection_file": km.connection_file}), flush=True)
for line in sys.stdin:
    client.execute_interactive(line, output_hook=lambda m: None)
    print("done", flush=True)
client.stop_channels()
km.shutdown_kernel()
"""

CONNECT = """
import socket, sys
for path in sys.argv[1:]:
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(path)
            print("connected")
        except OSError as exc:
            print(type(exc).__name__)
"""

# Subscribes to all of a PUB socket, says so, and counts what comes in three seconds.
LISTEN = """
import sys, zmq
sub = zmq.Context().socket(zmq.SUB)
sub.subscribe(b"")
if sys.argv[2:]:
    public, secret = (key.encode() for key in sys.argv[2:])
    sub.curve_serverkey, sub.curve_publickey, sub.curve_secretkey = public, public, secret
sub.connect(sys.argv[1])
print("listening", flush=True)
count = 0
while sub.poll(3000):
    sub.recv_multipart()
    count += 1
print(count)
"""

# Knocks at the agent's door with each secret of its standard input, "" to say nothing;
# prints what comes of it.
KNOCK = """
import socket, sys
from remote_kernels.wire.hello import Ask, LoginHello, Refused
def knock(secret):
    hello = LoginHello(bytes.fromhex(secret), Ask("0" * 32, resume=True))
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        s.settimeout(20)
        while data := s.recv(4096):
            try:
                answer = hello.receive(data)
            except Refused as exc:
                return exc.code
            if secret:
                s.sendall(answer)
        return "dropped"
for line in sys.stdin:
    print(knock(line.strip()))
"""


@dataclass
class Held:
    """Alice's running kernel, and the process that holds it."""

    facts: dict[str, Any]
    process: subprocess.Popen[str]

    @property
    def secrets(self) -> list[str]:
        own = [self.facts["secret"], self.facts["key"], self.facts["curve"], IN_ENV]
        return [secret for secret in own if secret]

    def owns(self, pid: int) -> bool:
        """Whether this process is the holder or one of the job."""
        environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        job = f"{SYSTEM.job_variable}={self.facts['job']}".encode()
        return pid == self.process.pid or job in environ

    def execute(self, code: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{code}\n")
        self.process.stdin.flush()
        assert "done\n" == self.process.stdout.readline()


@pytest.fixture(scope="module", params=["ipc", "tcp"])
def held(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Held]:
    """A kernel of alice's on c1: over Unix sockets, and over TCP with CURVE."""
    name = f"isolated-{request.param}"
    stanza = {
        "provisioner_name": "remote-kernels",
        "config": {
            "scheduler": SYSTEM.scheduler,
            **SYSTEM.on("c1"),
            "time": "0:10:00",
            "transport": request.param,
            "state_dir": f"{HOME}/state",
        },
    }
    python = sys.executable
    spec = {
        "argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": name,
        "language": "python",
        "env": {"IN_ENV": IN_ENV},
        "metadata": {"supported_encryption": ["curve"], "kernel_provisioner": stanza},
    }
    directory = f"{HOME}/data/kernels/{name}"
    spec_file = f"{directory}/kernel.json"  # private, unlike the directories
    write = f"rm -rf {HOME}; mkdir -p {directory}; umask 077; cat > {spec_file}"
    cluster.run("login1", "alice", ["sh", "-c", write], input=json.dumps(spec))
    process = cluster.popen(
        "login1",
        "alice",
        [python, "-c", HOLD, name],
        env={"JUPYTER_DATA_DIR": f"{HOME}/data"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Held(json.loads(process.stdout.readline()), process)
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def found(cluster: Cluster, host: str, *expression: str) -> list[str]:
    """What find(1) finds as root on a host."""
    done = cluster.run(host, "root", ["find", *expression])
    return str(done.stdout).split()


def sockets(cluster: Cluster, host: str) -> list[str]:
    return ours(cluster, host, "s")


def ours(cluster: Cluster, host: str, kind: str) -> list[str]:
    """What of that kind (find's -type) the server or the job has in its directory."""
    place = "/tmp" if host == "login1" else SYSTEM.job_tmp
    return found(
        cluster, host, place, "-user", "alice", "-type", kind, "-path", "*rk-*"
    )


def output(cluster: Cluster, host: str, user: str, *argv: str) -> str:
    return str(cluster.run(host, user, list(argv), check=False).stdout)


@pytest.mark.parametrize("host", HOSTS)
def test_no_socket_can_be_connected_to(held: Held, cluster: Cluster, host: str) -> None:
    """Neither the server's, nor the kernel's, nor the agent's."""
    paths = sockets(cluster, host)
    argv = [sys.executable, "-c", CONNECT, *paths]

    assert len(paths) >= 1
    assert {"PermissionError"} == set(output(cluster, host, "bob", *argv).split())
    assert "connected" in output(cluster, host, "alice", *argv)


@pytest.mark.parametrize("host", HOSTS)
def test_no_file_can_be_read(held: Held, cluster: Cluster, host: str) -> None:
    """Record, logs, connection files, the agent, the batch script, its environment."""
    places = [held.facts["record"]]
    if host == "login1":
        places.append(held.facts["connection_file"])
    files = found(cluster, host, *places, "-type", "f")
    files += ours(cluster, host, "f")
    assert len(files) >= 5
    assert "" == output(cluster, host, "bob", "cat", *files)
    if host == "c1":  # where a batch system may show what it notes, but no secret
        whose = ("-user", SYSTEM.spool_owner)
        noted = found(cluster, host, SYSTEM.spool, "-type", "f", *whose)
        shown = output(cluster, host, "bob", "cat", *noted)
        assert noted
        assert [] == [secret for secret in held.secrets if secret in shown]
    secret = held.facts["secret"]
    own = output(cluster, host, "alice", "grep", "--text", "-oh", secret, *files)
    assert [secret] == own.split()


def test_no_process_can_be_looked_into(held: Held, cluster: Cluster) -> None:
    """Neither the environment nor the open files of the kernel."""
    script = "cat /proc/[0-9]*/environ; ls -l /proc/[0-9]*/fd"

    assert IN_ENV not in output(cluster, "c1", "bob", "sh", "-c", script)
    assert IN_ENV in output(cluster, "c1", "alice", "sh", "-c", script)


def test_nothing_secret_is_on_show(held: Held, cluster: Cluster) -> None:
    """In ps on each host, and in all that the batch system tells of the job."""
    job = held.facts["job"]
    shown = ""
    for argv in SYSTEM.tell_all(job):
        shown += output(cluster, "login1", "bob", *argv)
    for host in HOSTS:
        shown += output(cluster, host, "bob", "ps", "-eww", "-o", "args")

    assert "agent.pyz" in shown
    assert re.search(rf"\b{job}\b", shown)
    assert [] == [secret for secret in held.secrets if secret in shown]


@pytest.mark.only("slurm", "it alone shows a job's script")
def test_the_batch_script_is_alice_s(held: Held, cluster: Cluster) -> None:
    """Bob does not get it; and nothing secret is in it anyway."""
    argv = ("scontrol", "write", "batch_script", held.facts["job"], "-")

    own = output(cluster, "login1", "alice", *argv)

    assert "rk_record=" in own
    assert [] == [secret for secret in held.secrets if secret in own]
    assert "rk_record=" not in output(cluster, "login1", "bob", *argv)


@pytest.mark.parametrize("host", HOSTS)
def test_nothing_listens_beyond_loopback(
    held: Held, cluster: Cluster, host: str
) -> None:
    """No TCP port of alice's can be reached from another host."""
    uid = output(cluster, host, "alice", "id", "-u").strip()
    rows = [
        row.split()
        for row in output(
            cluster, host, "bob", "cat", "/proc/net/tcp", "/proc/net/tcp6"
        ).splitlines()
    ]
    listening = [row[1] for row in rows if row[3] == "0A" and row[7] == uid]
    beyond = [address for address in listening if not address.startswith("0100007F:")]

    assert [] == beyond


@pytest.mark.parametrize("host", HOSTS)
def test_only_the_kernel_listens_on_tcp(
    held: Held, cluster: Cluster, host: str
) -> None:
    """The server's end and the agent have Unix sockets alone.

    ipykernel 7.4 opens a loopback port of its own even with Unix sockets; what comes
    there without a random word is thrown away.
    """
    table = Path(f"/proc/{cluster.pid(host)}/net/tcp").read_text().splitlines()[1:]
    rows = [row.split() for row in table]
    listening = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}
    ours = [p for p in cluster.processes(host, "alice") if held.owns(p.pid)]
    listeners = [p.cmdline for p in ours if listening & open_files(p.pid)]

    assert len(ours) >= 1
    if host == "login1":
        assert [] == listeners
    else:
        (kernel,) = listeners
        assert "ipykernel_launcher" in kernel


def open_files(pid: int) -> set[str]:
    """What the links in /proc/PID/fd say."""
    return {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}


@pytest.mark.parametrize("host", ["login1", "c1", "ctl"])
def test_no_readable_file_tells_a_secret(
    held: Held, cluster: Cluster, host: str
) -> None:
    """Bob searches every file that he can read, wherever programs leave files."""
    decoy = uuid.uuid4().hex
    path = f"/tmp/decoy-{decoy[:8]}"
    cluster.run(host, "alice", ["sh", "-c", f"echo {decoy} >{path}"])
    places = ["/tmp", "/var/tmp", "/var/spool", "/var/log", "/run", "/home", "/dev/shm"]
    argv = ["grep", "-rlsF", "--devices=skip", "--file=-", *places]

    words = "\n".join([decoy, *held.secrets])
    found = cluster.run(host, "bob", argv, input=words, check=False).stdout
    cluster.run(host, "alice", ["rm", path])

    assert [path] == found.split()


def test_the_agent_s_door(held: Held, cluster: Cluster) -> None:
    """Its socket is not enough: who lacks the job's secret, or is silent, is dropped."""
    if held.facts["curve"] is not None:
        return  # the same door
    (record,) = [
        json.loads(output(cluster, "c1", "alice", "cat", path))
        for path in found(cluster, "c1", held.facts["record"], "-name", "agent.json")
    ]
    argv = [sys.executable, "-c", KNOCK, record["socket"]]
    secrets = [held.facts["secret"], "00" * 32, ""]

    done = cluster.run("c1", "alice", argv, input="\n".join([*secrets, ""]))

    assert ["unknown-session", "dropped", "dropped"] == done.stdout.split()
    held.execute("print('the kernel noticed nothing')")


def test_without_keys_a_tcp_kernel_tells_nothing(held: Held, cluster: Cluster) -> None:
    """Bob subscribes to iopub on the node while alice's kernel prints."""
    if held.facts["curve"] is None:
        return  # the other kernel: no port to subscribe to
    (name,) = found(cluster, "c1", SYSTEM.job_tmp, "-name", "k1-*.json")
    body = json.loads(output(cluster, "c1", "alice", "cat", name))
    url = f"tcp://127.0.0.1:{body['iopub_port']}"
    keys = [body["curve_publickey"], body["curve_secretkey"]]
    counts = {}
    for user, extra in (("bob", []), ("alice", keys)):
        argv = [sys.executable, "-c", LISTEN, url, *extra]
        listener = cluster.popen("c1", user, argv, stdout=subprocess.PIPE, text=True)
        assert listener.stdout is not None
        assert "listening\n" == listener.stdout.readline()
        for _ in range(20):
            held.execute("import time; time.sleep(0.1); print('for alice only')")
        counts[user] = int(listener.communicate(timeout=60)[0])

    assert 0 == counts["bob"]
    assert counts["alice"] > 0
