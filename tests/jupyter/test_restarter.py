"""jupyter.manager_adapter: when Jupyter's restarter sees that a kernel is dead."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager

from remote_kernels.jupyter.manager_adapter import ManagerAdapter

pytestmark = pytest.mark.asyncio


class Provisioner:
    """As much of ours as says whether the kernel lives."""

    has_process = True

    def __init__(self, adapter: ManagerAdapter) -> None:
        self._adapter = adapter
        self.code: int | None = None

    async def poll(self) -> int | None:
        if self.code is not None and self._adapter.look_now(self.poll):
            return None
        if self.code is not None:
            self._adapter.restart_no_more()
        return self.code

    def get_stable_start_time(self, recommended: float) -> float:
        return recommended


async def test_a_kernel_lives_for_others_until_the_restarter_sees_its_end() -> None:
    """A websocket that is opened to a dead one waits for it to live."""
    manager = AsyncIOLoopKernelManager()
    provisioner: Any = Provisioner(ManagerAdapter(manager))
    manager.provisioner = provisioner
    seen: list[bool] = []
    manager.start_restarter()
    manager.add_restart_callback(lambda: seen.append(True), "dead")
    try:
        assert await manager.is_alive()
        provisioner.code = 3
        for _ in range(10):
            assert seen or await manager.is_alive()
            await asyncio.sleep(0)
        assert [True] == seen
        assert not await manager.is_alive()
    finally:
        manager.stop_restarter()
    assert not await manager.is_alive()


async def test_a_kernel_that_nobody_would_restart_is_dead_at_once() -> None:
    """Programs that run notebooks have no restarter."""
    manager = AsyncIOLoopKernelManager(autorestart=False)
    provisioner: Any = Provisioner(ManagerAdapter(manager))
    manager.provisioner = provisioner
    provisioner.code = 3
    assert not await manager.is_alive()


async def test_a_person_is_faster_than_the_restarter() -> None:
    """It goes on looking after the kernel that lives again."""
    manager = AsyncIOLoopKernelManager()
    provisioner: Any = Provisioner(ManagerAdapter(manager))
    manager.provisioner = provisioner
    seen: list[bool] = []
    manager.start_restarter()
    manager.add_restart_callback(lambda: seen.append(True), "dead")
    try:
        provisioner.code = 3
        assert await manager.is_alive()
        provisioner.code = None
        await asyncio.sleep(0.01)
        assert [] == seen
        provisioner.code = 3
        assert await manager.is_alive()
        await asyncio.sleep(0.01)
        assert [True] == seen
    finally:
        manager.stop_restarter()
