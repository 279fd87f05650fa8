"""A client that does not wait for its kernel: what it asked of the stand-in is done.

Real kernels of the local scheduler, under a notebook server's manager, on each transport.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from login.specs import write_spec

pytestmark = [pytest.mark.timeout(60), pytest.mark.asyncio]

SECONDS = 30.0
CURVE = {"metadata": {"supported_encryption": ["curve"]}}
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ipc": ({}, {}),
    "tcp": ({"transport": "tcp"}, {}),
    "curve": ({"transport": "tcp"}, CURVE),
}


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Jupyter of this test's own; short paths, because of its sockets."""
    with tempfile.TemporaryDirectory(prefix="over-") as name:
        for variable in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            path = Path(name, variable.lower())
            path.mkdir()
            monkeypatch.setenv(variable, str(path))
        yield Path(name)


@asynccontextmanager
async def starting(
    kind: str, home: Path
) -> AsyncIterator[tuple[Any, AsyncKernelClient]]:
    """A kernel that has not started, and a client of its."""
    config, more = KINDS[kind]
    own = {"state_dir": str(home / "state"), "runtime_dir": str(home / "run")}
    config = {"scheduler": "local", "poll_interval": 0.1, **own, **config}
    spec_metadata = more.get("metadata", {})
    provisioner = {"provisioner_name": "remote-kernels", "config": config}
    write_spec(
        "k", config, metadata={"kernel_provisioner": provisioner, **spec_metadata}
    )
    made: Any = AsyncMappingKernelManager  # has no types
    kernels = made(connection_dir=str(home / "jupyter_runtime_dir"))
    kernel_id = await kernels.start_kernel(kernel_name="k")
    manager = kernels.get_kernel(kernel_id)
    client = manager.client()
    client.start_channels()
    try:
        yield manager, client
    finally:
        client.stop_channels()
        await kernels.shutdown_kernel(kernel_id, now=True)
        kernels.context.destroy(linger=0)


async def outcome(client: AsyncKernelClient, request: str) -> tuple[str, list[str]]:
    """The reply's status, and all that was printed, until the kernel is idle again."""
    printed: list[str] = []
    while True:
        message = await client.get_iopub_msg(timeout=SECONDS)
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])
        elif message["msg_type"] == "clear_output":
            printed.clear()
        elif message["content"].get("execution_state") == "idle":
            break
    while True:
        reply = await client.get_shell_msg(timeout=SECONDS)
        if reply["parent_header"].get("msg_id") == request:
            return reply["content"]["status"], printed


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_asked_early_is_done(home: Path, kind: str) -> None:
    """In order, once, also for a kernel whose messages only its clients can read."""
    async with starting(kind, home) as (manager, client):
        first = client.execute("answer = 6 * 7; print(answer)")
        second = client.execute("print(answer + 1)")
        assert "ready" not in manager.provisioner.remote_kernel.status.times

        assert ("ok", ["42\n"]) == await outcome(client, first)
        assert ("ok", ["43\n"]) == await outcome(client, second)
        third = client.execute("print(answer + 2)")
        assert ("ok", ["44\n"]) == await outcome(client, third)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_restart_after_it(home: Path, kind: str) -> None:
    """The client that was there from the start stays connected."""
    async with starting(kind, home) as (manager, client):
        first = client.execute("print(1)")
        assert ("ok", ["1\n"]) == await outcome(client, first)

        await manager.restart_kernel()

        await asyncio.wait_for(client.wait_for_ready(), SECONDS)
        second = client.execute("print(2)")
        assert ("ok", ["2\n"]) == await outcome(client, second)


async def state(client: AsyncKernelClient) -> str:
    """The next state of the kernel that goes with no request: pages go by each of them."""
    while True:
        message = await client.get_iopub_msg(timeout=SECONDS)
        if message["msg_type"] == "status" and not message["parent_header"]:
            return str(message["content"]["execution_state"])


@pytest.mark.parametrize("kind", KINDS)
async def test_who_asks_nothing_hears_that_it_is_there(home: Path, kind: str) -> None:
    """A page that was told "starting" does not show that until somebody runs a cell."""
    async with starting(kind, home) as (_, client):
        assert "starting" == await state(client)

        while (said := await state(client)) == "starting":
            pass

        assert "idle" == said
