"""front.clients: what was dropped because a spool was full is told."""

from __future__ import annotations

import asyncio

import pytest

from front.conftest import Serve
from front.world import Agent, Browser, Kernel, timeless
from remote_kernels.front import clients
from remote_kernels.front.progress import SETTLE

MIB = 1 << 20


@timeless
async def test_lost_messages_are_told_where_they_are_missing(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """With their number."""
    server = serve()
    cell = Browser("one").ask(server)
    kernel.busy(cell)
    agent.flow()
    agent.fill(lambda: kernel.print(cell, "x" * MIB), lost=3)

    agent.flow()

    first, *rest = server.texts(cell)
    assert "3 messages of output were dropped" in first
    assert not any("dropped" in text for text in rest)


@timeless
async def test_lost_messages_are_told_to_who_comes_back(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """In his cell."""
    browser = Browser("one")
    cell = browser.ask(serve())
    kernel.busy(cell)
    server = serve()
    agent.flow()
    agent.fill(lambda: kernel.print(cell, "x" * MIB), lost=3)
    agent.flow()
    assert [] == server.sent

    browser.come_back(server)

    assert "3 messages of output were dropped" in server.texts(cell)[0]


@timeless
async def test_more_is_held_than_there_is_room_for(
    agent: Agent, kernel: Kernel, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is dropped; how much is told in one line."""
    monkeypatch.setattr(clients, "HELD_DISK", 0)
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
async def test_what_was_delivered_is_not_lost(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Of what was dropped while no server was there, only the rest counts."""
    first, browser = serve(), Browser("one")
    cell = browser.ask(first)
    kernel.busy(cell)
    kernel.print(cell, "a")
    agent.flow()
    await asyncio.sleep(SETTLE * 3)
    agent.fill(lambda: kernel.print(cell, "x" * MIB), lost=3)
    server = serve()
    agent.flow()

    browser.come_back(server)

    told, _ = server.texts(cell)
    assert 2 == agent.delivered["iopub"]
    assert "3 messages of output were dropped" in told
