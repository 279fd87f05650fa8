"""front.cells: the state that pages go by, when a kernel takes over from a stand-in."""

from __future__ import annotations

import asyncio

import pytest

from front.conftest import Serve
from front.world import Agent, Browser, Kernel, Msg, Server, read, timeless

# As jupyter_server (2.21) and JupyterLab (4.6) do by default.
NOT_COUNTED = ("kernel_info_request", "debug_request", "comm_info_request")
BEGINS = ("starting", "busy", "idle")  # what a kernel says first
FIRST_WORDS = [(*BEGINS[:at], "reply", *BEGINS[at:]) for at in range(4)]


def counted(server: Server) -> list[str]:
    """The states that pages go by."""
    return [
        msg["content"]["execution_state"]
        for msg in server.seen()
        if msg["msg_type"] == "status"
        and msg["parent_header"].get("msg_type") not in NOT_COUNTED
    ]


def say(kernel: Kernel, word: str, request: Msg) -> None:
    if word == "reply":
        kernel.reply(request)
    else:
        kernel.status(word, None if word == "starting" else request)


async def asked(server: Server, agent: Agent) -> tuple[Msg, asyncio.Task[str]]:
    """Our own question what kernel this is, while a stand-in has the sockets."""
    server.clients.serve(None)
    meeting = asyncio.create_task(server.clients.handshake(10.0))
    await asyncio.sleep(1.0)
    return read(agent.requests.pop()[1]), meeting


@pytest.mark.parametrize("words", FIRST_WORDS, ids="-".join)
@pytest.mark.parametrize("before", range(5))
@timeless
async def test_a_page_that_was_told_starting(
    agent: Agent, kernel: Kernel, serve: Serve, words: tuple[str, ...], before: int
) -> None:
    """It is told "idle", whichever of the kernel's first words it does not hear."""
    server = serve()
    request, meeting = await asked(server, agent)
    for word in words[:before]:
        say(kernel, word, request)
    agent.flow()
    await meeting

    server.clients.serve(server)
    server.clients.attach(set())
    for word in words[before:]:
        say(kernel, word, request)
        agent.flow()

    assert ["idle"] == counted(server)[-1:]
    last = [msg for msg in server.seen() if not msg["parent_header"]][-1]
    assert kernel.session.session == last["header"]["session"]


@timeless
async def test_a_kernel_that_has_cells_to_run(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is idle once it has run them, not before."""
    server = serve()
    request, meeting = await asked(server, agent)
    for word in (*BEGINS, "reply"):
        say(kernel, word, request)
    agent.flow()
    await meeting

    server.clients.serve(server)
    cell = Browser("one").ask(server)
    server.clients.attach(set())

    assert [] == counted(server)
    kernel.run(cell)
    agent.flow()
    assert ["busy", "idle"] == counted(server)[:2]


@timeless
async def test_a_kernel_that_does_not_answer_yet(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Nobody is told that it is idle until it has answered somebody."""
    server = serve()
    _, meeting = await asked(server, agent)
    await meeting
    server.clients.serve(server)
    server.clients.attach(set())
    assert [] == counted(server)

    kernel.idle(Browser("one").ask(server, "kernel_info_request"))
    agent.flow()

    assert ["idle"] == counted(server)


@timeless
async def test_a_new_process_of_a_kernel(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """A page that hears it start is told, once, when it is there."""
    server = serve()
    kernel.status("starting", None)

    for _ in range(2):
        kernel.idle(Browser("one").ask(server, "kernel_info_request"))
    agent.flow()

    assert ["starting", "idle"] == counted(server)
