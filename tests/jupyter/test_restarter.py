"""jupyter.manager_adapter: when Jupyter's restarter sees that a kernel is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
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


class Watched:
    """A kernel, and when its restarter has seen that it is dead."""

    def __init__(self, *, autorestart: bool = True) -> None:
        self.manager = AsyncIOLoopKernelManager(autorestart=autorestart)
        provisioner: Any = Provisioner(ManagerAdapter(self.manager))
        self.provisioner = self.manager.provisioner = provisioner
        self.seen: list[bool] = []

    @contextmanager
    def restarting(self) -> Iterator[None]:
        self.manager.start_restarter()
        self.manager.add_restart_callback(lambda: self.seen.append(True), "dead")
        try:
            yield
        finally:
            self.manager.stop_restarter()


async def test_a_kernel_lives_for_others_until_the_restarter_sees_its_end() -> None:
    """A websocket that is opened to a dead one waits for it to live."""
    kernel = Watched()
    with kernel.restarting():
        assert await kernel.manager.is_alive()
        kernel.provisioner.code = 3
        for _ in range(10):
            assert kernel.seen or await kernel.manager.is_alive()
            await asyncio.sleep(0)
        assert [True] == kernel.seen
        assert not await kernel.manager.is_alive()
    assert not await kernel.manager.is_alive()


async def test_a_kernel_that_nobody_would_restart_is_dead_at_once() -> None:
    """Programs that run notebooks have no restarter."""
    kernel = Watched(autorestart=False)
    kernel.provisioner.code = 3
    assert not await kernel.manager.is_alive()


async def test_a_person_is_faster_than_the_restarter() -> None:
    """It goes on looking after the kernel that lives again."""
    kernel = Watched()
    with kernel.restarting():
        kernel.provisioner.code = 3
        assert await kernel.manager.is_alive()
        kernel.provisioner.code = None
        await asyncio.sleep(0.01)
        assert [] == kernel.seen
        kernel.provisioner.code = 3
        assert await kernel.manager.is_alive()
        await asyncio.sleep(0.01)
        assert [True] == kernel.seen
