"""Nothing is left: no job, process, listener, socket or file, on any host.

One test body for each way to an end: an orderly one, a start that fails, a signal at
some stage of a start. Kernels are bob's, since no other test has any of his.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from on_cluster.system import SYSTEM
from on_cluster.traces import BIN, PLAIN, Desk, left_over, traces
from testbed.api import Cluster
from testbed.hosts import wait_for

from remote_kernels.scheduler.drivers import DRIVERS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

USER = "bob"
PORT = 8917
TOKEN = "token-of-a-test"  # noqa: S105
LATER = SYSTEM.later(3600)
NOBODY = "10.197.53.99"  # an address of the cluster's network that no host has

CELL = "open({ran!r}, 'w').close()\nimport time\ntime.sleep({sleep})\n"
SYNC = """\
from jupyter_client.manager import KernelManager
manager = KernelManager(kernel_name="k")
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
client.execute_interactive(open({cell!r}).read(), timeout=60)
client.stop_channels()
open("ending", "w").close()
manager.shutdown_kernel()
"""
ASYNC = """\
import asyncio
from jupyter_client.manager import AsyncKernelManager

async def main():
    manager = AsyncKernelManager(kernel_name="k")
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    await client.execute_interactive(open({cell!r}).read(), timeout=60)
    client.stop_channels()
    await manager.shutdown_kernel()

asyncio.run(main())
"""


# --- who starts kernels -------------------------------------------------------------

CALLERS = {
    "script": ["python", "script.py"],
    "async script": ["python", "async.py"],
    "nbconvert": ["jupyter-nbconvert", "--execute", "--inplace", "notebook.ipynb"],
    "run": ["jupyter-run", "--kernel=k", "cell.py"],
}


class Caller:
    """A program of Jupyter on the login host that starts a kernel."""

    def __init__(self, cluster: Cluster, desk: Desk, name: str) -> None:
        self.name = name
        self._cluster = cluster
        self._desk = desk
        self._asks: list[threading.Thread] = []
        self._terminal = pty.openpty()  # only with one does a server mind Ctrl-C
        self.answers: list[tuple[int, str]] = []
        server = ["jupyter-server", f"--ServerApp.ip={cluster.address('login1')}"]
        server += [f"--port={PORT}", f"--IdentityProvider.token={TOKEN}"]
        server += [
            *PLAIN,
            "--RemoteKernelsApp.on_stop=shutdown",
        ]  # kept: test_outlive.py
        program, *arguments = CALLERS.get(name, server)
        command = [str(BIN / program), *arguments]
        self.process = cluster.popen(
            "login1",
            USER,
            ["sh", "-c", f'exec "$@" >{desk.given("said")} 2>&1', "sh", *command],
            env=desk.env,
            cwd=str(desk.given("")),
            stdin=self._terminal[1],
        )
        if name == "server":
            wait_for("the server", self._is_up, 120)
            self.own = traces(cluster, USER)
            self.ask("POST", "/api/kernels", {"name": "k"})

    def _is_up(self) -> bool:
        try:
            return self._ask("GET", "/api/status")[0] == 200
        except OSError:
            return False

    def _ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        address = self._cluster.address("login1")
        connection = http.client.HTTPConnection(address, PORT, timeout=60)
        headers = {"Authorization": f"token {TOKEN}"}
        with closing(connection):
            connection.request(method, path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def ask(self, method: str, path: str, body: object = None) -> threading.Thread:
        """Ask the server without waiting for its answer, as a browser does."""

        def work() -> None:
            try:
                self.answers.append(self._ask(method, path, body))
            except (OSError, http.client.HTTPException) as error:
                self.answers.append((0, repr(error)))

        self._asks.append(threading.Thread(target=work, daemon=True))
        self._asks[-1].start()
        return self._asks[-1]

    @property
    def said(self) -> str:
        """All that it wrote so far."""
        return self._desk.read("said")

    def send(self, number: int) -> None:
        """Send it a signal; a server wants a second Ctrl-C once it saw the first."""
        self.process.send_signal(number)
        if self.name == "server" and number == signal.SIGINT:
            wait_for("the first Ctrl-C", lambda: "interrupted" in self.said, 20)
            self.process.send_signal(number)

    def end(self, seconds: float = 45.0) -> str:
        """Wait for its end; returns all that it wrote."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"no end of {self.name} in {seconds:g} s:\n{self.said}")
        return self.said

    def close(self) -> None:
        """Whatever happened, nothing of this test disturbs the next."""
        self.process.kill()
        self.process.wait()
        for thread in self._asks:
            thread.join(10)
        for end in self._terminal:
            os.close(end)


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """With what the callers run."""
    ran = str(desk.given("ran"))
    cell = desk.write("cell.py", CELL.format(ran=ran, sleep=0))
    desk.write("script.py", SYNC.format(cell=str(cell)))
    desk.write("async.py", ASYNC.format(cell=str(cell)))
    return desk


def lengthen(desk: Desk) -> None:
    """Make the cell run for as long as a test may take."""
    desk.write("cell.py", CELL.format(ran=str(desk.given("ran")), sleep=120))


def write_notebook(desk: Desk) -> None:
    """What nbconvert executes: the cell."""
    cell: dict[str, object] = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": f"exec(open({str(desk.given('cell.py'))!r}).read())",
    }
    spec = {"name": "k", "display_name": "k", "language": "python"}
    book = {"cells": [cell], "metadata": {"kernelspec": spec}}
    body = json.dumps({**book, "nbformat": 4, "nbformat_minor": 5})
    desk.write("notebook.ipynb", body)


@pytest.fixture
def caller(cluster: Cluster, desk: Desk) -> Iterator[Callable[[str], Caller]]:
    """Start one of CALLERS, or a server with a kernel."""
    callers: list[Caller] = []

    def start(name: str) -> Caller:
        write_notebook(desk)
        callers.append(Caller(cluster, desk, name))
        return callers[-1]

    yield start
    for started in callers:
        started.close()


# --- orderly ------------------------------------------------------------------------

CARRIERS: dict[str, dict[str, Any]] = {
    "ssh": {"carrier": "ssh"},
    SYSTEM.carrier: {"carrier": SYSTEM.carrier},
    "tcp": {"transport": "tcp"},
}


@pytest.mark.parametrize(
    ("name", "carrier"),
    [("script", carrier) for carrier in CARRIERS]
    + [(name, "ssh") for name in CALLERS if name != "script"],
)
def test_after_an_orderly_end(
    cluster: Cluster,
    desk: Desk,
    caller: Callable[[str], Caller],
    name: str,
    carrier: str,
) -> None:
    """A program that shuts its kernel down leaves nothing."""
    desk.spec(CARRIERS[carrier])
    before = traces(cluster, USER)

    program = caller(name)
    said = program.end()

    assert program.process.returncode == 0, said
    assert desk.has("ran"), said
    assert left_over(cluster, USER, before) == [], said


def test_after_a_server_shut_a_kernel_down(
    cluster: Cluster, desk: Desk, caller: Callable[[str], Caller]
) -> None:
    """DELETE of a kernel leaves the server as it was before it; its end, nothing."""
    desk.spec({})
    before = traces(cluster, USER)
    server = caller("server")
    wait_for("the kernel", lambda: server.answers, 60)
    status, kernel = server.answers.pop()
    assert status == 201, kernel
    assert [j.user for j in cluster.jobs()].count(USER) == 1

    server.ask("DELETE", f"/api/kernels/{json.loads(kernel)['id']}").join(60)

    assert [204] == [status for status, _ in server.answers]
    assert [] == left_over(cluster, USER, server.own)
    server.send(signal.SIGTERM)
    said = server.end()
    assert left_over(cluster, USER, before) == [], said


# --- how a start is spoilt ---------------------------------------------------------------


@dataclass(frozen=True)
class Spoilt:
    """A kernelspec and, instead of the system's, programs; {given} is a directory."""

    config: dict[str, Any] = field(default_factory=dict)
    argv: list[str] | None = None
    programs: dict[str, str] = field(default_factory=dict)


def set_up(desk: Desk, spoilt: Spoilt) -> None:
    def fill(text: str) -> str:
        text = text.replace("{private}", str(desk.private))
        return text.replace("{given}", str(desk.given("")))

    config = json.loads(fill(json.dumps(spoilt.config)))
    desk.spec(config, [fill(arg) for arg in spoilt.argv] if spoilt.argv else None)
    for program, script in spoilt.programs.items():
        desk.program(program, fill(script))


# --- starts that fail ---------------------------------------------------------------

CANCELS = pytest.mark.only(
    *("slurm", "gridengine", "oar"), "HTCondor knows nobody on a node who could cancel"
)
CANCEL = " ".join(SYSTEM.cancel(f"${SYSTEM.job_variable}"))
# A word of the message that says why, and how to make it come.
FAILURES: dict[str, tuple[str, Spoilt]] = {
    "refused": (SYSTEM.refuses_word, Spoilt({"queue": "none"})),
    "queue timeout": ("queue_timeout", Spoilt({**LATER, "queue_timeout": 1})),
    "prologue": ("prologue failed", Spoilt({"prologue": ["false"]})),
    "cancelled": (
        "ancelled",
        Spoilt({"prologue": [f"{CANCEL}; sleep 30"]}),
    ),
    "start timeout": (
        "start_timeout",
        Spoilt({"prologue": ["sleep 60"], "start_timeout": 1}),
    ),
    "no python": ("no Python", Spoilt({"python": "/no/such/python"})),
    "no node_dir": ("private directory", Spoilt({"node_dir": "/proc/no"})),
    "state not shared": ("not shared", Spoilt({"state_dir": "{private}"})),
    "no such name": ("No carrier", Spoilt({"carrier": "ssh", "address": "no.invalid"})),
    "nobody there": ("No carrier", Spoilt({"carrier": "ssh", "address": NOBODY})),
    "its own carrier refused": (
        "No carrier",
        Spoilt(
            {"carrier": SYSTEM.carrier},
            programs={SYSTEM.carrier: "echo no >&2; exit 1"},
        ),
    ),
    "no such kernel": ("could not be started", Spoilt(argv=["/no/such/kernel"])),
    "kernel ends": ("ended on c", Spoilt(argv=["sh", "-c", "echo no; exit 3"])),
}


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        pytest.param("script", failure, marks=CANCELS if failure == "cancelled" else ())
        for failure in FAILURES
    ]
    + [("nbconvert", "prologue")]
    + [("server", name) for name in ("refused", "no such name", "kernel ends")],
)
def test_after_a_start_that_failed(
    cluster: Cluster,
    desk: Desk,
    caller: Callable[[str], Caller],
    name: str,
    failure: str,
) -> None:
    """The caller hears why, and nothing is left."""
    word, case = FAILURES[failure]
    set_up(desk, case)
    before = traces(cluster, USER)

    started = caller(name)
    if name == "server":
        wait_for("the server's answer", lambda: started.answers, 60)
        status, kernel = started.answers.pop()
        if failure == "refused":
            assert 500 == status, kernel
        else:  # it is there, to say what went wrong
            assert 201 == status, kernel
            wait_for("the reason", lambda: word in started.said, 60)
            path = f"/api/kernels/{json.loads(kernel)['id']}"
            started.ask("DELETE", path).join(60)
            assert [204] == [status for status, _ in started.answers]
        started.send(signal.SIGTERM)
        said = started.end()
    else:
        said = started.end()
        assert started.process.returncode != 0, said

    assert word in said
    assert left_over(cluster, USER, before) == [], said


# --- signals ------------------------------------------------------------------------

Reached = Callable[[Cluster, Desk], bool]


def has_file(name: str) -> Reached:
    return lambda cluster, desk: desk.has(name)


def is_pending(cluster: Cluster, desk: Desk) -> bool:
    return (USER, "PENDING") in {(job.user, job.state) for job in cluster.jobs()}


def is_connecting(cluster: Cluster, desk: Desk) -> bool:
    """Whether somebody on the login host waits for NOBODY to answer."""
    parts = reversed([int(part) for part in NOBODY.split(".")])
    remote = "".join(f"{part:02X}" for part in parts) + ":0016"
    table = Path(f"/proc/{cluster.pid('login1')}/net/tcp").read_text()
    rows = [line.split() for line in table.splitlines()]
    return (remote, "02") in {(row[2], row[3]) for row in rows}  # 02: TCP_SYN_SENT


def is_attached(cluster: Cluster, desk: Desk) -> bool:
    return desk.has("starting") and desk.has_attached()


# How to see that a start is at this stage, and how to keep it there.
SUBMIT = DRIVERS[SYSTEM.scheduler].command
SLOW = f'touch {{given}}/submitting; sleep 3; exec /usr/bin/{SUBMIT} "$@"'
SLOW_KERNEL = ["sh", "-c", "touch {given}/starting; sleep 100; true"]
STAGES: dict[str, tuple[Reached, Spoilt]] = {
    "submitting": (has_file("submitting"), Spoilt(programs={SUBMIT: SLOW})),
    "pending": (is_pending, Spoilt(LATER)),
    "agent awaited": (
        has_file("prologue"),
        Spoilt({"prologue": ["touch {given}/prologue; sleep 100"]}),
    ),
    "attaching": (is_connecting, Spoilt({"carrier": "ssh", "address": NOBODY})),
    "starting": (is_attached, Spoilt(argv=SLOW_KERNEL)),
    "running": (has_file("ran"), Spoilt()),
    "ending": (has_file("ending"), Spoilt()),
}
# Not each with each: a caller matters where it waits in another way.
AT_STAGES = {
    "script": list(STAGES),
    "nbconvert": ["pending", "attaching", "running"],
    "run": ["pending", "starting", "running"],
    "server": ["submitting", "pending", "starting", "running"],
}


@pytest.fixture
def silence(cluster: Cluster) -> Iterator[None]:
    """Let packets to NOBODY vanish, instead of being told that nobody is there."""
    entry = [NOBODY, "lladdr", "02:72:6b:00:00:63", "dev", "eth0"]
    cluster.run("login1", "root", ["ip", "neigh", "replace", *entry])
    yield
    cluster.run("login1", "root", ["ip", "neigh", "del", *entry])


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("name", "stage"),
    [(name, stage) for name, stages in AT_STAGES.items() for stage in stages],
)
def test_after_a_signal(
    cluster: Cluster,
    desk: Desk,
    caller: Callable[[str], Caller],
    name: str,
    stage: str,
    number: signal.Signals,
) -> None:
    """Ctrl-C, or a SIGTERM, at each stage of a start and of a kernel's life."""
    reached, case = STAGES[stage]
    set_up(desk, case)
    if stage == "running":
        lengthen(desk)
    before = traces(cluster, USER)
    program = caller(name)
    # A server's kernel runs once it has answered; it was given no cell.
    wait_for(stage, lambda: program.answers or reached(cluster, desk), 60)
    assert program.process.poll() is None, program.said
    assert {201} >= {status for status, _ in program.answers}, program.said

    program.send(number)
    said = program.end()

    assert left_over(cluster, USER, before) == [], said


# --- killed on the node -------------------------------------------------------------


def of_the_job(cluster: Cluster) -> dict[str, int]:
    """The agent and the batch script on c1, by the machine's numbers."""
    (agent,) = (
        process.pid
        for process in cluster.processes("c1", USER)
        if "agent.pyz run" in " ".join(process.cmdline)
    )
    status = Path(f"/proc/{agent}/status").read_text()
    return {
        "agent": agent,
        "script": int(re.findall(r"^PPid:\t(\d+)", status, re.MULTILINE)[0]),
    }


@pytest.mark.parametrize(
    "killed",
    [["agent"], ["script", "agent"]],
    ids=" and ".join,
)
def test_after_a_kill_on_the_node(
    cluster: Cluster, desk: Desk, caller: Callable[[str], Caller], killed: list[str]
) -> None:
    """SIGKILL, with cgroups or not: no process or listener stays there.

    Nor does a file, once the user's next kernel has been on that node.
    """
    desk.spec({"transport": "tcp", **SYSTEM.on("c1")})
    before = traces(cluster, USER)
    lengthen(desk)
    program = caller("script")
    wait_for("the kernel", lambda: desk.has("ran"), 60)

    there = of_the_job(cluster)
    for name in killed:
        with contextlib.suppress(ProcessLookupError):  # the batch system was quicker
            os.kill(there[name], signal.SIGKILL)

    def running() -> list[str]:
        more = traces(cluster, USER) - before
        return [one for one in more if one.startswith(("job", "c1: proc", "c1: TCP"))]

    wait_for("the end of all on the node", lambda: not running(), 90)
    program.process.kill()
    ran = str(desk.given("ran"))
    desk.write("cell.py", CELL.format(ran=ran, sleep=0))
    said = caller("script").end()
    wait_for("the end of the job", lambda: not running(), 90)
    left = sorted(one for one in traces(cluster, USER) - before if "c1:" in one)
    assert [] == left, said
