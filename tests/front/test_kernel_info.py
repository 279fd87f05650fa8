"""front.kernel_info: what the kernel says of itself, and who says it when it cannot."""

from __future__ import annotations

import asyncio
from pathlib import Path

from front.conftest import Serve
from front.world import INFO, Agent, Browser, Kernel, Msg, Scene, Server, read, timeless


def asked_by_server(server: Server, browser: Browser) -> Msg:
    """The question without whose answer jupyter_server opens no websocket."""
    msg = browser.session.msg("kernel_info_request", {})
    parts = browser.session.serialize(msg, ident=b"\0abcd")
    server.clients.request("shell", parts)
    return msg


@timeless
async def test_the_notebook_server_asks_a_kernel_that_cannot_answer(
    agent: Agent, kernel: Kernel, tmp_path: Path
) -> None:
    """It is out of reach, or busy: what is known is told at once; pages see it busy."""
    server, browser = Server(agent, tmp_path, INFO), Browser("one")
    server.clients.serve(server)

    asked_by_server(server, browser)

    expected = ["busy", "kernel_info_reply", "idle"]
    assert expected == server.kinds()
    server.clients.connect(agent.open)
    assert [] == agent.requests
    kernel.busy(browser.ask(server))
    agent.flow()
    server.sent.clear()
    asked_by_server(server, browser)
    assert [*expected, "busy"] == server.kinds()


@timeless
async def test_kernel_info_is_learnt_once(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """From the first reply."""
    server, browser = serve(), Browser("one")
    for _ in range(2):
        kernel.reply(browser.ask(server, "kernel_info_request"))

    agent.flow()

    assert [INFO] == server.learnt


@timeless
async def test_kernel_info_is_the_kernel_s_own_word(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Also while a cell runs whose client is there."""
    server, browser = serve(INFO), Browser("one")
    kernel.busy(browser.ask(server))
    agent.flow()

    browser.ask(server, "kernel_info_request")

    assert 2 == len(agent.requests)
    assert ["busy"] == server.kinds()


@timeless
async def test_kernel_info_while_a_cell_runs_whose_client_is_away(
    scene: Scene, agent: Agent
) -> None:
    """The kernel cannot answer now, but nobody can come back without an answer."""
    _, _, server = scene.away(info=INFO)
    other = Browser("two")
    agent.requests.clear()

    request = other.ask(server, "kernel_info_request")

    assert [] == agent.requests
    assert ["busy", "kernel_info_reply", "idle", "busy"] == server.kinds()
    reply = server.seen()[1]
    asked = request["header"]["msg_id"]
    assert (INFO, asked) == (reply["content"], reply["parent_header"]["msg_id"])
    assert b"two" == server.sent[1][1][0]


@timeless
async def test_kernel_info_that_nobody_knows(scene: Scene, agent: Agent) -> None:
    """Then the kernel is asked all the same."""
    _, _, server = scene.away()
    agent.requests.clear()

    Browser("two").ask(server, "kernel_info_request")

    assert 1 == len(agent.requests)


@timeless
async def test_kernel_info_once_the_away_client_s_cell_has_ended(
    scene: Scene, agent: Agent
) -> None:
    """The kernel answers itself again."""
    _, _, server = scene.away(ends=True, info=INFO)
    agent.requests.clear()

    Browser("two").ask(server, "kernel_info_request")

    assert 1 == len(agent.requests)


@timeless
async def test_kernel_info_after_the_away_client_s_cell_killed_the_kernel(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """The new process is idle, and answers."""
    kernel.busy(Browser("one").ask(serve()))
    kernel.status("starting", None)
    server = serve(INFO)
    agent.flow()
    agent.requests.clear()

    Browser("two").ask(server, "kernel_info_request")

    assert 1 == len(agent.requests)


@timeless
async def test_a_handshake(agent: Agent, kernel: Kernel, serve: Serve) -> None:
    """The kernel itself is asked, also if it is known; then we can speak as it does."""
    server = serve(INFO)
    meeting = asyncio.create_task(server.clients.handshake(10.0))
    await asyncio.sleep(1.0)
    ((target, parts),) = agent.requests
    assert ("shell", "kernel_info_request") == (target, read(parts)["msg_type"])
    other = Browser("one").ask(server, "kernel_info_request")
    kernel.reply(other)
    agent.flow()
    await asyncio.sleep(1.0)
    assert not meeting.done()

    kernel.reply(read(parts))
    agent.flow()
    await asyncio.sleep(1.0)

    assert meeting.done()
    assert kernel.session.session == meeting.result()


@timeless
async def test_a_handshake_with_a_kernel_that_is_busy(serve: Serve) -> None:
    """It is left to its clients after some seconds."""
    loop = asyncio.get_running_loop()
    before = loop.time()

    await serve().clients.handshake(10.0)

    assert 10 <= loop.time() - before < 11
