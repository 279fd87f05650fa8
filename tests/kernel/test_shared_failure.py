"""kernel.startup: a kernel of a shared job that never answers leaves nothing in it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_kernels.config import parse
from remote_kernels.kernel.launch import Launch
from remote_kernels.kernel.model import KernelModel
from remote_kernels.kernel.remote_kernel import RemoteKernel
from remote_kernels.kernel.runtime import Runtime

SECONDS = 60.0
MUTE = """
import os, sys, time
with open(sys.argv[1] + ".tmp", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
time.sleep(3600)
"""


async def until(is_so: Callable[[], bool]) -> None:
    async def poll() -> None:
        while not is_so():
            await asyncio.sleep(0.05)

    await asyncio.wait_for(poll(), SECONDS)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.asyncio
async def test_its_process_is_ended(tmp_path: Path) -> None:
    """Nobody knows of it any more, and the job is not cancelled."""
    told = asyncio.Event()

    def hear(action: str, view: KernelModel, text: str) -> None:
        if action == "ended":
            told.set()

    config = {
        "scheduler": "local",
        "allocation": "team",
        "keep": 0.1,
        "start_timeout": 3,
        "prefix": ["env"],  # so that none is started here, to be asked for its info
        "state_dir": str(tmp_path),
    }
    kernel = RemoteKernel("k" * 8, parse(config), runtime=Runtime(), on_news=hear)
    argv = sys.executable, "-I", "-S", "-c", MUTE, str(tmp_path / "pid")
    await kernel.start(Launch(argv), wait=False)
    await asyncio.wait_for(told.wait(), SECONDS)
    try:
        assert "did not listen" in kernel.status.end_text
        pid = int((tmp_path / "pid").read_text())
        assert not is_alive(pid)
        await until(lambda: not (tmp_path / "allocations" / "team").exists())
    finally:
        await kernel.release()
