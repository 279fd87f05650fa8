"""A server that loses what it stands on while it has kernels: its directories, room."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served.server import TOKEN, Home, Server, home, served
from tornado.websocket import websocket_connect

pytestmark = pytest.mark.timeout(180)

SECONDS = 60.0


@pytest.fixture
def here() -> Iterator[Home]:
    with home() as made:
        yield made


async def _ask(server: Server, kernel: str, code: str) -> str:
    """What a new page gets to see of a cell: its text on standard output."""
    url = f"ws{server.url.removeprefix('http')}/api/kernels/{kernel}/channels"
    page = await websocket_connect(f"{url}?token={TOKEN}&session_id={uuid.uuid4()}")
    head = {"msg_id": str(uuid.uuid4()), "msg_type": "execute_request"}
    head |= {"username": "", "session": "s", "version": "5.3", "date": ""}
    content = {"code": code, "silent": False}
    asked = {"header": head, "parent_header": {}, "metadata": {}, "content": content}
    await page.write_message(json.dumps({**asked, "channel": "shell"}))
    text = ""
    while True:
        said = await page.read_message()
        assert isinstance(said, str), text
        message = json.loads(said)
        if message["parent_header"].get("msg_id") != head["msg_id"]:
            continue
        if message["msg_type"] == "clear_output":  # how the job stood is told no more
            text = ""
        elif message["msg_type"] == "stream":
            text += message["content"]["text"]
        if message["content"].get("execution_state") == "idle":
            break
    page.close()
    while await page.read_message() is not None:
        pass
    return text


def ask(server: Server, kernel: str, code: str) -> str:
    return asyncio.run(asyncio.wait_for(_ask(server, kernel, code), SECONDS))


def until(what: str, is_so: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def descriptors(server: Server) -> int:
    return len([*Path(f"/proc/{server.process.pid}/fd").iterdir()])


def connection_file(here: Home, kernel: str) -> Path:
    return here.path / "jupyter_runtime_dir" / f"kernel-{kernel}.json"


def jobs_of(kernel: str) -> str:
    """The processes of a kernel's local job."""
    argv = ["pgrep", "-f", f"name=jupyter-{kernel[:8]}"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def test_the_runtime_directory_is_removed(here: Home) -> None:
    """As by logind: new pages are answered, and a restart keeps the job."""
    with served(here) as server:
        kernel = server.start()
        job = server.api("GET", f"/kernels/{kernel}").json["job_id"]
        assert "1\n" == ask(server, kernel, "x = 1; print(x)")

        shutil.rmtree(here.path / "sockets")
        shutil.rmtree(here.path / "jupyter_runtime_dir")
        assert "1\n" == ask(server, kernel, "print(x)")

        shutil.rmtree(here.path / "sockets")
        restarted = server.ask("POST", f"/api/kernels/{kernel}/restart")
        assert 200 == restarted.status, restarted.body
        assert "False\n" == ask(server, kernel, "print('x' in globals())")
        after = server.api("GET", f"/kernels/{kernel}").json
        assert (job, "running") == (after["job_id"], after["state"])
    assert [] == here.left()


def test_the_runtime_directory_does_not_come_back(here: Home) -> None:
    """The kernel is to be found at another place, also after a restart."""
    with served(here) as server:
        kernel = server.start()
        job = server.api("GET", f"/kernels/{kernel}").json["job_id"]
        ask(server, kernel, "x = 1")
        before = json.loads(connection_file(here, kernel).read_text())["ip"]

        shutil.rmtree(here.path / "sockets")
        (here.path / "sockets").touch()  # nothing can be made here, also by root
        until(
            "the manager follows",
            lambda: (
                json.loads(connection_file(here, kernel).read_text())["ip"] != before
            ),
        )
        assert "1\n" == ask(server, kernel, "print(x)")

        restarted = server.ask("POST", f"/api/kernels/{kernel}/restart")
        assert 200 == restarted.status, restarted.body
        assert "False\n" == ask(server, kernel, "print('x' in globals())")
        after = server.api("GET", f"/kernels/{kernel}").json
        assert (job, "running") == (after["job_id"], after["state"])
        place = Path(json.loads(connection_file(here, kernel).read_text())["ip"]).parent
        assert place.is_dir()
        (here.path / "sockets").unlink()
    assert [] == here.left()
    assert not place.exists()


def test_a_start_without_descriptors(here: Home) -> None:
    """It is refused before there is a job, and told why and what to do."""
    with served(here) as server:
        used = descriptors(server)
        limit = (used + 12, used + 12)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limit)

        answer = server.api("POST", "/kernels", {"name": "quick"})

        assert 503 == answer.status, answer.body
        assert "ulimit" in answer.message
        assert str(used + 12) in answer.message
        assert [] == server.api("GET", "/kernels").json
        assert [] == here.left()


def test_an_end_without_descriptors(here: Home) -> None:
    """The job is cancelled all the same, by another process."""
    with served(here) as server:
        kernel = server.start()
        ask(server, kernel, "import os, signal; print(os.getppid())")
        assert jobs_of(kernel)
        agent = here.records / kernel / "agent.json"
        pid = json.loads(agent.read_text())["pid"]
        os.kill(pid, 19)  # so that it cannot end the job itself
        try:
            limit = descriptors(server) + 1
            most = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[1]
            limits = (limit, most)
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)

            answer = server.api("DELETE", f"/kernels/{kernel}")
            until("the job's end", lambda: not jobs_of(kernel))
        finally:
            limits = (most, most)
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        assert 204 == answer.status, answer.body
