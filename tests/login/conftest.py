"""Tests that run as a user on a login host, with real kernels in real jobs.

A Jupyter of its own per session: kernelspecs, runtime files and IPython's history in a
directory that goes away. Without a Slurm (no sbatch on PATH) only the local scheduler's
kernels are tested: deselect the mark `cluster`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from login.specs import KERNELS, METADATA, write_spec

START_TIMEOUT = 60.0


@pytest.fixture(scope="session", autouse=True)
def jupyter() -> Iterator[Path]:
    """A Jupyter of this session's own, with a kernelspec for each carrier."""
    assert os.getuid() != 0, "kernels never run as root in a test"
    with tempfile.TemporaryDirectory(prefix="jupyter-", dir=Path.home()) as name:
        home = Path(name)
        for variable in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            os.environ[variable] = str(home / variable.lower())
            Path(os.environ[variable]).mkdir()
        for kernel, config in KERNELS.items():
            config = {**config, "state_dir": str(home / "state")}
            write_spec(kernel, config, metadata=METADATA.get(kernel, {}))
        yield home
        assert [*(home / "state" / "kernels").glob("*")] == [], "records are left"


Running = tuple[AsyncKernelManager, AsyncKernelClient]


@asynccontextmanager
async def running(kernel: str, **options: Any) -> AsyncIterator[Running]:
    """A kernel that answers, and its client. `options` are those of `start_kernel`."""
    context = zmq.asyncio.Context()  # one of its own, as it is destroyed
    manager = AsyncKernelManager(kernel_name=kernel, context=context)
    await manager.start_kernel(**options)
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=START_TIMEOUT)
        yield manager, client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel()
        manager.context.destroy(linger=0)


async def run(client: AsyncKernelClient, code: str, **kwargs: Any) -> str:
    """Execute `code`; returns what it printed. Fails on an error in the cell."""
    printed: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            printed.append(content["text"])
        elif message["msg_type"] == "error":
            printed.append("\n".join(content["traceback"]))

    reply = await client.execute_interactive(
        code, output_hook=hook, timeout=START_TIMEOUT, **kwargs
    )
    text = "".join(printed)
    assert reply["content"]["status"] == "ok", text
    return text.strip()
