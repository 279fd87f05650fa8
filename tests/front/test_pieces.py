"""front.inbox: messages that come in pieces, because their last frame is large."""

from __future__ import annotations

import asyncio

from front.conftest import Serve
from front.world import Agent, Browser, Kernel, Scene, timeless
from remote_kernels.front.delivery import SETTLE

LARGE = "x" * 1000


def in_pieces(kernel: Kernel) -> None:
    kernel.piece = 400


@timeless
async def test_a_client_that_is_there(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It gets each piece as it comes, and what follows behind."""
    in_pieces(kernel)
    server = serve()
    cell = Browser("one").ask(server)
    kernel.busy(cell)
    kernel.print(cell, LARGE, "after")
    agent.flow(2)

    (sink,) = server.sinks
    assert [] == server.texts(cell)

    agent.flow()
    assert [LARGE, "after"] == server.texts(cell)
    assert not sink.is_cut


@timeless
async def test_a_client_that_is_away(scene: Scene, kernel: Kernel) -> None:
    """It gets the whole when it is back."""
    in_pieces(kernel)
    browser, cell, server = scene.away(LARGE, "after", ends=True)
    assert [] == server.sinks

    browser.come_back(server)

    assert [LARGE, "after"] == server.texts(cell)


@timeless
async def test_the_server_dies_in_the_middle(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """The next one says all of it again."""
    in_pieces(kernel)
    browser = Browser("one")
    first = serve()
    cell = browser.ask(first)
    kernel.run(cell, LARGE, "after")
    agent.flow(2)

    server = serve()
    agent.flow()
    browser.come_back(server)

    assert [LARGE, "after"] == server.texts(cell)


@timeless
async def test_a_new_session_in_the_middle(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """What was begun is cut, and begun again."""
    in_pieces(kernel)
    server = serve()
    cell = Browser("one").ask(server)
    kernel.run(cell, LARGE)
    agent.flow(2)

    server.clients.connect(agent.open)
    agent.flow()

    first, second = server.sinks
    assert (True, False) == (first.is_cut, second.is_cut)
    assert [LARGE] == server.texts(cell)


@timeless
async def test_the_kernel_dies_in_the_middle(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Nobody waits for the rest."""
    in_pieces(kernel)
    server = serve()
    cell = Browser("one").ask(server)
    kernel.busy(cell)
    kernel.break_off(cell, LARGE)
    kernel.print(cell, "after")

    agent.flow()

    (sink,) = server.sinks
    assert sink.is_cut
    assert ["after"] == server.texts(cell)


@timeless
async def test_what_an_earlier_server_delivered(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is not sent again, and what follows is."""
    in_pieces(kernel)
    kernel.publish("stream", {"name": "stdout", "text": LARGE}, None)
    serve()
    agent.flow()
    agent.delivered["iopub"] = 1
    server = serve()
    kernel.publish("stream", {"name": "stdout", "text": "after"}, None)

    agent.flow()

    assert ["after"] == [msg["content"]["text"] for msg in server.seen()]
    assert [] == server.sinks


@timeless
async def test_a_large_message_is_reported(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """As any other: it was handed on."""
    in_pieces(kernel)
    server = serve()
    kernel.publish("stream", {"name": "stdout", "text": LARGE}, None)
    agent.flow()

    await asyncio.sleep(SETTLE * 3)

    assert [("iopub", 1, 1)] == server.reports
