"""A server that loses what it stands on while it has kernels: its directories, room."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import resource
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager
from jupyter_client.manager import KernelManager
from served.server import API, TOKEN, Answer, Home, Server, home, served
from tornado.websocket import websocket_connect

from remote_kernels.errors import RecordError
from remote_kernels.jupyter.provisioner import RemoteKernelProvisioner
from remote_kernels.kernel.local_end import LocalEnd

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


def children(pid: int, word: str) -> list[int]:
    argv = ["pgrep", "-P", str(pid), "-f", word]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return [int(found) for found in done.stdout.split()]


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


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_another_user_makes_a_directory_of_that_name(here: Home) -> None:
    """Nothing of the kernel is put there."""
    with served(here) as server:
        kernel = server.start()
        ask(server, kernel, "x = 1")
        ip = json.loads(connection_file(here, kernel).read_text())["ip"]
        place = Path(ip).parent

        shutil.rmtree(place)
        place.mkdir(0o777)
        os.chown(place, 65534, 65534)
        until(
            "the manager follows",
            lambda: json.loads(connection_file(here, kernel).read_text())["ip"] != ip,
        )

        assert "1\n" == ask(server, kernel, "print(x)")
        assert [] == [*place.iterdir()]
        place.rmdir()
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


@pytest.mark.parametrize("helped", [True, False])
def test_an_end_without_descriptors(here: Home, helped: bool) -> None:
    """Another process cancels the job; without it, whoever asked for the end is told."""
    with served(here) as server:
        kernel = server.start(prologue=["sleep 1000"])  # no agent ends the job itself
        view = server.api("GET", f"/kernels/{kernel}").json
        wills = children(server.process.pid, "remote-kernels")
        for will in [] if helped else wills:
            os.kill(will, signal.SIGKILL)

        answer = last_wish(server, f"{API}/kernels/{kernel}")

        if not helped:
            assert jobs_of(kernel)
            os.kill(int(view["job_id"].partition("-")[0]), signal.SIGTERM)
        until("the job's end", lambda: not jobs_of(kernel))
    assert wills
    assert (204 if helped else 502) == answer.status, answer.body
    if not helped:
        assert "could not be cancelled" in answer.message
        assert f"cancel '{view['job_id']};" in answer.message


def last_wish(server: Server, path: str) -> Answer:
    """A DELETE after which the server can open nothing more."""
    most = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[1]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, SECONDS)
    headers = {"Authorization": f"token {TOKEN}"}
    connection.request("GET", "/api/status", headers=headers)
    connection.getresponse().read()
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (5, most))
    try:
        connection.request("DELETE", path, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (most, most))
        connection.close()


def test_a_start_that_jupyter_cannot_finish(here: Home) -> None:
    """The job that was submitted for it is ended."""
    file = here.path / "kernel-file.json"
    file.mkdir()
    manager = KernelManager(kernel_name="quick", connection_file=str(file))

    with pytest.raises(OSError, match=r"kernel-file\.json"):
        manager.start_kernel()

    until("nothing is left", lambda: [] == here.left())
    provisioner = manager.provisioner
    assert isinstance(provisioner, RemoteKernelProvisioner)
    assert provisioner.remote_kernel is None
    until("the job's end", lambda: not jobs_of(provisioner.kernel_id))


def fill(server: Server, most: int) -> None:
    """From now on no file of the server's may have more bytes."""
    limit = (most, resource.RLIM_INFINITY)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limit)


def test_a_restart_while_the_home_is_full(here: Home) -> None:
    """A kernel that is waited for keeps its job."""
    with served(here) as server:
        kernel = server.start(prologue=["sleep 1000"])
        job = server.api("GET", f"/kernels/{kernel}").json["job_id"]
        fill(server, 9)
        server.ask("POST", f"/api/kernels/{kernel}/restart")
        fill(server, resource.RLIM_INFINITY)

        restarted = server.ask("POST", f"/api/kernels/{kernel}/restart")

        assert 200 == restarted.status, restarted.body

        def is_the_same() -> bool:
            view = server.api("GET", f"/kernels/{kernel}").json
            assert job == view["job_id"]
            return bool("starting" == view["state"])

        until("its state is known again", is_the_same)
        assert jobs_of(kernel)
        server.ask("DELETE", f"/api/kernels/{kernel}")
    assert [] == here.left()


def test_a_new_job_while_the_home_is_full(here: Home) -> None:
    """Of a kernel that did not come: nothing is left of what cannot be started."""
    with served(here) as server:
        kernel = server.start(prologue=["exit 3"])
        state = f"/kernels/{kernel}"
        until("its end", lambda: "ended" == server.api("GET", state).json["state"])
        fill(server, 9)

        refused = server.ask("POST", f"/api/kernels/{kernel}/restart")

        assert 500 == refused.status, refused.body
        fill(server, resource.RLIM_INFINITY)
        until("nothing is left", lambda: [] == here.left())
        assert not jobs_of(kernel)


def test_a_new_job_has_its_notebooks(here: Home) -> None:
    """Else the next server brings back a kernel that no page finds."""
    here.spec("never", scheduler="local", poll_interval=0.1, prologue=["exit 3"])
    with served(here) as server:
        body = {"path": "a.ipynb", "name": "a.ipynb", "type": "notebook"}
        asked = server.ask(
            "POST", "/api/sessions", {**body, "kernel": {"name": "never"}}
        )
        kernel = asked.json["kernel"]["id"]
        state = f"/kernels/{kernel}"
        until("its end", lambda: "ended" == server.api("GET", state).json["state"])
        job = server.api("GET", state).json["job_id"]
        file = here.records / kernel / "sessions.json"
        before = file.read_text()

        server.ask("POST", f"/api/kernels/{kernel}/restart")

        until("a new job", lambda: job != server.api("GET", state).json["job_id"])
        assert before == file.read_text()
        until("its end", lambda: "ended" == server.api("GET", state).json["state"])
        server.ask("DELETE", f"/api/kernels/{kernel}")


def test_a_restart_that_this_host_does_not_allow(
    here: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be asked for again: the kernel keeps its job, and nobody calls it dead."""
    asyncio.run(asyncio.wait_for(_restart_twice(monkeypatch), SECONDS))
    assert [] == here.left()


async def _restart_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = AsyncIOLoopKernelManager(kernel_name="quick")
    await manager.start_kernel()
    dead: list[bool] = []
    manager.add_restart_callback(lambda: dead.append(True), "dead")
    provisioner = manager.provisioner
    assert isinstance(provisioner, RemoteKernelProvisioner)
    assert provisioner.remote_kernel is not None
    job = provisioner.remote_kernel.status.job_id
    with monkeypatch.context() as patch:
        patch.setattr(LocalEnd, "open", _cannot_open)
        with pytest.raises(RecordError, match="no room"):
            await manager.restart_kernel(now=True)

    await manager.restart_kernel(now=True)

    assert [] == dead
    assert provisioner.remote_kernel is not None
    assert (job, None) == (
        provisioner.remote_kernel.status.job_id,
        provisioner.remote_kernel.status.end,
    )
    assert await manager.is_alive()
    await manager.shutdown_kernel(now=True)


def _cannot_open(self: LocalEnd, key: bytes) -> dict[str, object]:
    raise RecordError("no room")
