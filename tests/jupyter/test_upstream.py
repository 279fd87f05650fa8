"""Faults of jupyter_client (8.10) and jupyter_server (2.21) that are worked around.

Each is seen twice: with the workaround, and without it. The second fails on the day
when upstream has mended the fault, and the workaround can go. Kernels, jobs and
Jupyter's managers and restarters are real.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from login.specs import ARGV, write_spec
from traitlets.config import Config

from remote_kernels.jupyter.manager_adapter import ManagerAdapter
from remote_kernels.jupyter.process import process
from remote_kernels.jupyter.provisioner import RemoteKernelProvisioner
from remote_kernels.kernel import actions
from remote_kernels.scheduler.job import JobId

pytestmark = pytest.mark.timeout(60)
SECONDS = 15.0


class Home:
    """A Jupyter of this test's own: kernelspecs, records, run-time files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        own = {"state_dir": str(path / "state"), "runtime_dir": str(path / "sockets")}
        times = {"poll_interval": 0.1, "start_timeout": 20}
        config = {"scheduler": "local", **times, **own}
        token = path / "token"
        token.touch()
        write_spec("good", config)
        write_spec("once", config, ["sh", "-c", f"rm {token} && exec $*", "-", *ARGV])
        write_spec("refused", {**config, "state_dir": "/dev/null/state"})

    def left(self) -> set[str]:
        """What is there of kernels."""
        kinds = {
            "record": "state/kernels/*",
            "sockets": "sockets/*",
            "connection file": "jupyter_runtime_dir/kernel-*.json",
        }
        return {kind for kind, paths in kinds.items() if any(self.path.glob(paths))}

    def end_of_job(self) -> str:
        """As the record has it."""
        (record,) = self.path.glob("state/kernels/*/record.json")
        return str(json.loads(record.read_text()).get("end", ""))


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    # Not in tmp_path: the path of a socket has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="upstream-") as name:
        for variable in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            path = Path(name, variable.lower())
            path.mkdir()
            monkeypatch.setenv(variable, str(path))
        yield Home(Path(name))


def workaround(*names: str) -> pytest.MarkDecorator:
    """The test runs with these methods of the provisioner or its adapter, and without them."""
    ids = ["with it", "without it"]
    return pytest.mark.parametrize("works", [(), names], ids=ids, indirect=True)


@pytest.fixture
def works(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the workaround is there."""
    for name in request.param:
        owner = (
            ManagerAdapter if hasattr(ManagerAdapter, name) else RemoteKernelProvisioner
        )
        monkeypatch.setattr(owner, name, lambda *args: None)
    return not request.param


class Kernel:
    """A kernel of a notebook server, and what its pages are told of it."""

    def __init__(self, kernels: Any, kernel_id: str) -> None:
        self.id = kernel_id
        self.kernels = kernels
        self.manager = kernels.get_kernel(kernel_id)
        self.told: list[str] = []
        for event in ("restart", "dead"):  # what websockets listen to
            self.manager.add_restart_callback(partial(self.told.append, event), event)
        self.first_job = self.remote.status.job_id

    @property
    def remote(self) -> Any:
        return self.manager.provisioner.remote_kernel

    @property
    def listed(self) -> bool:
        """In GET /api/kernels."""
        return self.id in [model["id"] for model in self.kernels.list_kernels()]

    async def die(self) -> None:
        """Its process; the job lives on."""
        await self.manager.signal_kernel(signal.SIGKILL)

    async def settled(self) -> None:
        """Until Jupyter has restarted it, or failed to, or given it up."""
        await until("news", lambda: self.told and self.manager.ready.done())


def holder(job: JobId) -> int:
    """The process that holds a job of the local scheduler; its end is the job's."""
    return int(job.number.partition("-")[0])


def end_job(kernel: Any) -> None:
    os.kill(holder(kernel.status.job_id), signal.SIGTERM)


async def until(what: str, ready: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < end, f"waited {SECONDS} s for {what}"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(name: str, **options: str) -> AsyncIterator[Kernel]:
    """A kernel, and as much of a notebook server as has kernels."""
    made: Any = AsyncMappingKernelManager  # has no types
    config = Config({"AsyncIOLoopKernelRestarter": {"time_to_dead": 0.1}})
    kernels = made(connection_dir=os.environ["JUPYTER_RUNTIME_DIR"], config=config)
    try:
        kernel_id = await kernels.start_kernel(kernel_name=name, **options)
        kernel = Kernel(kernels, kernel_id)
        try:
            await until("the kernel", lambda: "ready" in kernel.remote.status.times)
            yield kernel
        finally:  # also of one that the server has forgotten
            kernels.remove_kernel(kernel.id)
            await kernel.manager.shutdown_kernel(now=True)
    finally:
        kernels.context.destroy(linger=0)


# --- the server hangs at SIGTERM after a start that failed ----------------------------

SERVER = """
import sys
from jupyter_server.serverapp import ServerApp
from remote_kernels.jupyter.manager_adapter import ManagerAdapter

if sys.argv.pop() == "False":
    ManagerAdapter.forget_pending = lambda self, kernel_id: None

async def use():
    try:
        await app.kernel_manager.start_kernel(kernel_name="good")
        print("started", flush=True)
        await app.kernel_manager.start_kernel(kernel_name="refused")
    finally:
        print("failed", flush=True)

app = ServerApp.instance(port=0, open_browser=False, allow_root=True)
app.initialize(argv=[], find_extensions=False)
app.io_loop.add_callback(use)
app.start()
"""


@workaround("forget_pending")
def test_a_server_that_is_to_end_after_a_failed_start(home: Home, works: bool) -> None:
    """jupyter_client 8.10 keeps the kernel's id, and looks for it in shutdown_all."""
    log = home.path / "log"
    argv = [sys.executable, "-c", SERVER, str(works)]
    with (
        log.open("w") as errors,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            assert process.stdout is not None
            for line in (b"started\n", b"failed\n"):
                assert line == process.stdout.readline(), log.read_text()
            process.terminate()
            process.wait(10)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
        finally:
            process.kill()

    assert works == ended, log.read_text()
    assert works == ("Kernel does not exist" not in log.read_text())


# --- a page shows "restarting" for ever -----------------------------------------------


@pytest.mark.asyncio
@workaround("tell_dead")
async def test_a_restart_that_fails(home: Home, works: bool) -> None:
    """jupyter_client 8.10 raises where nobody hears it."""
    async with running("once") as kernel:
        await kernel.die()
        await kernel.settled()

        assert ["restart", *["dead"] * works] == kernel.told
        assert works == (not kernel.listed)


@pytest.mark.asyncio
async def test_what_a_restart_that_fails_leaves(home: Home) -> None:
    """How it ended, on record; no job, and no sockets once pages have had their time."""
    async with running("once") as kernel:
        await kernel.die()
        await kernel.settled()

        assert ["restart", "dead"] == kernel.told
        process = Path("/proc", str(holder(kernel.first_job)))
        await until("the end of its job", lambda: not process.exists())
        await until("the end of its sockets", lambda: {"record"} == home.left())
        assert "exit code 1" in home.end_of_job()
        assert [] == [*home.path.glob("state/kernels/*/spec.json")]


@pytest.mark.asyncio
async def test_a_restart_without_the_sockets_directory(home: Home) -> None:
    """A cleaner of /tmp was there: it is made anew, and the job is kept."""
    async with running("good") as kernel:
        shutil.rmtree(home.path / "sockets")
        await kernel.die()
        await kernel.settled()

        assert ["restart"] == kernel.told
        assert kernel.first_job == kernel.remote.status.job_id
        assert kernel.remote.status.poll() is None


# --- a kernel that died with its job --------------------------------------------------


@pytest.mark.asyncio
@workaround("restart_no_more", "_note_unasked")
async def test_a_job_that_ended(home: Home, works: bool) -> None:
    """Jupyter's restarter would submit another one at each time limit."""
    async with running("good") as kernel:
        end_job(kernel.remote)
        await kernel.settled()

        assert ["dead" if works else "restart"] == kernel.told
        assert works == (not kernel.listed)
        assert works == (kernel.first_job == kernel.remote.status.job_id)
        assert works == ("The job was cancelled" in home.end_of_job())


@pytest.mark.asyncio
@pytest.mark.parametrize("known", [False, True], ids=["why is unknown", "known"])
async def test_a_job_that_ends_while_its_kernel_is_restarted(
    home: Home, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """The restarter gets no other job, and how this one ended stays in the record."""

    async def end_of_job(self: Any) -> None:
        kernel, self._has_process = self.remote_kernel, False
        end_job(kernel)
        ends = kernel.status.connection
        await until(
            "the end", lambda: kernel.status.end or (not known and ends.agent_ends)
        )

    async with running("good") as kernel:
        with monkeypatch.context() as patch:
            patch.setattr(RemoteKernelProvisioner, "wait", end_of_job)
            await kernel.die()
            await kernel.settled()

        assert ["restart", "dead"] == kernel.told
        assert kernel.first_job == kernel.remote.status.job_id
        assert "The job was cancelled" in home.end_of_job()


@pytest.mark.asyncio
@workaround("clean_up_dead")
async def test_a_dead_kernel_is_cleaned_up(
    home: Home, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    """jupyter_server 2.21 forgets it, and calls nothing even at its own end."""
    monkeypatch.setattr(actions, "FAREWELL", 0.1 if works else 1e6)
    async with running("good") as kernel:
        end_job(kernel.remote)
        await kernel.settled()
        await kernel.kernels.shutdown_all()
        if works:
            await until(
                "the cleanup", lambda: kernel.id not in process().background._held
            )

        more = set() if works else {"sockets", "connection file"}
        assert {"record", *more} == home.left()
        assert works == (kernel.id not in process().background._held)


@pytest.mark.asyncio
@workaround("restart_again")
async def test_a_new_job_that_a_person_asked_for(home: Home, works: bool) -> None:
    """When the kernel dies in it, Jupyter restarts it as ever."""
    async with running("good") as kernel:
        kernel.manager.stop_restarter()  # the person is faster
        end_job(kernel.remote)
        await until("its end", lambda: kernel.remote.status.end)
        answer = await kernel.kernels.restart_kernel(kernel.id)
        await asyncio.wait_for(answer, SECONDS)
        second_job = kernel.remote.status.job_id
        await kernel.die()
        await kernel.settled()

        assert ["restart" if works else "dead"] == kernel.told
        assert kernel.first_job != second_job == kernel.remote.status.job_id
        status = kernel.remote.status
        await until("its state", lambda: works == (status.poll() is None))


# --- a connection file that a killed server left --------------------------------------


@pytest.mark.asyncio
@workaround("drop_stale_file")
async def test_half_a_connection_file(home: Home, works: bool) -> None:
    """jupyter_client 8.10 does not write it in one go, and refuses half of one."""
    kernel_id = "00000000-0000-4000-8000-000000000000"
    file = home.path / "jupyter_runtime_dir" / f"kernel-{kernel_id}.json"
    file.write_text('{"shell_port": 1, ')
    if works:
        async with running("good", kernel_id=kernel_id):
            assert "ipc" == json.loads(file.read_text())["transport"]
    else:
        with pytest.raises(ValueError, match="Expecting"):
            await running("good", kernel_id=kernel_id).__aenter__()
        left = {"connection file"}  # that one
        await until("the start to be undone", lambda: left == home.left())
