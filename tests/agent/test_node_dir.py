"""The node directory: held against cleaners, made anew, and left by nobody."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.test_bundle import KERNEL, TIMEOUT, Agent, python, states
from remote_kernels.agent import node_dir, processes, supervisor
from remote_kernels.agent.endpoint import LOOK
from remote_kernels.bundle import agent_pyz
from remote_kernels.scheduler import script

MONTH = 30 * 86400
TMPFILES = "systemd-tmpfiles"
# The stand-in, with a child that is in its session, but in no group of its.
FAMILY = KERNEL.replace(
    'print("listening", flush=True)',
    """
import subprocess
child = subprocess.Popen(["sleep", "1d"], preexec_fn=os.setpgrp)
with open(sys.argv[2], "w") as file:
    file.write("%d %d" % (os.getpid(), child.pid))
""",
)


def until(what: str, is_so: Callable[[], bool], seconds: float = TIMEOUT) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether that process is there, and no zombie."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text()
        return text.rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end()


def age(top: Path) -> None:
    """As if nobody had touched it for a month."""
    for path in (*top.rglob("*"), top):
        os.utime(path, (time.time() - MONTH,) * 2)


@pytest.mark.skipif(shutil.which(TMPFILES) is None, reason=f"needs {TMPFILES}")
def test_systemd_s_cleaner_leaves_it_alone(agent: Agent, tmp_path: Path) -> None:
    """Whatever the times are, because it is locked; its neighbour goes."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    agent.start(python(KERNEL))
    states(agent, "running")
    before = sorted(agent.node_dir.iterdir())
    rules = tmp_path / "rules.conf"
    rules.write_text(f"e {tmp_path} - - - 0\nx {rules}\nx {agent.record}\n")

    subprocess.run([TMPFILES, "--clean", str(rules)], check=True)

    assert not other.exists()
    assert before == sorted(agent.node_dir.iterdir())


def test_it_never_looks_old(agent: Agent) -> None:
    """To cleaners that go by the times of files."""
    agent.start(python(KERNEL))
    states(agent, "running")
    age(agent.node_dir)
    old = time.time() - MONTH / 2

    def is_fresh() -> bool:
        found = [path.stat() for path in (agent.node_dir, *agent.node_dir.iterdir())]
        return all(min(one.st_mtime, one.st_atime) > old for one in found)

    until("fresh times", is_fresh)


def connected(agent: Agent) -> bytes:
    """What the agent says first to a carrier without the socket, which runs us."""
    facts = json.loads((agent.record / "agent.json").read_text())
    argv = [facts["python"], "-I", "-S", facts["pyz"], "connect", facts["socket"]]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        with contextlib.ExitStack() as stack:
            stack.callback(process.kill)
            return os.read(process.stdout.fileno(), 4)


def removed(directory: Path) -> None:
    shutil.rmtree(directory)


def emptied(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()


@pytest.mark.parametrize("clean", [removed, emptied])
def test_what_is_gone_is_made_anew(agent: Agent, clean: Callable[[Path], None]) -> None:
    """Private as before; whoever comes gets to the agent, and to the kernel."""
    agent.node_dir.chmod(0o700)
    agent.start(python(KERNEL))
    state = states(agent, "running")
    before = {path.name for path in agent.node_dir.iterdir()}
    sockets = [f"-{number}" for number in range(1, 6)]  # nobody can make them anew
    there = [name for name in before if name[-2:] not in sockets]
    answer = connected(agent)

    clean(agent.node_dir)

    until("all again", lambda: all((agent.node_dir / n).exists() for n in there))
    until("the socket", lambda: states(agent, "running")["pid"] == state["pid"])
    assert (len(answer), answer) == (4, connected(agent))
    modes = {path.stat().st_mode & 0o777 for path in agent.node_dir.iterdir()}
    assert (0o700, {0o600}) == (agent.node_dir.stat().st_mode & 0o777, modes)


def test_nothing_is_put_where_somebody_else_could_be(agent: Agent) -> None:
    """Neither a kernel's key nor the agent's socket, in what took our place."""
    agent.start(python(KERNEL))
    states(agent, "running")
    shutil.rmtree(agent.node_dir)
    other = agent.node_dir.parent / "other"
    other.mkdir()
    agent.node_dir.symlink_to(other)  # as good as a directory that is not ours

    time.sleep(2 * LOOK)

    assert [] == [*other.iterdir()]


def test_a_socket_without_a_name_is_reached(tmp_path: Path) -> None:
    """A kernel's heartbeat, for a client that comes when a cleaner has been there."""
    from remote_kernels.agent.connection_file import Sockets

    sockets = Sockets(str(tmp_path), "k", {"transport": "ipc"})
    path = sockets.address("hb")
    assert isinstance(path, str)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        sockets.hold("hb")
        Path(path).unlink()

        with socket.socket(socket.AF_UNIX) as client:
            found = sockets.address("hb")
            assert isinstance(found, str)
            client.connect(found)
    sockets.remove()


def test_a_kernel_s_end_is_told_whatever_became_of_its_place(agent: Agent) -> None:
    """Its files cannot be removed."""
    agent.start(python(KERNEL), linger=0.1)
    pid = states(agent, "running")["pid"]
    shutil.rmtree(agent.node_dir)
    agent.node_dir.write_text("somebody else's")

    os.kill(pid, signal.SIGKILL)

    assert agent.process is not None
    assert 0 == agent.process.wait(TIMEOUT)


# --- what is left --------------------------------------------------------------------


class Job:
    """A batch script whose agent has a kernel, which has a child."""

    def __init__(self, directory: Path, *around: str) -> None:
        self._around = around
        self.nodes = directory / "n"
        self.record = directory / "record"
        self.born = directory / "born"
        for path in (self.nodes, self.record):
            path.mkdir(exist_ok=True)
        self._script = directory / "script"
        text = script.build(
            record_dir=str(self.record),
            agent=agent_pyz(),
            python=sys.executable,
            node_dir=str(self.nodes),
        )
        self._script.write_text(text)
        self.bash: subprocess.Popen[bytes] | None = None
        self.agent = self.kernel = self.child = 0

    def start(self) -> None:
        """Until the kernel and its child are there."""
        connection = {"transport": "ipc", "key": "k", "curve_publickey": "p"}
        kernel: dict[str, Any] = {
            "argv": [*self._around, *python(FAMILY), str(self.born)],
            "connection": connection,
        }
        spec = {"agent": "a", "secret": "5e" * 32, "kernels": {"k1": kernel}}
        (self.record / "spec.json").write_text(json.dumps(spec))
        for said in (self.record / "agent.json", self.born):  # of a job before
            said.unlink(missing_ok=True)
        self.bash = subprocess.Popen(["bash", str(self._script)])
        until("the agent", lambda: (self.record / "agent.json").exists())
        until("the kernel", lambda: len(self._born()) == 2)
        self.agent = json.loads((self.record / "agent.json").read_text())["pid"]
        self.kernel, self.child = self._born()

    def _born(self) -> list[int]:
        with contextlib.suppress(OSError):
            return [int(word) for word in self.born.read_text().split()]
        return []

    @property
    def left(self) -> list[object]:
        """Of processes and files."""
        pids = [pid for pid in (self.agent, self.kernel, self.child) if lives(pid)]
        return [*pids, *self.nodes.iterdir()]

    def close(self) -> None:
        assert self.bash is not None
        for pid in (self.bash.pid, self.agent, self.kernel, self.child):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.bash.wait()


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    made = Job(tmp_path)
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize("killed", ["agent", "script"])
def test_nothing_is_left_when_one_of_them_is_killed(job: Job, killed: str) -> None:
    """Neither a process of the kernel's session nor the directory with its key."""
    assert job.bash is not None
    os.kill(job.agent if killed == "agent" else job.bash.pid, signal.SIGKILL)

    expected = 128 + signal.SIGKILL if killed == "agent" else -signal.SIGKILL
    assert expected == job.bash.wait(TIMEOUT)
    until("that nothing is left", lambda: not job.left)


def test_a_session_that_a_wrapper_began_is_not_left(tmp_path: Path) -> None:
    """The kernel is in none that we began."""
    job = Job(tmp_path, "setsid", "--wait")
    job.start()
    try:
        (directory,) = job.nodes.iterdir()
        until("the note", lambda: (directory / "session-k1-inner").exists())
        os.kill(job.agent, signal.SIGKILL)
        until("that nothing is left", lambda: not job.left)
    finally:
        job.close()


def test_what_both_left_the_next_job_removes(job: Job, tmp_path: Path) -> None:
    """The kernel dies with its agent. What has no owner goes, what has one stays."""
    assert job.bash is not None
    (left,) = job.nodes.iterdir()
    held, foreign, elsewhere = (job.nodes / f"rk-{name}" for name in ("h", "f", "e"))
    for path in (held, foreign, elsewhere):
        path.mkdir()
    lock = os.open(held, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # the first job's own sweep may not be over yet
    node = {"node": os.uname().nodename, "boot": "b", "pids": "p"}
    (held / "owner.json").write_text(json.dumps(node))
    (elsewhere / "owner.json").write_text(json.dumps({**node, "node": "another"}))
    job.bash.send_signal(signal.SIGSTOP)
    os.kill(job.agent, signal.SIGKILL)
    job.bash.kill()
    job.bash.wait()
    until("the kernel's end", lambda: not lives(job.kernel))

    following = Job(tmp_path)
    following.start()
    try:
        until("the sweep", lambda: not left.exists())
        assert {held, foreign, elsewhere} < set(job.nodes.iterdir())
        assert lives(following.kernel)
    finally:
        os.close(lock)
        following.close()


def test_a_damaged_note_is_no_end_of_the_sweep(tmp_path: Path) -> None:
    """What else is left is removed all the same."""
    own, *others = (tmp_path / f"rk-{number}" for number in range(6))
    own.mkdir()
    for path, note in zip(others, ("{}", "[]", "1", "", "null"), strict=True):
        path.mkdir()
        (path / "owner.json").write_text(note)
    left = tmp_path / "rk-left"
    left.mkdir()
    (left / "owner.json").write_text(json.dumps({"node": os.uname().nodename}))

    node_dir.sweep(str(own))

    assert {own, *others} == {*tmp_path.iterdir()}


def test_our_own_session_is_nobody_s() -> None:
    """Whatever a note says: what is found is killed."""
    assert {} == processes.session(os.getsid(0))


def test_a_number_that_is_used_again_is_spared(tmp_path: Path) -> None:
    """The note of a killed job names a process that is another one by now."""
    with subprocess.Popen(["sleep", "1d"], start_new_session=True) as sleeper:
        left = tmp_path / "rk-left"
        left.mkdir()
        owner = node_dir.NodeDir(str(left))
        owner.hold()
        node_dir.note_session(str(left), "k1", sleeper.pid)
        note = left / "session-k1"
        pid, started = note.read_text().split()
        note.write_text(f"{pid} {int(started) - 1}")

        node_dir.tidy(str(left))

        assert (False, True) == (left.exists(), lives(sleeper.pid))
        sleeper.kill()


CONNECTION = {"transport": "ipc", "key": "", "signature_scheme": "hmac-sha256"}


def of_others(directory: Path) -> None:
    if os.geteuid() == 0:
        os.chown(directory, 65534, 65534)
    directory.chmod(0o777)


@pytest.mark.parametrize("change", [of_others, removed])
def test_a_restart_before_the_next_look(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Nothing is put into a directory that another user has made meanwhile."""
    directory = tmp_path / "rk-1"
    directory.mkdir(0o700)
    spec = {"argv": ["sleep", "60"], "connection": CONNECTION}
    change(directory)

    kernel = supervisor.Kernel("k", spec, str(directory), str(tmp_path))
    kernel.spawn()

    try:
        state = kernel.state()
        ours = change is removed
        assert ("starting" if ours else "failed") == state.state
        assert ours == bool([*directory.iterdir()])
        if not ours:
            assert str(directory) in state.detail
        assert ours == (directory.stat().st_mode & 0o777 == 0o700)
    finally:
        kernel.kill()
        if kernel._process is not None:
            kernel._process._process.wait()


def test_what_is_made_anew_is_locked(tmp_path: Path) -> None:
    """Whoever made it."""
    directory = tmp_path / "rk-1"
    directory.mkdir(0o700)
    place = node_dir.NodeDir(str(directory))
    place.hold()
    shutil.rmtree(directory)
    node_dir.ensure(str(directory))

    assert place.look()

    fd = os.open(directory, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
