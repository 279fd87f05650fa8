"""The agent as it is in the job: one zip, a bare interpreter, nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from remote_kernels.bundle import agent_pyz, argv
from remote_kernels.wire.codes import Cause
from remote_kernels.wire.hello import Ask, LoginHello

SECRET = "5e" * 32
TIMEOUT = 30.0

# Stands in for a kernel: listens where its connection file says, ends at SIGTERM.
KERNEL = """
import json, os, signal, socket, sys
c = json.load(open(sys.argv[1]))
held = []
for n in ("shell", "iopub", "stdin", "control", "hb"):
    port = c[n + "_port"]
    if c["transport"] == "ipc":
        s = socket.socket(socket.AF_UNIX)
        s.bind("%s-%d" % (c["ip"], port))
    else:
        s = socket.socket()
        s.bind((c["ip"], port))
    s.listen()
    held.append(s)
print("listening", flush=True)
signal.pause()
"""

# The same, but at its first run somebody else gets its shell port before it.
ROBBED = (
    """
import json, os, socket, subprocess, sys
marker, connection_file = sys.argv[1:]
if not os.path.exists(marker):
    port = json.load(open(connection_file))["shell_port"]
    thief = "import socket, signal, sys; s = socket.socket(); "
    thief += "s.bind(('127.0.0.1', %d)); s.listen(); print(1, flush=True); " % port
    thief += "signal.pause()"
    p = subprocess.Popen([sys.executable, "-c", thief], stdout=subprocess.PIPE,
                         start_new_session=True)
    p.stdout.readline()
    open(marker, "w").write(str(p.pid))
sys.argv[1:] = [connection_file]
"""
    + KERNEL
)


class Agent:
    """A running agent, its directories, and how to talk to it."""

    def __init__(self, tmp_path: Path) -> None:
        self.record = tmp_path / "record"
        self.node_dir = tmp_path / "n"
        self.record.mkdir()
        self.node_dir.mkdir()
        self.pyz = self.node_dir / "agent.pyz"
        self.pyz.write_bytes(agent_pyz())
        self.process: subprocess.Popen[bytes] | None = None
        self.options = ["-I", "-S"]  # as in the job

    def start(
        self,
        argv: list[str],
        transport: str = "ipc",
        *,
        curve: bool = True,
        **seconds: float,
    ) -> None:
        """`curve`: the agent passes bytes on as they are, and needs no ZMTP for it."""
        keys = {"curve_publickey": "p", "curve_secretkey": "s"} if curve else {}
        kernel = {
            "argv": argv,
            "env": {"GREETING": "hello"},
            "cwd": None,
            "connection": {"transport": transport, "key": "k", **keys},
        }
        spec = {
            "agent": "a",
            "secret": SECRET,
            **seconds,
            "kernels": {"k1": kernel},
        }
        (self.record / "spec.json").write_text(json.dumps(spec))
        run = ["--record", str(self.record), "--node-dir", str(self.node_dir)]
        # As in the job: no site-packages, an environment that is not ours.
        self.process = subprocess.Popen(
            [sys.executable, *self.options, str(self.pyz), "run", *run],
            env={"PATH": os.defpath},
        )

    def talk(self) -> Iterator[dict[str, Any]]:
        """The control messages of a session of ours, as they come."""
        from remote_kernels.wire.events import Controlled
        from remote_kernels.wire.session import Session

        session = Session("s", 1, 1 << 20)
        hello = LoginHello(bytes.fromhex(SECRET), Ask("s"))
        with self.connect() as sock:
            while not hello.done:
                sock.sendall(hello.receive(sock.recv(65536)))
            session.connected(hello.peer_received)
            data = hello.rest
            while True:
                for event in session.receive(data):
                    if isinstance(event, Controlled):
                        message = event.message
                        yield {"type": type(message).__name__, **vars(message)}
                data = sock.recv(65536)
                if not data:
                    return

    @contextmanager
    def connect(self) -> Iterator[socket.socket]:
        """A connection to the agent's socket, once it is announced."""
        assert self.process is not None
        announced = self.record / "agent.json"
        while not announced.exists():
            assert self.process.poll() is None, "the agent ended"
        facts = json.loads(announced.read_text())
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect(facts["socket"])
            yield sock

    def end(self, signum: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(signum)
        return self.process.wait(TIMEOUT)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end()


def states(agent: Agent, *wanted: str) -> dict[str, Any]:
    """The first state that is one of `wanted`."""
    for message in agent.talk():
        if message["type"] == "KernelState" and message["state"] in wanted:
            return message
    raise AssertionError("the agent closed before")


def python(code: str, *argv: str) -> list[str]:
    return [sys.executable, "-c", code, *argv, "{connection_file}"]


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_kernel_runs_once_all_its_sockets_listen(
    agent: Agent, transport: str
) -> None:
    """`running` comes with the process's id; nothing of ours need be installed."""
    agent.start(python(KERNEL), transport)

    state = states(agent, "running", "exited", "failed")

    assert ("running", 1) == (state["state"], state["incarnation"])
    assert Path(f"/proc/{state['pid']}").exists()


def test_at_its_end_the_agent_leaves_nothing(agent: Agent) -> None:
    """SIGTERM: the kernel is gone, the node directory too; what it wrote is kept."""
    agent.start(python(KERNEL))
    pid = states(agent, "running")["pid"]

    code = agent.end()

    assert 0 == code
    assert not Path(f"/proc/{pid}").exists()
    assert not agent.node_dir.exists()
    assert "listening\n" == (agent.record / "kernel.log").read_text()


def test_a_taken_port_is_chosen_anew(agent: Agent, tmp_path: Path) -> None:
    """Another process got the port in between: the kernel is started once more."""
    marker = tmp_path / "thief"
    agent.start(python(ROBBED, str(marker)), "tcp")

    try:
        state = states(agent, "running", "exited", "failed")
    finally:
        os.kill(int(marker.read_text()), signal.SIGKILL)

    assert "running" == state["state"]
    assert "Address already in use" in (agent.record / "kernel.log").read_text()


def test_a_kernel_that_exits_at_once_says_what_it_wrote(agent: Agent) -> None:
    """Its exit code and the end of its output."""
    agent.start(python("import sys; sys.exit('no such module')"))

    state = states(agent, "exited")

    assert (1, "no such module\n") == (state["exit_code"], state["output"])


def test_a_kernel_ended_by_a_signal_says_which(agent: Agent) -> None:
    """Not an exit code, but the signal."""
    agent.start(python("import os; os.kill(os.getpid(), 9)"))

    state = states(agent, "exited")

    assert (None, 9) == (state["exit_code"], state["signum"])


def test_a_missing_command_is_told(agent: Agent) -> None:
    """`failed`, with what was tried."""
    agent.start(["/no/such/kernel"])

    failed = states(agent, "failed")
    assert "/no/such/kernel" in failed["detail"]
    assert Cause.NO_PROGRAM == failed["cause"]


@pytest.mark.parametrize("argv", [["true", "\0"], ["true\0"]])
def test_a_command_that_cannot_be_one_is_told(agent: Agent, argv: list[str]) -> None:
    """So is a variable: whoever waits for the kernel hears why it never comes."""
    agent.start(argv)

    failed = states(agent, "failed")
    assert "null byte" in failed["detail"]
    assert Cause.NONE == failed["cause"]


def test_the_kernel_gets_its_variables_and_none_of_the_login_host(agent: Agent) -> None:
    """The spec's env is added; XDG_RUNTIME_DIR is not passed."""
    agent.start(python("import os; print(sorted(os.environ)); raise SystemExit(1)"))

    output = states(agent, "exited")["output"]

    assert "GREETING" in output
    assert "XDG_RUNTIME_DIR" not in output


def test_without_a_living_kernel_the_job_is_given_back(agent: Agent) -> None:
    """After `linger` seconds the agent ends by itself."""
    agent.start(python("pass"), linger=0.1)
    assert agent.process is not None

    assert 0 == agent.process.wait(TIMEOUT)
    assert not agent.node_dir.exists()


def test_an_agent_to_which_nobody_comes_ends(agent: Agent) -> None:
    """Whoever submitted the job died before it attached: the job is given back."""
    agent.start(python(KERNEL), attach=0.1)
    assert agent.process is not None

    assert 0 == agent.process.wait(TIMEOUT)
    assert not agent.node_dir.exists()


def test_the_agent_s_files_are_private(agent: Agent) -> None:
    """The socket, the announcement, the connection file: nobody else's business."""
    agent.start(python(KERNEL))
    states(agent, "running")

    paths = [agent.node_dir / "agent", agent.record / "agent.json"]
    paths += agent.node_dir.glob("k1-*.json")

    assert 3 == len(paths)
    assert {0o600} == {path.stat().st_mode & 0o777 for path in paths}


def test_whoever_does_not_know_the_secret_is_sent_away(agent: Agent) -> None:
    """The pipe is closed, without a word."""
    agent.start(python(KERNEL))
    stranger = LoginHello(b"x" * 32, Ask("s"))

    with agent.connect() as sock:
        offer = sock.recv(65536)
        sock.sendall(stranger.receive(offer))

        assert b"" == sock.recv(65536)


def test_a_new_session_takes_the_place_of_the_old(agent: Agent) -> None:
    """The first one ends; the second is told how the kernel is."""
    agent.start(python(KERNEL))
    first = agent.talk()
    next(first)

    second = states(agent, "running")

    assert "running" == second["state"]
    assert {"KernelState"} >= {message["type"] for message in first}


def test_early_signals_end_the_kernel_too(agent: Agent) -> None:
    """A SIGTERM before the event loop runs leaves nothing behind."""
    agent.start(python(KERNEL))

    code = agent.end()

    assert code in (0, -signal.SIGTERM)  # the handler may not be there yet


def test_it_loads_nothing_in_vain(
    agent: Agent, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each job pays for it, in memory and in the time until it can be reached."""
    agent.options += ["-X", "importtime"]
    agent.start(python(KERNEL), curve=False)
    next(agent.talk())
    agent.end()
    lines = capfd.readouterr().err.splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines}

    assert "asyncio" in loaded
    assert set() == loaded & {"_ssl", "encodings.idna", "remote_kernels.agent.usage"}


def planted_by_others(directory: Path) -> None:
    directory.chmod(0o777)


def that_others_may_write(directory: Path) -> None:
    (directory / "agent.pyz").chmod(0o666)


def linked_elsewhere(directory: Path) -> None:
    pyz = directory / "agent.pyz"
    pyz.rename(directory / "other")
    pyz.symlink_to("other")


def of_another_user(directory: Path) -> None:
    shutil.chown(directory, 65534)


UNSAFE = [planted_by_others, that_others_may_write, linked_elsewhere]
if os.geteuid() == 0:
    UNSAFE.append(of_another_user)


@pytest.mark.parametrize("change", [None, *UNSAFE])
def test_it_is_only_run_while_it_is_ours(
    tmp_path: Path, change: Callable[[Path], None] | None
) -> None:
    """A cleaner took the directory, and somebody else made one of its name."""
    directory = tmp_path / "rk-1"
    directory.mkdir(0o700)
    (directory / "agent.pyz").write_bytes(agent_pyz())
    (directory / "agent.pyz").chmod(0o600)
    if change:
        change(directory)

    agent = {"python": sys.executable, "pyz": str(directory / "agent.pyz")}
    done = subprocess.run(
        argv(agent, "connect", "/nonexistent"),
        capture_output=True,
        text=True,
        check=False,
    )

    ran = "cannot connect to /nonexistent"
    assert ("is not run" if change else ran) in done.stderr
    assert (ran in done.stderr) == (change is None)


def test_the_bundle_is_the_same_for_the_same_code() -> None:
    """No times or orders that change."""
    agent_pyz.cache_clear()
    first = agent_pyz()
    agent_pyz.cache_clear()

    assert first == agent_pyz()
