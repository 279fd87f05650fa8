"""front.clients: clients that are away while the kernel speaks to them."""

from __future__ import annotations

import asyncio

from front.conftest import Serve
from front.world import Agent, Browser, Kernel, Msg, Server, timeless
from remote_kernels.front.clients import HELD_TIME, SUBSCRIBE_TIME
from remote_kernels.front.progress import SETTLE


def held(
    agent: Agent, kernel: Kernel, serve: Serve, *texts: str
) -> tuple[Browser, Msg, Server]:
    """A client that is away, its cell, and the server that has got what it printed."""
    browser = Browser("one")
    cell = browser.ask(serve())
    kernel.run(cell, *texts)
    server = serve()
    agent.flow()
    return browser, cell, server


@timeless
async def test_an_away_client_s_output_is_held(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """The notebook server would drop it."""
    _, _, server = held(agent, kernel, serve, "a")

    assert [] == server.sent


@timeless
async def test_what_was_held_comes_when_the_client_speaks(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Its cell is cleared and told from the start, in order, once."""
    browser, cell, server = held(agent, kernel, serve, "a", "b")

    browser.come_back(server)

    iopub = [msg for msg in server.seen() if msg["msg_type"] != "execute_reply"]
    expected = ["status", "stream", "stream", "status"]
    assert ["clear_output", *expected] == [msg["msg_type"] for msg in iopub]
    assert {cell["header"]["msg_id"]} == {
        msg["parent_header"]["msg_id"] for msg in iopub
    }
    assert ["a", "b"] == server.texts(cell)


@timeless
async def test_a_client_that_speaks_before_it_has_subscribed(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """What is published until then would be lost to it."""
    browser, cell, server = held(agent, kernel, serve, "a")
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
async def test_a_client_that_never_subscribes(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It holds nobody up for long."""
    browser, cell, server = held(agent, kernel, serve, "a")
    server.is_subscribing = True

    browser.come_back(server)
    await asyncio.sleep(SUBSCRIBE_TIME)

    assert ["a"] == server.texts(cell)


def inherited(kernel: Kernel, serve: Serve) -> tuple[Browser, Msg, Server]:
    """A cell that an earlier server held is run; its client spoke to the stand-in."""
    browser = Browser("one")
    cell = browser.session.msg("execute_request", {})
    server = serve()
    server.clients.inherit({cell["header"]["msg_id"]})
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
    server.clients.welcome({"one"})
    agent.flow()
    assert [] == server.sent

    server.is_subscribing = False
    server.clients.subscribed(b"\1")

    kinds = [kind for kind in server.kinds() if kind != "execute_reply"]
    assert ["clear_output", "busy", "stream", "idle"] == kinds
    assert ["a"] == server.texts(cell)


@timeless
async def test_it_comes_only_once(agent: Agent, kernel: Kernel, serve: Serve) -> None:
    """However often the client speaks."""
    browser, _, server = held(agent, kernel, serve, "a")
    browser.come_back(server)
    count = len(server.sent)

    browser.come_back(server)

    assert count == len(server.sent)


@timeless
async def test_a_running_cell_goes_on_once_its_client_is_back(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """What comes then passes at once."""
    browser = Browser("one")
    cell = browser.ask(serve())
    kernel.busy(cell)
    kernel.print(cell, "a")
    server = serve()
    agent.flow()
    browser.come_back(server)

    kernel.print(cell, "b")
    agent.flow()

    assert ["a", "b"] == server.texts(cell)


@timeless
async def test_a_running_cell_is_told_again_from_its_start(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Also what an earlier server delivered: the notebook clears it."""
    first, browser = serve(), Browser("one")
    cell = browser.ask(first)
    kernel.busy(cell)
    kernel.print(cell, "a")
    agent.flow()
    await asyncio.sleep(SETTLE * 3)
    kernel.print(cell, "b")
    server = serve()
    agent.flow()

    browser.come_back(server)

    assert 2 == agent.delivered["iopub"]
    assert ["a", "b"] == server.texts(cell)


@timeless
async def test_a_client_that_is_back_before_all_has_arrived(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """A cell that was begun anew is told whole."""
    first, browser = serve(), Browser("one")
    cell = browser.ask(first)
    kernel.busy(cell)
    kernel.print(cell, "a", "b", "c")
    agent.flow()
    await asyncio.sleep(SETTLE * 3)
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
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is not cleared, and nothing of it is told twice."""
    first, browser = serve(), Browser("one")
    cell = browser.ask(first)
    kernel.busy(cell)
    kernel.print(cell, "a", "b")
    agent.flow()
    await asyncio.sleep(SETTLE * 3)
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
async def test_requests_of_the_notebook_server_bring_nobody_back(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It asks in the client's name before that can listen, but not from its socket."""
    browser, _, server = held(agent, kernel, serve, "a")
    nudge = browser.session.msg("kernel_info_request", {})

    parts = browser.session.serialize(nudge, ident=b"\0abcd")
    server.clients.request("shell", parts)

    assert [] == server.sent


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
async def test_what_was_handed_on_must_settle_like_all_else(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Even when later messages of others have arrived."""
    one, two = Browser("one"), Browser("two")
    kernel.run(one.ask(serve()), "a")
    server = serve()
    kernel.run(two.ask(server), "b")
    agent.flow()
    await asyncio.sleep(SETTLE * 0.75)

    one.come_back(server)
    await asyncio.sleep(SETTLE * 0.75)

    assert [] == server.reports


@timeless
async def test_the_others_see_when_an_away_client_s_cell_has_ended(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Those who were told that the kernel is busy."""
    cell = Browser("one").ask(serve())
    kernel.busy(cell)
    server = serve()
    agent.flow()
    server.clients.subscribed(b"\1")

    kernel.idle(cell)
    kernel.print(cell, "from a thread")
    agent.flow()

    assert ["busy", "idle"] == server.kinds()


@timeless
async def test_a_client_that_stays_away_is_given_up(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Else the agent would keep for ever what nobody will fetch."""
    cell = Browser("one").ask(serve())
    kernel.run(cell, "a")
    server = serve()
    agent.flow()
    await asyncio.sleep(HELD_TIME / 2)
    assert [] == server.reports

    await asyncio.sleep(HELD_TIME / 2 + 2 * SETTLE)

    assert ("iopub", 3, 3) in server.reports
    assert [] == server.sent
