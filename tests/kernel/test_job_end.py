"""How a kernel's job ended: the same in memory, on record, and for another process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from remote_kernels.config import parse
from remote_kernels.kernel import inventory
from remote_kernels.kernel.launch import Launch
from remote_kernels.kernel.model import KernelModel
from remote_kernels.kernel.remote_kernel import RemoteKernel
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.records import JobEnd

LAUNCH = Launch(
    (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"),
    key=b"key",
)


@pytest.mark.asyncio
async def test_a_job_that_is_cancelled(tmp_path: Path) -> None:
    """The scheduler's last word is that of the end, not what it said before."""
    told: asyncio.Queue[KernelModel] = asyncio.Queue()

    def hear(action: str, view: KernelModel, text: str) -> None:
        if action == "ended":
            told.put_nowait(view)

    config = {"scheduler": "local", "state_dir": str(tmp_path)}
    kernel = RemoteKernel("k" * 8, parse(config), runtime=Runtime(), on_news=hear)
    await kernel.start(LAUNCH)
    try:
        job_id = kernel.status.job_id
        assert job_id is not None
        await inventory.cancel(Runtime(), "local", job_id)
        event = await asyncio.wait_for(told.get(), 60)
        [recorded] = await inventory.recorded(Runtime(), [tmp_path])

        end = kernel.status.end
        assert end is not None
        assert "CANCELLED" == end.word
        assert end == event.end == kernel.status.model().end == recorded.end
        assert end == JobEnd.read(kernel._record.read("record.json") or {})
        for view in (event, kernel.status.model(), recorded.model()):
            assert ("ended", "CANCELLED") == (view.state, view.job_state)
            assert end.text == view.text
    finally:
        await kernel.release()


@pytest.mark.asyncio
async def test_a_kernel_that_does_not_start(tmp_path: Path) -> None:
    """The scheduler has no word for that; ours is none of its."""
    told = asyncio.Event()

    def hear(action: str, view: KernelModel, text: str) -> None:
        if action == "ended":
            told.set()

    config = {"scheduler": "local", "state_dir": str(tmp_path), "prefix": ["env"]}
    kernel = RemoteKernel("k" * 8, parse(config), runtime=Runtime(), on_news=hear)
    await kernel.start(Launch(("/nowhere/python",), key=b"k"), wait=False)
    try:
        await asyncio.wait_for(told.wait(), 60)
        assert kernel.status.end is not None
        assert "not-started" == kernel.status.end.word
        view = kernel.status.model()
        assert ("ended", "") == (view.state, view.job_state)
    finally:
        await kernel.release()
