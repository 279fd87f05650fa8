"""front.outbox: how much is held for clients that are away, and for how long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from front.conftest import Serve
from front.world import Agent, Browser, Kernel, Scene, Server, timeless
from remote_kernels.front import outbox
from remote_kernels.front.delivery import SETTLE
from remote_kernels.front.outbox import HELD_TIME

MIB = 1 << 20


@timeless
async def test_more_is_held_than_there_is_room_for(
    agent: Agent, kernel: Kernel, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is dropped; how much is told in one line."""
    monkeypatch.setattr(outbox, "DISK_BYTES", 0)
    browser = Browser("one")
    cell = browser.ask(serve())
    kernel.busy(cell)
    server = serve()
    for number in range(40):
        kernel.print(cell, f"{number}".ljust(MIB))
        agent.flow()

    browser.come_back(server)

    told, *texts = server.texts(cell)
    assert f"{41 - len(texts)} messages of output were dropped" in told
    assert [*range(40 - len(texts), 40)] == [int(text) for text in texts]


@timeless
async def test_a_client_that_stays_away_is_given_up(scene: Scene) -> None:
    """Else the agent would keep for ever what nobody will fetch."""
    _, _, server = scene.away("a", ends=True)
    await asyncio.sleep(HELD_TIME / 2)
    assert [] == server.reports

    await asyncio.sleep(HELD_TIME / 2 + 2 * SETTLE)

    assert ("iopub", 3, 3) in server.reports
    assert [] == server.sent


@timeless
async def test_the_directory_is_another_one(
    agent: Agent, kernel: Kernel, serve: Serve, tmp_path: Path
) -> None:
    """The first one was removed: what memory does not take is held in the other."""
    browser, first = Browser("one"), serve()
    cell = browser.ask(first)
    first.die()
    server = Server(agent, tmp_path / "removed")
    server.start()
    kernel.busy(cell)
    agent.flow()

    server.clients.move(tmp_path)
    for number in range(40):
        kernel.print(cell, f"{number}".ljust(MIB))
        agent.flow()
    browser.come_back(server)

    assert [*range(40)] == [int(text) for text in server.texts(cell)]
    server.die()
