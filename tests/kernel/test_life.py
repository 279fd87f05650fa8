"""Whether a kernel lives, with parts that only note what they are asked."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from remote_kernels.kernel import life as module
from remote_kernels.kernel.ending import End
from remote_kernels.kernel.life import Life


@pytest.mark.asyncio
async def test_a_job_that_ends_while_its_kernel_takes_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel is dead, its record says how, and nothing of it is left."""
    monkeypatch.setattr(module, "LAST_WORDS", 0.0)
    monkeypatch.setattr(module, "FAREWELL", 0.0)
    account, here, told = MagicMock(end=None), MagicMock(), asyncio.Event()
    account.connection.exit_code = 1
    account.connection.close = _nothing
    life = Life(account, lambda: None, told.set)

    async def hand_over(connection: Any) -> None:
        life._job_ended(End("it reached its time limit"))

    here.hand_over = hand_over
    life.here = cast("Any", here)

    await life.serve()

    await asyncio.wait_for(told.wait(), 5)
    assert account.seal.called
    assert here.close.called
    assert 1 == await life.wait()


@pytest.mark.asyncio
async def test_it_lives_until_somebody_is_told_that_it_is_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or a websocket that is opened meanwhile waits for it to live."""
    monkeypatch.setattr(module, "LAST_WORDS", 0.01)
    account, told = MagicMock(end=None), asyncio.Event()
    account.connection.agent_ends = False
    account.connection.exit_code = 3
    life = Life(account, told.set, lambda: None)
    life.arrived = True

    life._job_ended(End("it reached its time limit"))

    assert life.poll() is None
    await asyncio.wait_for(told.wait(), 5)
    assert 3 == life.poll()
    await life.stop_tasks()


async def _nothing() -> None:
    pass
