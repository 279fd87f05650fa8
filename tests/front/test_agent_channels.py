"""front.agent_channels: requests before the agent is reached, and channels given up."""

from __future__ import annotations

import asyncio
from pathlib import Path

from front.conftest import Serve
from front.world import INFO, Agent, Browser, Kernel, Scene, Server, read, timeless
from remote_kernels.front.agent_channels import AGAIN, EARLY, EARLY_BYTES
from remote_kernels.front.clients import Clients
from remote_kernels.wire.kernel_sockets import KEPT
from remote_kernels.wire.zmtp import SUBSCRIBE_ALL


@timeless
async def test_what_comes_before_the_agent_has_a_bound(tmp_path: Path) -> None:
    """In messages, and in bytes."""
    few, many = (
        Clients(b"k", tmp_path, lambda target, through, forget: None) for _ in range(2)
    )
    data = bytes(EARLY_BYTES // 2)
    few_taken = [few.request("shell", [data]) for _ in range(2)]
    many_taken = [many.request("shell", [b""]) for _ in range(EARLY)]

    assert [True, False] == few_taken
    assert [*[True] * (EARLY - 1), False] == many_taken
    few.close()
    many.close()


@timeless
async def test_what_is_asked_before_there_is_a_way_to_the_agent(
    agent: Agent, tmp_path: Path
) -> None:
    """It is passed on, in its order, as soon as there is one."""
    server, browser = Server(agent, tmp_path, INFO), Browser("one")
    server.clients.serve(server)
    server.clients.subscribed(SUBSCRIBE_ALL[:1])
    cells = [browser.ask(server), browser.ask(server)]
    assert server.has_room

    server.clients.connect(agent.open)

    (target, topic), *requests = agent.requests
    assert ("iopub", [SUBSCRIBE_ALL[:1]]) == (target, topic)
    expected = [cell["header"]["msg_id"] for cell in cells]
    assert expected == [read(parts)["header"]["msg_id"] for _, parts in requests]


@timeless
async def test_no_requests_are_taken_while_the_channel_is_full(
    agent: Agent, tmp_path: Path
) -> None:
    """Others are, on theirs."""
    server = Server(agent, tmp_path)
    server.start()
    assert server.clients.request("shell", [b""])

    agent.lines["shell"].full = True
    assert not server.clients.request("shell", [b""])
    assert server.clients.request("control", [b""])


@timeless
async def test_clients_who_waited_for_the_agent(agent: Agent, tmp_path: Path) -> None:
    """They are listened to as soon as there is a way to it."""
    server = Server(agent, tmp_path)
    server.clients.serve(server)

    server.clients.connect(agent.open)

    assert [*KEPT] == server.rooms


@timeless
async def test_clients_who_waited_for_room(agent: Agent, serve: Serve) -> None:
    """They are listened to again, on that channel."""
    server = serve()

    agent.has_room["shell"]()

    assert ["shell"] == server.rooms


LARGE = "x" * 1000


@timeless
async def test_a_channel_that_was_given_up(
    scene: Scene, agent: Agent, kernel: Kernel
) -> None:
    """It is opened again; what was there already does not come twice."""
    _, cell, server = scene.here("one")
    kernel.print(cell, "two")

    agent.breaks["iopub"]()
    await asyncio.sleep(AGAIN + 0.1)
    kernel.print(cell, "three")
    agent.flow()

    assert ["one", "two", "three"] == server.texts(cell)
    assert ["iopub"] == server.rooms


@timeless
async def test_a_channel_that_was_given_up_within_a_message(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """The half is cut, and the whole follows."""
    kernel.piece = 400
    server = serve()
    cell = Browser("one").ask(server)
    kernel.busy(cell)
    kernel.print(cell, LARGE)
    agent.flow(2)

    agent.breaks["iopub"]()
    await asyncio.sleep(AGAIN + 0.1)
    agent.flow()

    assert [True, False] == [sink.is_cut for sink in server.sinks]
    assert [LARGE] == server.texts(cell)


@timeless
async def test_a_channel_that_was_given_up_when_the_server_ends(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Nothing is opened any more."""
    server = serve()
    line = agent.lines["iopub"]

    agent.breaks["iopub"]()
    server.die()
    await asyncio.sleep(AGAIN + 0.1)

    assert line is agent.lines["iopub"]
