"""jupyter.extension: kernels that come back, their sessions, and the server's end.

Records and Jupyter's managers of sessions and kernelspecs are real; kernels are played.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Semaphore
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server._tz import utcnow
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.services.sessions.sessionmanager import SessionManager
from served.server import TOKEN, home, served
from tornado.httpserver import HTTPServer

from remote_kernels import records
from remote_kernels.jupyter import extension
from remote_kernels.jupyter.extension import (
    RemoteKernelsApp,
    _jupyter_server_extension_points,
)
from remote_kernels.jupyter.process import process
from remote_kernels.jupyter.provisioner import RemoteKernelProvisioner
from remote_kernels.records import Record

GONE = {"job_id": "1-1", "job_where": "/nowhere/job.log"}


class Provisioner(RemoteKernelProvisioner):
    """Notes what it is told."""

    sessions: dict[str, Any] | None = None
    notebook = ""
    detached = False

    def note_sessions(self, sessions: dict[str, Any], notebook: str) -> None:
        self.sessions, self.notebook = sessions, notebook

    async def detach(self) -> None:
        self.detached = True


class Kernels(AsyncMappingKernelManager):
    """Starts nothing, and fails for the kernel that is called "bad"."""

    async def start_kernel(self, **options: Any) -> str:  # type: ignore[override]
        kernel_id = str(options["kernel_id"])
        if kernel_id == "bad":
            raise OSError("no such node")
        self.add(kernel_id, Provisioner(), options["kernel_name"])
        return kernel_id

    def add(self, kernel_id: str, provisioner: object, name: str = "python") -> None:
        self._kernels[kernel_id] = SimpleNamespace(
            kernel_id=kernel_id,
            kernel_name=name,
            provisioner=provisioner,
            stop_restarter=lambda: None,
            update_env=lambda env: None,
            last_activity=utcnow(),
            execution_state="idle",
        )

    def names(self) -> dict[str, str]:
        return {
            kernel_id: kernel.kernel_name for kernel_id, kernel in self._kernels.items()
        }


class Server:
    """As much of a notebook server as the extension knows of."""

    def __init__(self, kernelspecs: Path) -> None:
        make: Any = Kernels, SessionManager  # have no types
        self.kernel_manager: Kernels = make[0]()
        self.session_manager: Any = make[1](kernel_manager=self.kernel_manager)
        self.kernel_spec_manager = KernelSpecManager(
            kernel_dirs=[str(kernelspecs)], ensure_native_kernel=False
        )
        self.http_server = HTTPServer(lambda request: None)
        self.app = RemoteKernelsApp(serverapp=self)
        self.app.log = logging.getLogger("extension")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Records are in `tmp_path`; Slurm is installed but does not answer."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.touch(0o700)
    made = Server(tmp_path / "kernelspecs")
    yield made
    made.session_manager.close()  # SQLite's, which only this thread may close
    made.session_manager.connection.close()


def record_of(kernel: str, **facts: Any) -> Record:
    """A kernel that was left running."""
    made = Record(records.state_dir(None), kernel)
    made.create()
    for name in ("spec", "agent"):
        made.write(f"{name}.json", {})
    running = {"scheduler": "slurm", "job_id": "17", "spec_name": "python"}
    made.write("record.json", {**running, **facts})
    return made


@pytest.mark.asyncio
async def test_kernels_come_back_under_their_ids(server: Server) -> None:
    """With their kernelspecs."""
    record_of("k1", spec_name="python")
    record_of("k2", spec_name="ir")

    await server.app._bring_back_all()

    assert {"k1": "python", "k2": "ir"} == server.kernel_manager.names()


@pytest.mark.asyncio
async def test_one_that_does_not_come_back(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, and keeps none of the others away."""
    for kernel in ("a", "bad", "c"):
        record_of(kernel)

    await server.app._bring_back_all()

    assert ["a", "c"] == [*server.kernel_manager.names()]
    assert "bad (job 17) did not come back: no such node" in caplog.text


@pytest.mark.asyncio
async def test_one_whose_job_has_ended(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, and its record is sealed."""
    record = record_of("k1", scheduler="local", **GONE)

    await server.app._bring_back_all()
    told = caplog.text.count("ended while no server was there")
    await server.app._bring_back_all()

    assert {} == server.kernel_manager.names()
    assert not record.is_live
    assert 1 == told == caplog.text.count("ended while no server was there")


@pytest.mark.asyncio
async def test_one_whose_agent_has_never_spoken(server: Server) -> None:
    """Its job may still wait: it comes back, and is waited for."""
    (record_of("k1").path / "agent.json").unlink()

    await server.app._bring_back_all()

    assert {"k1"} == {*server.kernel_manager.names()}


@pytest.mark.asyncio
async def test_a_notebook_finds_its_session(server: Server) -> None:
    """With the same ids, path and kernel."""
    session = {"path": "a.ipynb", "name": "a", "type": "notebook"}
    record_of("k1").write("sessions.json", {"s1": session})

    await server.app._bring_back_all()

    (found,) = await server.session_manager.list_sessions()
    assert ("s1", "a.ipynb", "k1") == (
        found["id"],
        found["path"],
        found["kernel"]["id"],
    )


@pytest.mark.asyncio
async def test_a_session_that_the_server_still_knows(server: Server) -> None:
    """A server with a session database; it may have been renamed since."""
    server.kernel_manager.add("k1", Provisioner())
    await server.session_manager.save_session(
        "s1", path="new.ipynb", name="", type="notebook", kernel_id="k1"
    )
    session = {"path": "old.ipynb", "name": "", "type": "notebook"}
    record_of("k1").write("sessions.json", {"s1": session})

    await server.app._bring_back_all()

    (found,) = await server.session_manager.list_sessions()
    assert "new.ipynb" == found["path"]


@pytest.mark.asyncio
async def test_sessions_are_noted_whenever_they_change(server: Server) -> None:
    """All those of the kernel, and of no other one."""
    one, two = Provisioner(), Provisioner()
    server.kernel_manager.add("k1", one)
    server.kernel_manager.add("k2", two)
    server.app._note_sessions()
    save = server.session_manager.save_session

    for session, kernel in (("s1", "k1"), ("s2", "k1"), ("s3", "k2")):
        await save(session, path=session, name="", type="console", kernel_id=kernel)
    await server.session_manager.update_session("s2", path="renamed")

    about = {"name": "", "type": "console"}
    expected = {"s1": {"path": "s1", **about}, "s2": {"path": "renamed", **about}}
    assert expected == one.sessions
    assert {"s3": {"path": "s3", **about}} == two.sessions


@pytest.mark.asyncio
async def test_a_renamed_notebook_is_noted_as_the_next_kernel_has_it(
    server: Server, tmp_path: Path
) -> None:
    """In JPY_SESSION_NAME, so that it is known whose place it takes."""
    server.kernel_manager.root_dir = str(tmp_path)
    provisioner = Provisioner()
    server.kernel_manager.add("k1", provisioner)
    server.app._note_sessions()
    about = {"type": "notebook", "kernel_id": "k1"}
    await server.session_manager.save_session("s", path="a", name="a", **about)
    assert str(tmp_path / "a") == provisioner.notebook

    await server.session_manager.update_session("s", path="b", name="b")

    env = server.session_manager.get_kernel_env("b", "b")
    assert str(tmp_path / "b") == env["JPY_SESSION_NAME"] == provisioner.notebook


@pytest.mark.asyncio
async def test_sessions_of_other_kernels(server: Server) -> None:
    """A local kernel does not outlive the server; nothing is written for it."""
    server.kernel_manager.add("k1", object())
    server.app._note_sessions()

    model = await server.session_manager.save_session(
        "s1", path="a", name="", type="notebook", kernel_id="k1"
    )

    assert "s1" == model["id"]


def test_state_directories_of_all_kernelspecs(server: Server, tmp_path: Path) -> None:
    """The usual one, and what a kernelspec of ours names."""
    ours, theirs = "remote-kernels", "local-provisioner"
    for number, (provisioner, config) in enumerate(
        [(ours, {"state_dir": "/a"}), (ours, {}), (theirs, {"state_dir": "/b"})]
    ):
        spec = {
            "argv": [],
            "display_name": "",
            "language": "",
            "metadata": {
                "kernel_provisioner": {
                    "provisioner_name": provisioner,
                    "config": config,
                }
            },
        }
        directory = tmp_path / "kernelspecs" / f"k{number}"
        directory.mkdir(parents=True)
        (directory / "kernel.json").write_text(json.dumps(spec))

    usual = tmp_path / "state" / "remote_kernels"
    assert {usual, Path("/a")} == set(server.app._state_dirs())


def test_a_kernelspec_that_makes_no_sense(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out, which is said once; the others count."""
    configs = {"null": None, "number": {"state_dir": 5}, "good": {"state_dir": "/a"}}
    for name, config in configs.items():
        directory = tmp_path / "kernelspecs" / f"odd-{name}"
        directory.mkdir(parents=True)
        ours = {"provisioner_name": "remote-kernels", "config": config}
        about = {"argv": ["x"], "display_name": "x", "language": "x"}
        spec = {**about, "metadata": {"kernel_provisioner": ours}}
        (directory / "kernel.json").write_text(json.dumps(spec))

    found = [set(server.app._state_dirs()) for _ in range(2)]

    usual = tmp_path / "state" / "remote_kernels"
    assert [{usual, Path("/a")}] * 2 == found
    for name in ("null", "number"):
        assert 1 == caplog.text.count(f"odd-{name} is left out")


@pytest.mark.asyncio
async def test_a_server_that_stops_lets_go_of_its_kernels(server: Server) -> None:
    """Of ours; others are left for it to shut down."""
    mine = Provisioner()
    server.kernel_manager.add("mine", mine)
    server.kernel_manager.add("other", object())

    await server.app.stop_extension()

    assert mine.detached
    assert ["other"] == server.kernel_manager.list_kernel_ids()


@pytest.mark.asyncio
async def test_a_server_that_takes_its_kernels_with_it(server: Server) -> None:
    """If it is configured so, it shuts them down itself; also those to come."""
    mine = Provisioner()
    server.kernel_manager.add("mine", mine)
    process().lasting.add(server.kernel_manager)
    server.app.on_stop = "shutdown"

    await server.app.stop_extension()

    assert not mine.detached
    assert server.kernel_manager not in process().lasting
    assert ["mine"] == server.kernel_manager.list_kernel_ids()


@pytest.mark.asyncio
async def test_a_start_that_is_under_way_when_the_server_stops(server: Server) -> None:
    """It comes to its end, and its kernel is let go of as all others are."""
    mine, manager = Provisioner(), server.kernel_manager
    stopping, is_there = asyncio.Event(), asyncio.Event()

    async def start() -> None:
        await stopping.wait()
        manager.add("mine", mine)
        is_there.set()

    manager._pending_kernels["mine"] = asyncio.create_task(start())
    stop = asyncio.create_task(server.app.stop_extension())
    await asyncio.sleep(0)
    assert not stop.done()
    stopping.set()
    await stop

    assert is_there.is_set()
    assert mine.detached
    assert {} == manager._pending_kernels


@pytest.mark.asyncio
async def test_a_start_that_takes_too_long_for_a_server_that_stops(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cancelled: a server that ends must end."""
    monkeypatch.setattr(extension, "STARTING", 0.0)
    starting = asyncio.create_task(asyncio.Event().wait())
    server.kernel_manager._pending_kernels["mine"] = starting

    await server.app.stop_extension()

    assert starting.cancelled()
    assert {} == server.kernel_manager._pending_kernels


def test_pages_that_ask_for_files_when_the_server_stops() -> None:
    """It ends all the same, while jupyter_server alone (2.21) mostly goes on for ever."""

    def ask_on(port: int) -> None:
        page = HTTPConnection("127.0.0.1", port)
        page.connect()
        page.auto_open = 0  # no second connection
        with contextlib.suppress(OSError, HTTPException):
            while True:
                page.request("GET", f"/api/contents/a.txt?token={TOKEN}")
                assert b"text" in page.getresponse().read()
                asked.release()

    asked = Semaphore(0)
    with ThreadPoolExecutor(4) as pages, home() as here, served(here) as real:
        (here.root / "a.txt").write_text("text")
        done = [pages.submit(ask_on, real.port) for _ in range(4)]
        for _ in range(20):
            assert asked.acquire(timeout=60)
    for page in done:
        page.result()


def test_jupyter_finds_the_extension() -> None:
    """And it is switched on by installing."""
    (point,) = _jupyter_server_extension_points()
    config = Path(records.__file__).parents[1] / "jupyter" / "server_config.json"
    enabled = json.loads(config.read_text())["ServerApp"]["jpserver_extensions"]

    assert point["app"] is RemoteKernelsApp
    assert point["module"].startswith(tuple(enabled))
