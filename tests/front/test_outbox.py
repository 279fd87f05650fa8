"""front.outbox: what reaches clients at once, when they are back, and never."""

from __future__ import annotations

import asyncio

import pytest

from front.conftest import Serve
from front.world import Agent, Browser, Kernel, Scene, timeless
from remote_kernels.front import outbox
from remote_kernels.front.delivery import SETTLE

MIB = 1 << 20


@timeless
async def test_an_away_client_s_output_is_held(scene: Scene) -> None:
    """The notebook server would drop it."""
    _, _, server = scene.away("a", ends=True)

    assert [] == server.sent


@timeless
async def test_what_was_held_comes_when_the_client_speaks(scene: Scene) -> None:
    """Its cell is cleared and told from the start, in order, once."""
    browser, cell, server = scene.away("a", "b", ends=True)

    browser.come_back(server)

    iopub = [msg for msg in server.seen() if msg["msg_type"] != "execute_reply"]
    expected = ["status", "stream", "stream", "status"]
    assert ["clear_output", *expected] == [msg["msg_type"] for msg in iopub]
    assert {cell["header"]["msg_id"]} == {
        msg["parent_header"]["msg_id"] for msg in iopub
    }
    assert ["a", "b"] == server.texts(cell)


@timeless
async def test_a_running_cell_goes_on_once_its_client_is_back(
    scene: Scene, agent: Agent, kernel: Kernel
) -> None:
    """What comes then passes at once."""
    browser, cell, server = scene.away("a")
    browser.come_back(server)

    kernel.print(cell, "b")
    agent.flow()

    assert ["a", "b"] == server.texts(cell)


@timeless
async def test_a_running_cell_is_told_again_from_its_start(
    scene: Scene, agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Also what an earlier server delivered: the notebook clears it."""
    browser, cell = await scene.delivered("a")
    kernel.print(cell, "b")
    server = serve()
    agent.flow()

    browser.come_back(server)

    assert 2 == agent.delivered["iopub"]
    assert ["a", "b"] == server.texts(cell)


@timeless
async def test_a_client_that_is_back_before_all_has_arrived(
    scene: Scene, agent: Agent, serve: Serve
) -> None:
    """A cell that was begun anew is told whole."""
    browser, cell = await scene.delivered("a", "b", "c")
    server = serve()
    agent.flow(2)

    browser.come_back(server)
    agent.flow()

    assert 4 == agent.delivered["iopub"]
    assert ["a", "b", "c"] == server.texts(cell)


@timeless
async def test_a_client_that_is_back_before_anything_has_arrived(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It may have got what was not reported yet, so its cell is cleared, too."""
    first, browser = serve(), Browser("one")
    cell = browser.ask(first)
    kernel.busy(cell)
    kernel.print(cell, "a")
    agent.flow()
    server = serve()

    browser.come_back(server)
    agent.flow()

    assert ["clear_output", "busy", "stream"] == server.kinds()


@timeless
async def test_a_cell_whose_begin_is_forgotten_is_continued(
    scene: Scene, agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is not cleared, and nothing of it is told twice."""
    browser, cell = await scene.delivered("a", "b")
    agent.told("iopub", 3, 2)
    kernel.print(cell, "c")
    server = serve()
    agent.flow()

    browser.come_back(server)

    assert ["stream"] == server.kinds()
    assert ["c"] == server.texts(cell)


@timeless
async def test_a_cell_that_was_delivered_whole_is_not_told_again(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is forgotten."""
    first, browser = serve(), Browser("one")
    kernel.run(browser.ask(first), "a")
    agent.flow()
    await asyncio.sleep(SETTLE * 3)
    server = serve()
    agent.flow()

    browser.come_back(server)

    assert [] == server.sent


@timeless
async def test_a_client_that_is_there_does_not_wait_for_one_that_is_away(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """And the other gets its own when it comes back."""
    one, two = Browser("one"), Browser("two")
    away = one.ask(serve())
    kernel.run(away, "a")
    server = serve()
    here = two.ask(server)
    kernel.run(here, "b")
    agent.flow()
    assert [[], ["b"]] == [server.texts(away), server.texts(here)]

    one.come_back(server)

    assert [["a"], ["b"]] == [server.texts(away), server.texts(here)]
    assert 1 == server.kinds().count("clear_output")


@timeless
async def test_only_cells_are_cleared(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """A question has no output."""
    browser = Browser("one")
    kernel.run(browser.ask(serve(), "kernel_info_request"))
    server = serve()
    agent.flow()

    browser.come_back(server)

    assert "clear_output" not in server.kinds()


@timeless
async def test_a_question_for_input_reaches_who_comes_back(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is held like output."""
    browser = Browser("one")
    cell = browser.ask(serve())
    kernel.busy(cell)
    kernel.ask_for_input(cell)
    server = serve()
    agent.flow()
    assert [] == server.sent

    browser.come_back(server)

    assert "input_request" in server.kinds()


@timeless
async def test_a_server_that_dies_again_before_the_client_is_back(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """The third one has it all."""
    browser = Browser("one")
    cell = browser.ask(serve())
    kernel.run(cell, "a")
    serve()
    agent.flow()
    await asyncio.sleep(SETTLE * 3)
    server = serve()
    agent.flow()

    browser.come_back(server)

    assert ["a"] == server.texts(cell)


@timeless
async def test_lost_messages_are_told_where_they_are_missing(
    scene: Scene, agent: Agent, kernel: Kernel
) -> None:
    """With their number."""
    _, cell, server = scene.here()
    agent.fill(lambda: kernel.print(cell, "x" * MIB), lost=3)

    agent.flow()

    first, *rest = server.texts(cell)
    assert "3 messages of output were dropped" in first
    assert not any("dropped" in text for text in rest)


@timeless
async def test_lost_messages_are_told_to_who_comes_back(
    scene: Scene, agent: Agent, kernel: Kernel
) -> None:
    """In his cell."""
    browser, cell, server = scene.away()
    agent.fill(lambda: kernel.print(cell, "x" * MIB), lost=3)
    agent.flow()
    assert [] == server.sent

    browser.come_back(server)

    assert "3 messages of output were dropped" in server.texts(cell)[0]


@timeless
async def test_what_was_delivered_is_not_lost(
    scene: Scene, agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Of what was dropped while no server was there, only the rest counts."""
    browser, cell = await scene.delivered("a")
    agent.fill(lambda: kernel.print(cell, "x" * MIB), lost=3)
    server = serve()
    agent.flow()

    browser.come_back(server)

    told, _ = server.texts(cell)
    assert 2 == agent.delivered["iopub"]
    assert "3 messages of output were dropped" in told


@timeless
async def test_what_was_lost_before_a_large_message(
    scene: Scene, agent: Agent, kernel: Kernel
) -> None:
    """It is told before that, which is put together for this."""
    _, cell, server = scene.here()
    agent.fill(lambda: kernel.print(cell, "x" * MIB), lost=3)
    spool = agent.spools["iopub"]
    kept = spool.last - spool.first + 1
    kernel.piece = MIB // 2
    for _ in range(kept):
        kernel.print(cell, "y" * MIB)

    agent.flow()

    told, *texts = server.texts(cell)
    assert "messages of output were dropped" in told
    assert ["y"] == sorted({text[0] for text in texts})


@timeless
async def test_more_is_lost_before_a_held_message(
    agent: Agent, kernel: Kernel, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the agent dropped and what was dropped here are told as one number."""
    monkeypatch.setattr(outbox, "DISK_BYTES", 0)
    browser = Browser("one")
    cell = browser.ask(serve())
    kernel.busy(cell)
    server = serve()
    agent.flow()
    agent.fill(lambda: kernel.print(cell, "x" * MIB), lost=3)
    agent.flow()
    for _ in range(40):
        kernel.print(cell, "y" * MIB)
        agent.flow()

    browser.come_back(server)

    told, *texts = server.texts(cell)
    said = agent.spools["iopub"].last
    assert f"{said - len(texts)} messages of output were dropped" in told
