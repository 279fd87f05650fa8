"""front.clients: what we say to people ourselves, and in which cell."""

from __future__ import annotations

from front.conftest import Serve
from front.world import Agent, Browser, Kernel, Scene, timeless

HELLO = "hello\n"


@timeless
async def test_a_notice_goes_to_the_running_cell(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Not to those that wait, nor to one that has ended."""
    server, browser = serve(), Browser("one")
    cells = [browser.ask(server) for _ in range(3)]
    kernel.run(cells[0])
    kernel.busy(cells[1])
    agent.flow()

    server.clients.notice("hello")

    assert [[], [HELLO], []] == [server.texts(cell) for cell in cells]


@timeless
async def test_a_notice_is_written_to_stderr(serve: Serve) -> None:
    """So that notebooks show it in red."""
    server = serve()
    Browser("one").ask(server)

    server.clients.notice("hello")

    (msg,) = server.seen()
    assert {"name": "stderr", "text": HELLO} == msg["content"]


@timeless
async def test_a_cell_that_killed_the_kernel_before_it_was_busy(serve: Serve) -> None:
    """It was sent, so it is the one."""
    server = serve()
    cell = Browser("one").ask(server)

    server.clients.notice("hello")

    assert [HELLO] == server.texts(cell)


@timeless
async def test_a_notice_that_does_not_hold_when_a_cell_comes(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is never told."""
    server = serve()
    server.clients.notice("hello", lambda: False)
    cell = Browser("one").ask(server)

    kernel.run(cell)
    agent.flow()

    assert [] == server.texts(cell)


@timeless
async def test_a_notice_for_which_there_is_no_cell(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It waits for the next one, and is told there once."""
    server, browser = serve(), Browser("one")
    server.clients.notice("hello")
    cells = [browser.ask(server) for _ in range(2)]

    for cell in cells:
        kernel.run(cell)
    agent.flow()

    assert [[HELLO], []] == [server.texts(cell) for cell in cells]


@timeless
async def test_only_a_cell_can_show_a_notice(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Not a request that has no output."""
    server, browser = serve(), Browser("one")
    request = browser.ask(server, "complete_request")
    kernel.busy(request)
    agent.flow()

    server.clients.notice("hello")
    kernel.idle(request)
    kernel.run(browser.ask(server, "kernel_info_request"))
    agent.flow()

    assert "stream" not in server.kinds()


@timeless
async def test_a_notice_while_an_away_client_s_cell_runs(
    scene: Scene, agent: Agent, kernel: Kernel
) -> None:
    """Somebody who is there is told."""
    _, away, server = scene.away()

    server.clients.notice("hello")
    kernel.idle(away)
    cell = Browser("two").ask(server)
    kernel.run(cell)
    agent.flow()

    assert [[], [HELLO]] == [server.texts(away), server.texts(cell)]


@timeless
async def test_a_notice_after_a_cell_killed_the_kernel(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """That cell has ended; the new process's first one gets it."""
    server, browser = serve(), Browser("one")
    dead = browser.ask(server)
    kernel.busy(dead)
    kernel.status("starting", None)
    agent.flow()

    server.clients.notice("hello")
    cell = browser.ask(server)
    kernel.run(cell)
    agent.flow()

    assert [[], [HELLO]] == [server.texts(dead), server.texts(cell)]


@timeless
async def test_a_message_that_was_too_large(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """The cell is told so; nothing is sent in its place."""
    server = serve()
    cell = Browser("one").ask(server)
    kernel.busy(cell)
    agent.spools["iopub"].append([])
    agent.flow()

    (text,) = server.texts(cell)
    assert "A message of the kernel was dropped here" in text
