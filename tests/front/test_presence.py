"""front.presence: who is there, who is away, and who has not subscribed yet."""

from __future__ import annotations

import asyncio

import pytest

from front.conftest import Serve
from front.world import Agent, Browser, Kernel, Msg, Scene, Server, timeless
from remote_kernels.front import cells, presence
from remote_kernels.front.delivery import SETTLE
from remote_kernels.front.presence import SUBSCRIBE_TIME


@timeless
async def test_a_client_that_speaks_before_it_has_subscribed(scene: Scene) -> None:
    """What is published until then would be lost to it."""
    browser, cell, server = scene.away("a", ends=True)
    server.is_subscribing = True

    browser.come_back(server)
    server.clients.subscribed(b"\1")  # another client's
    assert [] == server.texts(cell)
    server.is_subscribing = False
    server.clients.subscribed(b"\1")

    assert ["a"] == server.texts(cell)
    await asyncio.sleep(SUBSCRIBE_TIME)
    assert ["a"] == server.texts(cell)


@timeless
async def test_a_client_that_never_subscribes(scene: Scene) -> None:
    """It holds nobody up for long."""
    browser, cell, server = scene.away("a", ends=True)
    server.is_subscribing = True

    browser.come_back(server)
    await asyncio.sleep(SUBSCRIBE_TIME)

    assert ["a"] == server.texts(cell)


def inherited(kernel: Kernel, serve: Serve) -> tuple[Browser, Msg, Server]:
    """A cell that an earlier server held is run; its client spoke to the stand-in."""
    browser = Browser("one")
    cell = browser.session.msg("execute_request", {})
    server = serve()
    server.clients.adopt({cell["header"]["msg_id"]})
    browser.repeat(server, cell)
    kernel.run(cell, "a")
    return browser, cell, server


@timeless
async def test_a_cell_of_a_client_that_has_not_come_back(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """An earlier server held it; its output is held now."""
    browser, cell, server = inherited(kernel, serve)
    agent.flow()
    assert [] == server.sent

    browser.come_back(server)

    kinds = [kind for kind in server.kinds() if kind != "execute_reply"]
    assert ["clear_output", "busy", "stream", "idle"] == kinds
    assert ["a"] == server.texts(cell)


@timeless
async def test_a_client_that_came_back_but_has_not_subscribed(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """The same, if it spoke before the kernel was there."""
    _, cell, server = inherited(kernel, serve)
    server.is_subscribing = True
    server.clients.attach({"one"})
    agent.flow()
    assert [] == server.sent

    server.is_subscribing = False
    server.clients.subscribed(b"\1")

    kinds = [kind for kind in server.kinds() if kind != "execute_reply"]
    assert ["clear_output", "busy", "stream", "idle"] == kinds
    assert ["a"] == server.texts(cell)


@timeless
async def test_it_comes_only_once(scene: Scene) -> None:
    """However often the client speaks."""
    browser, _, server = scene.away("a", ends=True)
    browser.come_back(server)
    count = len(server.sent)

    browser.come_back(server)

    assert count == len(server.sent)


@timeless
async def test_the_other_client_s_return_is_not_mine(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """What is held is handed on to whom it belongs."""
    one, two = Browser("one"), Browser("two")
    first = serve()
    cells = [one.ask(first), two.ask(first)]
    for cell in cells:
        kernel.run(cell, "a")
    server = serve()
    agent.flow()

    two.come_back(server)

    assert [[], ["a"]] == [server.texts(cell) for cell in cells]


@timeless
async def test_requests_of_the_notebook_server_bring_nobody_back(scene: Scene) -> None:
    """It asks in the client's name before that can listen, but not from its socket."""
    browser, _, server = scene.away("a", ends=True)
    nudge = browser.session.msg("kernel_info_request", {})

    parts = browser.session.serialize(nudge, ident=b"\0abcd")
    server.clients.request("shell", parts)

    assert [] == server.sent


@timeless
async def test_what_was_asked_is_not_remembered_without_bound(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client may send millions of widget messages."""
    monkeypatch.setattr(presence, "REMEMBERED", 10)
    monkeypatch.setattr(cells, "REMEMBERED", 10)
    server, browser = serve(), Browser("one")

    for _ in range(100):
        browser.ask(server)

    assert 10 >= len(server.clients._presence._asked)
    assert 10 >= len(server.clients._cells._running)


@timeless
async def test_a_server_that_ends_before_a_client_has_subscribed(scene: Scene) -> None:
    """Nothing is done for it any more, and nothing is told of it."""
    browser, _, server = scene.away("a", ends=True)
    server.is_subscribing = True
    browser.come_back(server)

    server.die()
    await asyncio.sleep(SUBSCRIBE_TIME + 3 * SETTLE)

    assert [[], []] == [server.sent, server.reports]
