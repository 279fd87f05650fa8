"""tunnel.race: several ways at once, each with a head start, on a clock of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from remote_kernels.tunnel.race import Outcome, race
from tunnel.chaos import Clock

Attempt = Callable[[], Coroutine[Any, Any, str]]


async def head_start(number: int) -> None:
    await asyncio.sleep(2.0)


class World:
    """Attempts by how long they take and what comes of them."""

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}
        self.cancelled: list[str] = []
        self.discarded: list[str] = []

    def attempt(
        self, name: str, seconds: float, error: Exception | None = None
    ) -> Attempt:
        async def run() -> str:
            self.begun[name] = asyncio.get_running_loop().time()
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                await asyncio.sleep(1)  # it has something to put away
                self.cancelled.append(name)
                raise
            if error is not None:
                raise error
            return name

        return run

    def race(self, *attempts: Attempt) -> tuple[Outcome[str], float]:
        async def main() -> tuple[Outcome[str], float]:
            outcome = await race(attempts, head_start, self.discarded.append, KeyError)
            now = asyncio.get_running_loop().time()
            if outcome.losers:
                await asyncio.wait(outcome.losers)
            return outcome, now

        return Clock().run(main())


def test_the_first_is_quick() -> None:
    """The others never begin."""
    world = World()
    outcome, took = world.race(world.attempt("a", 1), world.attempt("b", 0))

    assert ((0, "a"), 1.0) == (outcome.winner, took)
    assert {"a": 0.0} == world.begun


def test_the_first_is_slow() -> None:
    """The next begins beside it, wins, and does not wait for the other's end."""
    world = World()
    outcome, took = world.race(world.attempt("a", 9), world.attempt("b", 1))

    assert ((1, "b"), 3.0) == (outcome.winner, took)
    assert ["a"] == world.cancelled


def test_the_first_comes_in_after_all() -> None:
    """It was not given up for its slowness."""
    world = World()
    outcome, took = world.race(world.attempt("a", 3), world.attempt("b", 9))

    assert ((0, "a"), 3.0) == (outcome.winner, took)
    assert ["b"] == world.cancelled


def test_one_that_fails() -> None:
    """Nobody waits for its head start to be over."""
    world = World()
    error = ValueError("no")
    outcome, took = world.race(world.attempt("a", 1, error), world.attempt("b", 1))

    assert ((1, "b"), 2.0) == (outcome.winner, took)
    assert {0: error} == outcome.errors


def test_all_fail() -> None:
    """Each says why."""
    world = World()
    errors = [ValueError("a"), ValueError("b"), ValueError("c")]
    outcome, took = world.race(*(world.attempt(str(e), 3, e) for e in errors))

    assert outcome.winner is None
    assert [*enumerate(errors)] == sorted(outcome.errors.items())
    assert (
        7.0 == took
    )  # begun after 0, 2 and 4 s: the newest decides when the next begins


def test_two_at_once() -> None:
    """What the second has made is put away."""
    world = World()
    outcome, _ = world.race(world.attempt("a", 3), world.attempt("b", 1))

    assert (0, "a") == outcome.winner
    assert ["b"] == world.discarded


def test_a_final_no() -> None:
    """Nobody else is tried, and who tries has come to an end."""
    world = World()
    with pytest.raises(KeyError):
        world.race(world.attempt("a", 9), world.attempt("b", 1, KeyError()))

    assert ["a"] == world.cancelled


def test_one_succeeds_as_it_is_called_off() -> None:
    """What it has made is put away."""
    discarded: list[str] = []

    async def main() -> None:
        there = asyncio.Event()

        async def run() -> str:
            await there.wait()
            return "made"

        racing = asyncio.ensure_future(race([run], head_start, discarded.append))
        await asyncio.sleep(1)
        there.set()
        await asyncio.sleep(0)  # in the next turn it is there
        racing.cancel()
        await asyncio.wait((racing,))
        assert racing.cancelled()

    Clock().run(main())
    assert ["made"] == discarded


def test_it_is_called_off() -> None:
    """Then so is each attempt, to its end."""
    world = World()

    async def main() -> None:
        attempts = [world.attempt("a", 9), world.attempt("b", 9)]
        racing = asyncio.ensure_future(
            race(attempts, head_start, world.discarded.append)
        )
        await asyncio.sleep(3)
        racing.cancel()
        await asyncio.wait((racing,))
        assert racing.cancelled()
        assert ["a", "b"] == sorted(world.cancelled)

    Clock().run(main())
