"""A new process in the job that is there."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from jupyter_client.multikernelmanager import AsyncMultiKernelManager

from remote_kernels.config import parse
from remote_kernels.jupyter.provisioner import RemoteKernelProvisioner
from remote_kernels.kernel import remote_kernel
from remote_kernels.kernel.launch import Launch
from remote_kernels.kernel.remote_kernel import RemoteKernel
from remote_kernels.kernel.runtime import Runtime

LAUNCH = Launch(
    (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"),
    key=b"key",
)


@asynccontextmanager
async def running(state: Path) -> AsyncIterator[RemoteKernel]:
    config = {"scheduler": "local", "state_dir": str(state)}
    kernel = RemoteKernel("k" * 8, parse(config), runtime=Runtime())
    await kernel.start(LAUNCH)
    try:
        yield kernel
    finally:
        await kernel.release()


@pytest.mark.asyncio
async def test_several_at_once(tmp_path: Path) -> None:
    """One after the other, in the same job; one process is there in the end."""
    async with running(tmp_path) as kernel:
        job = kernel.status.job_id

        await asyncio.gather(*(kernel.restart(LAUNCH) for _ in range(3)))

        agent = kernel._record.read("agent.json")
        assert agent is not None
        tasks = Path(f"/proc/{agent['pid']}/task/{agent['pid']}/children")
        children = [int(pid) for pid in tasks.read_text().split()]
        assert 1 == len([pid for pid in children if os.getsid(pid) == pid])
        assert (job, None) == (kernel.status.job_id, kernel.status.poll())


@pytest.mark.asyncio
@pytest.mark.parametrize("now", [True, False])
async def test_one_in_the_middle_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: bool
) -> None:
    """The process that began is told to end: that is no failure, and the job goes on."""
    kernels = tmp_path / "kernels" / "k"
    kernels.mkdir(parents=True)
    config = {"scheduler": "local", "state_dir": str(tmp_path / "state")}
    ours = {"provisioner_name": "remote-kernels", "config": config}
    spec = {
        "argv": list(LAUNCH.argv),
        "display_name": "k",
        "language": "python",
        "metadata": {"kernel_provisioner": ours},
    }
    (kernels / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    manager = AsyncMultiKernelManager(default_kernel_name="k")
    kernel_id = await manager.start_kernel()
    provisioner = manager.get_kernel(kernel_id).provisioner
    assert isinstance(provisioner, RemoteKernelProvisioner)
    remote = provisioner.remote_kernel
    assert remote is not None
    while not remote.status.restartable or not remote.status.arrived:
        await asyncio.sleep(0.05)
    job = remote.status.job_id

    async def again(after: float) -> None:
        await asyncio.sleep(after)
        await manager.restart_kernel(kernel_id, now=now)

    # Of jupyter_client's own (8.10), as with a local kernel: two set one future.
    await asyncio.gather(again(0), again(0.1), return_exceptions=True)

    end, alive = remote.status.end, await manager.is_alive(kernel_id)
    await manager.shutdown_kernel(kernel_id, now=True)
    assert (None, job, True) == (end, remote.status.job_id, alive)


@pytest.mark.asyncio
async def test_the_node_directory_is_gone(tmp_path: Path) -> None:
    """It is made anew at once, not at the next look."""
    async with running(tmp_path) as kernel:
        agent = kernel._record.read("agent.json")
        assert agent is not None
        shutil.rmtree(Path(agent["pyz"]).parent)

        await kernel.restart(LAUNCH)

        assert kernel.status.poll() is None


@pytest.mark.asyncio
async def test_it_may_take_as_long_as_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That option is what its error names."""
    monkeypatch.setattr(remote_kernel, "RESTART_TIMEOUT", 0.0)
    async with running(tmp_path) as kernel:
        job = kernel.status.job_id
        await kernel.restart(LAUNCH)
        assert job == kernel.status.job_id
