"""agent.kernel_session: whether output may be lost of an agent that stood still."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from remote_kernels.agent import kernel_session as module
from remote_kernels.wire import control


def session(buffer: Any, told: list[control.Message]) -> module.KernelSession:
    kernel: Any = SimpleNamespace(id="k", buffer=buffer)
    made = module.KernelSession(kernel, {}, lambda _: None)
    mux: Any = SimpleNamespace(control=told.append)
    made._mux = mux
    return made


@pytest.mark.asyncio
@pytest.mark.parametrize(("kept", "is_lost"), [(10, False), (600, True)])
async def test_a_kernel_that_goes_on_talking(
    monkeypatch: pytest.MonkeyPatch, kept: int, is_lost: bool
) -> None:
    """What it says afterwards, for however long, is not what it said meanwhile."""
    monkeypatch.setattr(module, "LULL", 0.1)
    buffer = SimpleNamespace(said=0)
    told: list[control.Message] = []

    async def talk() -> None:
        buffer.said += kept
        while True:
            buffer.said += 1
            await asyncio.sleep(0.005)

    talking = asyncio.ensure_future(talk())
    await asyncio.wait_for(session(buffer, told)._stalled(3.0, 0), 1.5)
    talking.cancel()

    assert is_lost == bool(told)
