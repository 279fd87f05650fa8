"""front.clients: what was dropped because a spool was full is told."""

from __future__ import annotations

import pytest

from front.conftest import Serve
from front.world import Agent, Browser, Kernel, timeless
from remote_kernels.front import clients

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
