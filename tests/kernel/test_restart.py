"""A new process in the job that is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from remote_kernels.config import parse
from remote_kernels.kernel import story
from remote_kernels.kernel.launch import Launch
from remote_kernels.kernel.story import RemoteKernel


@pytest.mark.asyncio
async def test_it_may_take_as_long_as_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That option is what its error names."""
    monkeypatch.setattr(story, "RESTART_TIMEOUT", 0.0)
    config = {"scheduler": "local", "state_dir": str(tmp_path)}
    kernel = RemoteKernel("k" * 8, parse(config))
    launch = Launch(
        (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"),
        key=b"key",
    )
    await kernel.start(launch)
    try:
        job = kernel.job_id
        await kernel.restart(launch)
        assert job == kernel.job_id
    finally:
        await kernel.release()
