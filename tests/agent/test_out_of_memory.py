"""agent.supervisor: who of a job was killed for lack of memory, and who only ended."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from remote_kernels.agent import kernel_process
from remote_kernels.agent.supervisor import Kernel
from remote_kernels.wire.codes import Cause, ProcessState
from remote_kernels.wire.control import KernelState

SECONDS = 10.0


@pytest.mark.parametrize(
    ("ends", "cause"),
    [
        ("kill -KILL $$", Cause.OUT_OF_MEMORY),
        ("exit 137", Cause.OUT_OF_MEMORY),  # as a launcher tells it
        ("exit 1", Cause.NONE),
        ("kill -SEGV $$", Cause.NONE),
    ],
)
def test_the_job_had_too_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str, cause: Cause
) -> None:
    """Another kernel may have been killed for it since this one began."""
    monkeypatch.setattr(kernel_process, "oom_kills", itertools.count().__next__)
    connection = {"transport": "ipc", "key": "", "signature_scheme": "hmac-sha256"}
    spec = {"argv": ["sh", "-c", ends], "connection": connection}

    async def main() -> KernelState:
        ended: asyncio.Queue[KernelState] = asyncio.Queue()
        kernel = Kernel("k", spec, str(tmp_path), str(tmp_path))
        kernel.spawn()
        kernel.watch(lambda state: ended.put_nowait(state))
        while True:
            state = await asyncio.wait_for(ended.get(), SECONDS)
            if state.state is ProcessState.EXITED:
                kernel.kill()
                return state

    assert asyncio.run(main()).cause is cause
