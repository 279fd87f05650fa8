"""What any provisioner does: what callers of jupyter_client rely on, as with a local one.

Real kernels of the local scheduler. The ecosystem's own suites: tests/suites.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.multikernelmanager import AsyncMultiKernelManager
from login.specs import write_spec

from remote_kernels.errors import ConfigError
from remote_kernels.jupyter.background import Background
from remote_kernels.jupyter.provisioner import given

pytestmark = pytest.mark.timeout(90)
SECONDS = 30.0


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Jupyter of this test's own; short paths, because of its sockets."""
    with tempfile.TemporaryDirectory(prefix="local-") as name:
        for variable in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            path = Path(name, variable.lower())
            path.mkdir()
            monkeypatch.setenv(variable, str(path))
        own = {"state_dir": f"{name}/state", "runtime_dir": f"{name}/run"}
        config = {"scheduler": "local", "poll_interval": 0.1, **own}
        curve = {"supported_encryption": ["curve"]}
        write_spec("k", config, env={"OURS": "${GIVEN}"}, metadata=curve)
        yield Path(name)


def until(what: str, ready: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < end, f"waited {SECONDS} s for {what}"
        time.sleep(0.02)


async def asked(client: AsyncKernelClient, code: str) -> str:
    """What the kernel prints for it."""
    printed: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        printed.append(message["content"].get("text", ""))

    await client.execute_interactive(code, output_hook=hook, timeout=SECONDS)
    return "".join(printed).strip()


@asynccontextmanager
async def client_of(manager: Any) -> AsyncIterator[AsyncKernelClient]:
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=SECONDS)
        yield client
    finally:
        client.stop_channels()


# --- fork -----------------------------------------------------------------------------

FORKS = """
import os, sys, time
from jupyter_client.manager import start_new_kernel

def use(client):
    client.execute_interactive("print(6 * 7, flush=True)", timeout=30)

def in_child(work):
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        work()
        sys.exit()
    os.waitpid(pid, 0)
    return time.monotonic() - began

def kernel():
    manager, client = start_new_kernel(kernel_name="k", startup_timeout=60)
    use(client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)

manager, client = start_new_kernel(kernel_name="k")
assert in_child(lambda: None) < 60, "at exit it waited for the parent's thread"
in_child(kernel)
use(client)
client.stop_channels()
manager.shutdown_kernel(now=True)
"""


def test_a_forked_child_has_kernels_of_its_own(home: Path) -> None:
    """It ends at once, starts its own, and the parent's kernel lives on."""
    argv = [sys.executable, "-c", FORKS]
    done = subprocess.run(
        argv, check=False, cwd=home, capture_output=True, text=True, timeout=170
    )

    assert (0, "42\n42\n") == (done.returncode, done.stdout), done.stderr


HELD = """
import os
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="k")
if not os.fork():
    os.read(0, 1)  # until the test has seen enough
    os._exit(0)
print(manager.provisioner.remote_kernel.status.job_id, flush=True)
os.waitpid(-1, 0)
"""


def test_a_forked_child_does_not_hide_its_parents_death(home: Path) -> None:
    """The kernel of a parent that is killed ends, though a child of it lives on."""
    argv, pipe = [sys.executable, "-c", HELD], subprocess.PIPE
    with subprocess.Popen(argv, cwd=home, stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout is not None
        job = Path("/proc", parent.stdout.readline().decode().partition("-")[0])
        assert job.exists()
        parent.kill()
        parent.wait()
        until("the end of its job", lambda: not job.exists())


@pytest.mark.asyncio
async def test_a_wake_up_that_another_process_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forked processes may share the pipe that wakes their loops: nobody waits on."""
    loop = asyncio.get_running_loop()
    background, began = Background(), time.monotonic()
    background.start()
    monkeypatch.setattr(loop, "_write_to_self", lambda: None)
    late = loop.call_later(SECONDS, lambda: None)  # else it would hang without an end
    try:
        assert "done" == await background.run(asyncio.sleep(0.1, "done"))
        assert "done" == await background.finish(asyncio.sleep(0.1, "done"))
    finally:
        late.cancel()
        monkeypatch.undo()
        handler = signal.getsignal(signal.SIGINT)
        background._exit()
        signal.signal(signal.SIGINT, handler)

    assert time.monotonic() - began < SECONDS / 2


# --- the environment ------------------------------------------------------------------


def test_what_was_given() -> None:
    """Of a copy of the server's environment: the changes. Of a few variables: these."""
    server = {"PATH": "/bin", "HOME": "/home/a", "TOKEN": "x"}

    assert [] == given({}, server)
    assert [] == given(server, server)
    assert ["HOME", "NEW"] == given({**server, "HOME": "/", "NEW": "1"}, server)
    assert ["HOME"] == given({"HOME": "/home/a"}, server)


@pytest.mark.asyncio
async def test_environments_reach_the_kernel(home: Path) -> None:
    """`env=` of the start, and after a restart `update_env`; never the server's own."""
    os.environ["OF_THE_SERVER"] = "1"
    names = ("GIVEN", "OURS", "LATER", "OF_THE_SERVER")
    code = f"import os; print([os.environ.get(n) for n in {names}])"
    manager = AsyncKernelManager(kernel_name="k")
    await manager.start_kernel(env={**os.environ, "GIVEN": "ä 1"})
    try:
        async with client_of(manager) as client:
            first = await asked(client, code)
        manager.update_env(env={"LATER": "2"})
        await manager.restart_kernel(now=True)
        async with client_of(manager) as client:
            second = await asked(client, code)
    finally:
        del os.environ["OF_THE_SERVER"]
        await manager.shutdown_kernel(now=True)

    assert "['ä 1', 'ä 1', None, None]" == first
    assert "['ä 1', 'ä 1', '2', None]" == second


# --- managers of many kernels ---------------------------------------------------------


@pytest.mark.asyncio
async def test_a_kernel_that_starts_at_shutdown_all(home: Path) -> None:
    """It is shut down, too."""
    kernels = AsyncMultiKernelManager()
    start: asyncio.Future[str] = asyncio.ensure_future(
        kernels.start_kernel(kernel_name="k")
    )
    while not list(home.glob("state/kernels/*/spec.json")):  # it is under way
        await asyncio.sleep(0.001)
    assert not start.done()

    await asyncio.wait_for(kernels.shutdown_all(now=True), SECONDS)
    await start

    assert [] == kernels.list_kernel_ids()
    assert [] == list(home.glob("state/kernels/*"))
    kernels.context.destroy(linger=0)


@pytest.mark.asyncio
async def test_descriptors_of_one_more_kernel(home: Path) -> None:
    """Three are a local kernel's, one the way into its job: thirty fit in the usual 1024."""

    def descriptors() -> int:
        return len([*Path("/proc/self/fd").iterdir()])

    kernels = AsyncMultiKernelManager()
    try:
        before = 0
        for _ in range(2):
            before = descriptors()
            kernel_id = await kernels.start_kernel(kernel_name="k")
            async with client_of(kernels.get_kernel(kernel_id)) as client:
                assert await asked(client, "print(1)")
        del client
        gc.collect()
        # ZMQ closes the client's and its connections in threads of its own.
        until("eleven", lambda: descriptors() - before <= 11)
    finally:
        await kernels.shutdown_all(now=True)
        kernels.context.destroy(linger=0)


@pytest.mark.asyncio
async def test_the_heart_of_a_kernel(home: Path) -> None:
    """It beats, also in a process that is new; not while the process is stopped."""
    manager = AsyncKernelManager(kernel_name="k")
    await manager.start_kernel()
    try:
        async with client_of(manager) as client:
            beats = client.hb_channel.is_beating
            until("the heart", beats)
            pid = await asked(client, "import os; print(os.getpid())")
            os.kill(int(pid), signal.SIGSTOP)
            until("its rest", lambda: not beats())
            os.kill(int(pid), signal.SIGCONT)
            until("the heart", beats)
            await manager.restart_kernel(now=True)
            await client.wait_for_ready(timeout=SECONDS)
            until("the new heart", beats)
    finally:
        await manager.shutdown_kernel(now=True)


# --- encryption -----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_encryption_that_is_required(home: Path) -> None:
    """It is refused before there is a job, as our sockets have none."""
    manager = AsyncKernelManager(kernel_name="k", transport_encryption="required")

    with pytest.raises(ConfigError, match="transport_encryption is 'required'"):
        await manager.start_kernel()

    assert not list(home.glob("state/kernels/*"))


# --- paths ----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_paths_as_the_kernel_sees_them(home: Path) -> None:
    """From where its process started."""
    (home / "data.csv").touch()
    manager = AsyncKernelManager(kernel_name="k")
    await manager.start_kernel(cwd=str(home))
    try:
        paths = ("data.csv", "./data.csv", str(home / "data.csv"), "nothing", "~")
        found = [manager.resolve_path(path) for path in paths]
    finally:
        await manager.shutdown_kernel(now=True)

    assert [*[str(home / "data.csv")] * 3, None, str(Path.home())] == found


# --- the end --------------------------------------------------------------------------


def test_the_loop_is_closed_at_exit() -> None:
    """Python would warn of it."""
    background = Background()
    background.start()
    handler = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            background._exit()
            assert background.loop.is_closed()
            del background
            gc.collect()
    finally:
        signal.signal(signal.SIGINT, handler)
