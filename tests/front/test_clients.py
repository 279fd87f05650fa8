"""front.clients: clients that are there, and what passes between them and the kernel."""

from __future__ import annotations

from pathlib import Path

from front.conftest import Serve
from front.world import Agent, Browser, Kernel, Server, read, timeless
from remote_kernels.wire.zmtp import SUBSCRIBE_ALL


@timeless
async def test_a_request_reaches_the_kernel_as_it_is(
    agent: Agent, serve: Serve
) -> None:
    """Not a byte is changed, so its signature holds."""
    server, browser = serve(), Browser("one")

    request = browser.ask(server)

    ((target, parts),) = agent.requests
    assert ("shell", request["header"]["msg_id"]) == (
        target,
        read(parts)["header"]["msg_id"],
    )


@timeless
async def test_the_output_of_a_client_that_is_there(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It passes once, in order, and nothing is added."""
    server = serve()
    cell = Browser("one").ask(server)

    kernel.run(cell, "a", "b")
    agent.flow()

    iopub = ["busy", "stream", "stream", "idle"]
    assert sorted(["execute_reply", *iopub]) == sorted(server.kinds())
    assert ["a", "b"] == server.texts(cell)


@timeless
async def test_what_answers_nobody_is_for_all(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """A message without a parent passes, also one from before this server."""
    kernel.status("starting", None)
    server = serve()

    agent.flow()

    assert ["starting"] == server.kinds()


@timeless
async def test_what_is_no_jupyter_message_passes(agent: Agent, serve: Serve) -> None:
    """An iopub_welcome is one."""
    server = serve()
    agent.spools["iopub"].append([b"topic", b"welcome"])

    agent.flow()

    assert [("iopub", [b"topic", b"welcome"])] == server.sent


@timeless
async def test_a_new_subscriber_is_told_to_the_kernel(
    agent: Agent, serve: Serve
) -> None:
    """It may want to welcome it (JEP 65)."""
    server = serve()

    server.clients.subscribed(SUBSCRIBE_ALL[:1])

    assert [("iopub", [SUBSCRIBE_ALL[:1]])] == agent.requests


@timeless
async def test_our_messages_look_like_the_kernel_s(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """JupyterLab drops what has another session than the kernel's last message."""
    server = serve()
    kernel.busy(Browser("one").ask(server))
    agent.flow()

    server.clients.notice("hello")

    assert {kernel.session.session} == {
        msg["header"]["session"] for msg in server.seen()
    }


@timeless
async def test_a_client_that_wants_the_kernel_to_end(serve: Serve) -> None:
    """It is known until another process is on its way."""
    server = serve()
    before = server.clients.shutdown_requested

    Browser("one").ask(server, "shutdown_request")

    assert (False, True) == (before, server.clients.shutdown_requested)
    server.clients.new_process()
    assert not server.clients.shutdown_requested


@timeless
async def test_nobody_is_connected(
    agent: Agent, kernel: Kernel, tmp_path: Path
) -> None:
    """The kernel may speak, and has room for requests: both is no error."""
    server = Server(agent, tmp_path)
    server.clients.connect(agent.open)
    kernel.piece = 10

    kernel.status("starting", None)
    kernel.publish("stream", {"text": "x" * 100}, None)
    agent.has_room["shell"]()
    agent.flow()
    server.clients.notice("text")

    assert [] == server.sent
    server.die()
