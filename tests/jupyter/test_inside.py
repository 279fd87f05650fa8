"""jupyter.api.inside and logs: a real server, real kernels, and what is in their jobs."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from served.server import API, TOKEN, Home, Server, home, served
from tornado.websocket import websocket_connect

from remote_kernels.errors import StateError
from remote_kernels.jupyter.api.followers import MOST
from remote_kernels.kernel import service
from remote_kernels.kernel.connection import WAY_IN
from remote_kernels.kernel.remote_process import RemoteProcess
from remote_kernels.kernel.service import Known

pytestmark = pytest.mark.timeout(180)

TIMEOUT = 60.0
TERMINALS = """
c.ServerApp.jpserver_extensions.update({"jupyter_server_terminals": True})
"""
NOT_EXECUTE = """
from jupyter_server.auth import Authorizer

class Some(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action != "execute"

c.ServerApp.authorizer_class = Some
"""
LISTEN = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""
PATHS = [("GET", "listening"), ("GET", "stack"), ("POST", "terminal")]


@pytest.fixture(scope="module")
def here() -> Iterator[Home]:
    with home() as made:
        yield made
        assert [] == made.left()


@pytest.fixture(scope="module")
def server(here: Home) -> Iterator[Server]:
    with served(here, TERMINALS) as made:
        yield made


@pytest.fixture(scope="module")
def kernel(server: Server, here: Home) -> str:
    id = server.start(prologue="export WHERE=inside")
    running(server, id)
    return id


def running(server: Server, id: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while (body := server.api("GET", f"/kernels/{id}").json)["ready"] is None:
        assert time.monotonic() < deadline, body
        time.sleep(0.05)


@contextlib.contextmanager
def process_in_job(here: Home, id: str, *command: str) -> Iterator[str]:
    """What it wrote first."""
    facts = json.loads((here.records / id / "record.json").read_text())
    process = RemoteProcess(Path(facts["directory"]) / WAY_IN, "exec", command)
    with contextlib.closing(process):
        yield next(process.output())[1].decode()


# --- servers in the job ---------------------------------------------------------------


def test_who_listens(server: Server, here: Home, kernel: str) -> None:
    """A server that was started in the job; none of those of this machine besides."""
    before = server.api("GET", f"/kernels/{kernel}/listening")
    with process_in_job(here, kernel, sys.executable, "-c", LISTEN) as port:
        told = server.api("GET", f"/kernels/{kernel}/listening").json

    assert 200 == before.status
    # ipykernel (7) has a socket for its output.
    assert all(one["is_kernel"] and one["is_ephemeral"] for one in before.json)
    (one,) = [each for each in told if not each["is_kernel"]]
    assert {"port", "host", "pid", "command", "is_kernel", "is_ephemeral"} == {*one}
    assert (int(port), "127.0.0.1", False) == (
        one["port"],
        one["host"],
        one["is_kernel"],
    )
    assert one["command"].startswith(f"{sys.executable} -c \\nimport socket")


def test_its_stack(server: Server, kernel: str) -> None:
    """Of each thread of the kernel's process, as py-spy has it."""
    answer = server.api("GET", f"/kernels/{kernel}/stack")

    assert 200 == answer.status, answer.body
    assert "text/plain; charset=utf-8" == answer.headers["Content-Type"]
    assert "MainThread" in answer.body.decode()
    assert "ipykernel" in answer.body.decode()


# --- a terminal -----------------------------------------------------------------------


async def said(server: Server, name: str, typed: str, awaited: str) -> str:
    """What a terminal shows, until it shows that."""
    url = f"ws{server.url.removeprefix('http')}/terminals/websocket/{name}"
    socket = await websocket_connect(f"{url}?token={TOKEN}")
    await socket.write_message(json.dumps(["stdin", typed]))
    text = ""
    while awaited not in text:
        message = await asyncio.wait_for(socket.read_message(), TIMEOUT)
        assert message is not None, text
        kind, *what = json.loads(message)
        assert "disconnect" != kind, text
        text += what[0] if kind == "stdout" else ""
    socket.close()
    return text


@pytest.mark.asyncio
async def test_a_terminal(server: Server, kernel: str) -> None:
    """It is one of the server's, in the kernel's environment."""
    made = await asyncio.to_thread(server.api, "POST", f"/kernels/{kernel}/terminal")
    name = made.json["name"]
    await said(server, name, "echo $WHERE-$((6 * 7))\r", "inside-42")
    listed = await asyncio.to_thread(server.ask, "GET", made.headers["Location"])
    gone = await asyncio.to_thread(server.ask, "DELETE", f"/api/terminals/{name}")

    assert (201, {"name"}) == (made.status, {*made.json})
    assert name == listed.json["name"]
    assert 204 == gone.status


def test_a_server_without_terminals(here: Home) -> None:
    """It is said how one gets there all the same, and what is not understood."""
    off = f"{TERMINALS}\nc.ServerApp.terminals_enabled = False"
    with served(here, off) as without:
        id = without.start()
        running(without, id)
        answer = without.api("POST", f"/kernels/{id}/terminal")
        odd = without.api("POST", f"/kernels/{id}/terminal", {"shell_command": ["x"]})
        without.api("DELETE", f"/kernels/{id}")

    assert 409 == answer.status
    assert f"remote-kernels shell {id}" in answer.message
    assert 400 == odd.status


# --- who may, and when ----------------------------------------------------------------


def test_a_user_who_may_not_run_code(here: Home) -> None:
    """May not look into the job either."""
    with served(here, TERMINALS + NOT_EXECUTE) as limited:
        id = limited.start()
        answers = [
            limited.api(method, f"/kernels/{id}/{path}") for method, path in PATHS
        ]

    assert [403, 403, 403] == [answer.status for answer in answers]
    assert "into their jobs" in answers[0].message
    assert "terminals" in answers[2].message


@pytest.mark.parametrize(
    ("state", "node", "ours", "why"),
    [
        ("ended", "c1", True, "Its job has ended: text"),
        ("suspended", "c1", True, "Nothing can be started in job 4711 now: text"),
        ("running", "c1", False, "last was with process 17 on login1"),
        ("waiting", None, True, r"no node yet: its job 4711 is waiting \(text\)"),
    ],
)
def test_a_job_into_which_one_cannot_go(
    state: str, node: str | None, ours: bool, why: str
) -> None:
    """It is said what it waits for, or who is to be asked."""
    about = {"text": "text", "job": "4711", "pid": 17, "host": "login1"}
    view: Any = SimpleNamespace(kernel_id="k1", state=state, node=node, **about)
    waiting: Any = SimpleNamespace(status=SimpleNamespace(connection=None))
    record: Any = None

    with pytest.raises(StateError, match=why):
        service.way_in(Known(view, record, ours=ours), waiting if ours else None)


# --- logs -----------------------------------------------------------------------------


class Following:
    """A client that follows a log."""

    def __init__(self, server: Server, id: str, name: str = "job") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, TIMEOUT)
        path = f"{API}/kernels/{id}/log?name={name}&lines=2&follow=true"
        headers = {"Authorization": f"token {TOKEN}"}
        self._connection.request("GET", path, headers=headers)
        self.answer = self._connection.getresponse()
        self.status = self.answer.status

    def until(self, text: bytes) -> bytes:
        got = b""
        while text not in got:
            more = self.answer.read1()
            assert more, got
            got += more
        return got

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


def test_a_log_that_is_followed(server: Server, here: Home) -> None:
    """What is written comes, also to a file that was emptied; it ends with the kernel."""
    id = server.start()
    running(server, id)
    log = here.records / id / "job.log"
    with log.open("a") as file:
        file.write("one\ntwo\nthree\n")
    with contextlib.closing(Following(server, id)) as client:
        first = client.until(b"three\n")
        with log.open("a") as file:
            file.write("four ü\n")
        second = client.until("four ü\n".encode())
        log.write_text("anew\n")
        third = client.until(b"anew\n")
        server.api("DELETE", f"/kernels/{id}")
        rest = client.answer.read()

    assert 200 == client.status
    assert "text/plain; charset=utf-8" == client.answer.headers["Content-Type"]
    assert b"two\nthree\n" == first
    assert "four ü\n".encode() == second
    assert b"anew\n" == third
    assert b"four" not in rest


def test_too_many_that_follow(server: Server, kernel: str) -> None:
    """One more is told so, and let in when others have left."""
    clients = [Following(server, kernel, "kernel") for _ in range(MOST)]
    refused = Following(server, kernel)
    body = json.loads(refused.answer.read())
    for client in (*clients, refused):
        client.close()
    deadline = time.monotonic() + TIMEOUT
    while (again := Following(server, kernel)).status == 429:
        again.close()
        assert time.monotonic() < deadline
    again.close()

    assert {200} == {client.status for client in clients}
    assert 429 == refused.status
    assert f"{MOST} logs are followed" in body["message"]
    assert 200 == again.status


def test_a_server_that_stops(here: Home) -> None:
    """Who follows a log comes to its end."""
    with served(here) as stopped:
        id = stopped.start()
        client = Following(stopped, id)
        stopped.process.terminate()
        rest = client.answer.read()
        log = stopped.log.read_text()
    client.close()

    assert isinstance(rest, bytes)
    assert "Traceback" not in log
