"""bounded.within: a limit that loses neither the result nor a cancellation."""

from __future__ import annotations

import asyncio

import pytest
from front.world import timeless

from remote_kernels.bounded import within


@timeless
async def test_a_result() -> None:
    """Before the limit; or without one."""
    assert "done" == await within(asyncio.sleep(1, "done"), 2)
    assert "done" == await within(asyncio.sleep(1, "done"), None)


@timeless
async def test_too_late() -> None:
    """What is awaited is cancelled, and has ended."""
    work = asyncio.ensure_future(asyncio.sleep(3))

    with pytest.raises(asyncio.TimeoutError):
        await within(work, 2)

    assert work.cancelled()


@timeless
async def test_an_error() -> None:
    """It is the caller's, also when it comes of the limit's cancellation."""

    async def fail() -> None:
        try:
            await asyncio.sleep(3)
        finally:
            raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        await within(fail(), 2)


@timeless
async def test_a_cancellation() -> None:
    """What is awaited is cancelled, too."""
    work = asyncio.ensure_future(asyncio.sleep(3))
    waiting = asyncio.ensure_future(within(work, None))
    await asyncio.sleep(1)

    waiting.cancel()
    await asyncio.wait((waiting,))

    assert waiting.cancelled()
    assert work.cancelled()


@timeless
async def test_a_cancellation_together_with_the_result() -> None:
    """It is not forgotten: a task that was to end would go on."""
    work = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(within(work, 2))
    await asyncio.sleep(1)

    work.set_result(None)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))

    assert waiting.cancelled()
