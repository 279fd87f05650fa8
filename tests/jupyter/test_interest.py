"""jupyter.interest: what is asked again while somebody looks. The time is played."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from remote_kernels.errors import ControllerError
from remote_kernels.jupyter.interest import Body, Interest


class Jump(selectors.SelectSelector):
    """Whoever would wait has waited."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    """Whose time jumps to what is due next."""

    def __init__(self) -> None:
        self._jump = Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


class World:
    """What is asked for, and what pages hear; each with its time."""

    def __init__(self) -> None:
        self.says: Any = 1
        self.asked: list[float] = []
        self.heard: list[tuple[float, Any, bool]] = []
        self.interest = Interest(self.ask, self.emit, every=30.0, lasts=600.0)

    def body(self) -> Body:
        return {"asked": asyncio.get_running_loop().time(), "jobs": self.says}

    async def ask(self) -> Body:
        self.asked.append(asyncio.get_running_loop().time())
        if isinstance(self.says, Exception):
            raise self.says
        return self.body()

    def emit(self, body: Body) -> None:
        assert {"asked", "jobs", "stale"} == {*body}
        now = asyncio.get_running_loop().time()
        self.heard.append((now, body["jobs"], body["stale"]))


def play(work: Callable[[World], Coroutine[Any, Any, None]]) -> World:
    world, loop = World(), Loop()
    try:
        loop.run_until_complete(work(world))
    finally:
        loop.close()
    return world


def test_somebody_who_looks_once() -> None:
    """It is asked less often while nothing changes; then it is said that it stopped."""

    async def work(world: World) -> None:
        world.interest.shown(world.body())
        await asyncio.sleep(2000)

    world = play(work)

    assert [30, 90, 210, 330, 450, 570] == world.asked
    assert [(600, 1, True)] == world.heard


def test_what_changes() -> None:
    """It is told once, and asked for again soon."""

    async def work(world: World) -> None:
        world.interest.shown(world.body())
        await asyncio.sleep(100)
        world.says = 2
        await asyncio.sleep(1900)

    world = play(work)

    assert [30, 90, 210, 240, 300] == world.asked[:5]
    assert [(210, 2, False), (600, 2, True)] == world.heard


def test_one_who_looks_again() -> None:
    """It goes on for as long again; others hear what was new to that one."""

    async def work(world: World) -> None:
        world.interest.shown(world.body())
        await asyncio.sleep(500)
        world.says = 2
        world.interest.shown(world.body())
        world.interest.shown(world.body())
        await asyncio.sleep(2000)

    world = play(work)

    assert [(500, 2, False), (1100, 2, True)] == world.heard


def test_no_answer() -> None:
    """It is asked again; nothing is told."""

    async def work(world: World) -> None:
        world.interest.shown(world.body())
        world.says = ControllerError("It is down", ["squeue"], 1)
        await asyncio.sleep(200)
        world.says = 1
        await asyncio.sleep(2000)

    world = play(work)

    assert [30, 90, 210] == world.asked[:3]
    assert [(600, 1, True)] == world.heard


def test_a_server_that_stops() -> None:
    """It asks no more, and says nothing."""

    async def work(world: World) -> None:
        world.interest.shown(world.body())
        await asyncio.sleep(40)
        world.interest.stop()
        await asyncio.sleep(2000)

    world = play(work)

    assert ([30], []) == (world.asked, world.heard)


@pytest.mark.parametrize("times", [1, 3])
def test_after_it_has_stopped(times: int) -> None:
    """The next GET begins anew, however many came."""

    async def work(world: World) -> None:
        world.interest.shown(world.body())
        await asyncio.sleep(1000)
        for _ in range(times):
            world.interest.shown(world.body())
        await asyncio.sleep(1000)

    world = play(work)

    assert 12 == len(world.asked)
    assert [(600, 1, True), (1600, 1, True)] == world.heard
