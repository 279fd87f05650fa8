"""bounded: limits that lose neither a result nor a cancellation, pauses, races."""

from __future__ import annotations

import asyncio
from itertools import islice

import pytest
from front.world import timeless

from remote_kernels.bounded import backoff, first_of, within


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


def test_pauses_that_grow() -> None:
    """Doubled each time up to the last, and never the same for all who wait."""
    pauses = [*islice(backoff(1, 5), 5)]

    assert all(m / 2 <= p <= m for p, m in zip(pauses, (1, 2, 4, 5, 5), strict=True))
    assert pauses != [*islice(backoff(1, 5), 5)]


@timeless
async def test_the_first_of_several() -> None:
    """The others are cancelled, and have ended."""
    ended = asyncio.Event()

    async def late() -> str:
        try:
            return await asyncio.sleep(9, "late")
        finally:
            await asyncio.sleep(1)
            ended.set()

    assert "soon" == await first_of(late(), asyncio.sleep(1, "soon"))
    assert ended.is_set()


@timeless
async def test_both_are_first() -> None:
    """The one that was given first counts, and its error is raised."""

    async def fail() -> str:
        msg = "of its own"
        raise ValueError(msg)

    assert "a" == await first_of(asyncio.sleep(0, "a"), asyncio.sleep(0, "b"))
    with pytest.raises(ValueError, match="of its own"):
        await first_of(fail(), asyncio.sleep(1, "late"))


@timeless
async def test_a_race_that_is_cancelled() -> None:
    """So is everything in it, but for what was shielded."""
    lives = asyncio.get_running_loop().create_future()
    work = asyncio.ensure_future(asyncio.sleep(9))
    race = asyncio.ensure_future(first_of(work, asyncio.shield(lives)))
    await asyncio.sleep(1)

    race.cancel()
    await asyncio.wait((race,))

    assert work.cancelled()
    assert not lives.done()
