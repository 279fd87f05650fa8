"""front.transcripts, through `Clients`: what pages that come back find."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from front.conftest import Serve
from front.page import Page
from front.world import Agent, Browser, Kernel, Msg, Server, date_of, read, timeless
from remote_kernels.front import transcripts
from remote_kernels.front.delivery import SETTLE
from remote_kernels.front.transcript import ON_THEIR_WAY

IDLE = SETTLE * 3


async def held(serve: Serve) -> tuple[Server, Browser]:
    """A server of which a page has asked for its cells."""
    server = serve()
    await Page(server).open()
    return server, Browser("one")


@timeless
async def test_what_a_cell_printed_is_there(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Code, count, state, times, the reply and all messages in order."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1", "print(1)")
    kernel.busy(cell)
    kernel.echo(cell, 7)
    kernel.print(cell, "a", "b")
    kernel.reply(cell, execution_count=7)
    kernel.idle(cell)
    agent.flow()

    (found,) = await Page(server).open()

    assert ("c1", "print(1)", 7, "finished") == tuple(
        found[key] for key in ("cell_id", "code", "execution_count", "state")
    )
    assert (cell["header"]["msg_id"], "one") == (found["request"], found["session"])
    assert {"status": "ok", "execution_count": 7} == found["reply"]
    assert found["started"] <= found["ended"]
    kinds = [said["msg_type"] for said in found["messages"]]
    assert ["execute_input", "stream", "stream"] == kinds
    assert ["a", "b"] == [
        said["content"]["text"]
        for said in found["messages"]
        if "text" in said["content"]
    ]


@timeless
async def test_until_a_page_asks_nothing_is_kept(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """And not a byte of the request is changed."""
    server, browser = serve(), Browser("one")
    cell = browser.run(server, "c1")
    kernel.run(cell, "a")
    agent.flow()
    await asyncio.sleep(IDLE)

    assert [] == await Page(server).open()
    assert "cell" not in cell["header"]
    assert agent.spools["iopub"].last + 1 == agent.spools["iopub"].first


@timeless
async def test_a_marked_request_is_signed(agent: Agent, serve: Serve) -> None:
    """With the key of the connection; only its header has changed."""
    server, browser = await held(serve)
    asked = browser.session.msg(
        "execute_request", {"code": "x"}, metadata={"cellId": "c1"}
    )

    browser.repeat(server, asked)

    ((_, parts),) = agent.requests
    got = read(parts)  # checks it
    asked["header"]["date"] = date_of(asked["header"])
    got["header"]["date"] = date_of(got["header"])
    assert {**asked["header"], "cell": "c1"} == got["header"]
    assert [asked[k] for k in ("metadata", "content")] == [
        got[k] for k in ("metadata", "content")
    ]


@timeless
async def test_a_request_of_nobody_with_the_key_is_not_signed(
    agent: Agent, serve: Serve
) -> None:
    """It reaches the kernel as it is, which refuses it."""
    server, _ = await held(serve)
    stranger = Browser("stranger")
    stranger.session.key = b"another"
    asked = stranger.session.msg("execute_request", {}, metadata={"cellId": "c1"})

    stranger.repeat(server, asked)

    ((_, parts),) = agent.requests
    with pytest.raises(ValueError, match="Invalid Signature"):
        read(parts)


@pytest.mark.parametrize("name", ["", "x" * 257, 7, None])
def test_what_is_no_cell_s_name(
    name: object, agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Its output is not kept."""

    @timeless
    async def see() -> None:
        server, browser = await held(serve)
        asked = browser.session.msg("execute_request", {}, metadata={"cellId": name})
        browser.repeat(server, asked)
        kernel.run(asked, "a")
        agent.flow()

        assert "cell" not in read(agent.requests[0][1])["header"]
        assert [] == await Page(server).open()

    see()


@timeless
async def test_another_page_while_a_cell_runs(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It gets what there was, and what comes, once, whatever reaches it late."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    kernel.print(cell, "a", "b")
    agent.flow()

    page = Page(server)
    (found,) = await page.open()
    kernel.print(cell, "c")
    kernel.idle(cell)
    agent.flow()

    assert "running" == found["state"]
    for late in range(3):
        assert {"c1": ["a", "b", "c"]} == page.texts(late)


@timeless
async def test_the_server_is_killed(agent: Agent, kernel: Kernel, serve: Serve) -> None:
    """The next one has all of it, from the kernel's words alone: also what is over."""
    server, browser = await held(serve)
    over, running = browser.run(server, "c1"), browser.run(server, "c2")
    kernel.run(over, "a")
    kernel.busy(running)
    kernel.echo(running, 3)
    kernel.print(running, "b")
    agent.flow()
    await asyncio.sleep(IDLE)

    server = serve()
    agent.flow()
    page = Page(server)
    first, second = await page.open()
    kernel.print(running, "c")
    kernel.reply(running)
    kernel.idle(running)
    agent.flow()

    assert ("finished", {"status": "ok"}) == (first["state"], first["reply"])
    assert ("running", None, 3) == tuple(
        second[key] for key in ("state", "reply", "execution_count")
    )
    assert {"c1": ["a"], "c2": ["b", "c"]} == page.texts()


@timeless
async def test_who_asked_is_away_and_another_page_shows_it(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """What comes is published to all; when the first is back nothing is told again."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    kernel.print(cell, "a")
    agent.flow()
    server = serve()
    agent.flow()
    assert [] == server.sent

    page = Page(server)
    await page.open()
    kernel.print(cell, "b")
    agent.flow()
    browser.come_back(server)
    kernel.print(cell, "c")
    agent.flow()

    assert {"c1": ["a", "b", "c"]} == page.texts()
    assert "clear_output" not in server.kinds()


@timeless
async def test_who_asked_is_back_before_it_asks(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is told all again, as ever; what of that reaches the page late is dropped."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    kernel.print(cell, "a")
    agent.flow()
    server = serve()
    agent.flow()
    browser.come_back(server)

    page = Page(server)
    await page.open()

    assert ["a"] == server.texts(cell)
    for late in range(4):
        assert {"c1": ["a"]} == page.texts(late)


@timeless
async def test_a_page_asks_before_all_is_repeated(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """What comes later is published."""
    server, browser = await held(serve)
    cell, later = browser.run(server, "c1"), browser.run(server, "c2")
    kernel.run(cell, "a", "b")
    kernel.run(later, "c")
    agent.flow()
    await asyncio.sleep(IDLE)
    server = serve()
    agent.flow(2)

    page = Page(server)
    await page.open()
    agent.flow()

    assert {"c1": ["a", "b"], "c2": ["c"]} == page.texts()


@timeless
async def test_a_page_that_is_still_open_hears_nothing_again(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Of a cell that is over, and that it has, though the agent repeats it."""
    server, browser = await held(serve)
    kernel.run(browser.run(server, "c1"), "a")
    agent.flow()
    await asyncio.sleep(IDLE)
    server = serve()
    agent.flow()

    browser.come_back(server)

    assert [] == server.sent


@timeless
async def test_a_reply_that_was_not_delivered_is_still_due(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Who asked waits for it, though it has the output."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    kernel.idle(cell)
    agent.flow()
    await asyncio.sleep(IDLE)
    server = serve()
    kernel.reply(cell)
    agent.flow()

    browser.come_back(server)

    assert ["execute_reply"] == server.kinds()


@timeless
async def test_what_is_shown_is_forgotten(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """By the agent, too; until then it keeps all."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1")
    kernel.run(cell, "a")
    agent.flow()
    await asyncio.sleep(IDLE)
    before = [spool.first for spool in agent.spools.values()]

    page = Page(server)
    page.shown(cell)
    await asyncio.sleep(IDLE)

    assert [] == await page.open()
    assert [1, 1] == [before[0], before[-1]]  # shell and iopub
    assert [0, 0] == [agent.spools[t].size for t in ("shell", "iopub")]


@timeless
async def test_what_runs_is_not_shown_yet(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """A page that says so has not saved the rest."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    agent.flow()

    page = Page(server)
    page.shown(cell)

    assert ["running"] == [found["state"] for found in await page.open()]


@timeless
async def test_a_cell_that_is_run_again(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """What it printed before is not wanted any more."""
    server, browser = await held(serve)
    kernel.run(browser.run(server, "c1"), "old")
    agent.flow()

    again = browser.run(server, "c1", "new code")

    (found,) = await Page(server).open()
    assert (again["header"]["msg_id"], "waiting", "new code", []) == tuple(
        found[key] for key in ("request", "state", "code", "messages")
    )
    agent.flow()
    await asyncio.sleep(IDLE)
    assert 0 == agent.spools["iopub"].size


@timeless
async def test_the_process_ends(agent: Agent, kernel: Kernel, serve: Serve) -> None:
    """What it was working on is over; its last words still count."""
    server, browser = await held(serve)
    cell, behind = browser.run(server, "c1"), browser.run(server, "c2")
    kernel.busy(cell)
    agent.flow()
    server.clients.process_ended()
    kernel.print(cell, "last words")
    agent.flow()

    page = Page(server)
    found = await page.open()
    assert ["aborted", "aborted"] == [each["state"] for each in found]
    assert {"c1": ["last words"], "c2": []} == page.texts()

    kernel.status("starting", None)
    kernel.run(behind, "after all")
    agent.flow()
    page = Page(server)
    found = await page.open()
    assert ["aborted", "finished"] == [each["state"] for each in found]


@timeless
async def test_a_new_process_after_a_server_s_death(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """The kernel's own word of that is enough."""
    server, browser = await held(serve)
    kernel.busy(browser.run(server, "c1"))
    kernel.status("starting", None)
    server = serve()
    agent.flow()

    (found,) = await Page(server).open()

    assert "aborted" == found["state"]


@timeless
async def test_output_that_is_cleared(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It takes no room; a page that gets it late drops it."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    for number in range(3):
        kernel.publish("clear_output", {"wait": number == 2}, cell)
        kernel.print(cell, str(number))
    agent.flow()

    page = Page(server)
    (found,) = await page.open()

    assert ["stream"] == [said["msg_type"] for said in found["messages"]]
    for late in range(8):
        assert {"c1": ["2"]} == page.texts(late)


@timeless
async def test_a_page_that_was_cut_off_for_long(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """The notebook server has kept all for it; what is old shows nothing any more."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    for number in range(3 * ON_THEIR_WAY):
        kernel.publish("clear_output", {"wait": False}, cell)
        kernel.print(cell, str(number))
    agent.flow()
    page = Page(server)
    await page.open()
    kernel.print(cell, "after")
    agent.flow()

    last = str(3 * ON_THEIR_WAY - 1)
    assert {"c1": [last, "after"]} == page.texts(late=5 * ON_THEIR_WAY)


@timeless
async def test_a_clear_that_waits_for_more(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Until that comes the page shows what was there."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    kernel.print(cell, "a")
    kernel.publish("clear_output", {"wait": True}, cell)
    agent.flow()

    (found,) = await Page(server).open()

    assert ["stream", "clear_output"] == [s["msg_type"] for s in found["messages"]]


@timeless
async def test_our_own_words_are_kept(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """What the cell tells of its job, such as a warning."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    agent.flow()

    server.clients.notice("ten minutes left")

    page = Page(server)
    await page.open()
    assert {"c1": ["ten minutes left\n"]} == page.texts()


@timeless
async def test_a_large_message(agent: Agent, kernel: Kernel, serve: Serve) -> None:
    """It is published piece by piece, and kept whole."""
    server, browser = await held(serve)
    kernel.piece = 400
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    kernel.print(cell, "x" * 1000)
    agent.flow(2)
    assert 1 == len(server.sinks)
    agent.flow()

    page = Page(server)
    await page.open()

    assert {"c1": ["x" * 1000]} == page.texts()


@timeless
async def test_a_large_message_and_a_new_session(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is cut and comes again, once."""
    server, browser = await held(serve)
    kernel.piece = 400
    cell = browser.run(server, "c1")
    kernel.run(cell, "before", "x" * 1000, "after")
    agent.flow(3)

    server.clients.connect(agent.open)
    agent.flow()

    page = Page(server)
    await page.open()
    assert {"c1": ["before", "x" * 1000, "after"]} == page.texts()


@timeless
async def test_a_message_that_is_larger_than_the_bound(
    agent: Agent, kernel: Kernel, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted, whether it comes in pieces or not."""
    monkeypatch.setattr(transcripts.Transcripts.__init__, "__defaults__", (2000, None))
    server, browser = serve(), Browser("one")
    server.clients._transcripts._hold = 2000
    await Page(server).open()
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    kernel.print(cell, "x" * 3000)
    kernel.piece = 400
    kernel.print(cell, "y" * 3000, "z")
    agent.flow()

    page = Page(server)
    (found,) = await page.open()

    assert ({"c1": ["z"]}, 2) == (page.texts(), found["dropped"])


@timeless
async def test_nobody_comes_for_a_day(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """What is over is dropped then, what runs is not."""
    server, browser = await held(serve)
    over, running = browser.run(server, "c1"), browser.run(server, "c2")
    kernel.run(over, "a")
    kernel.busy(running)
    agent.flow()

    await asyncio.sleep(transcripts.HELD_TIME + 1)

    page = Page(server)
    assert ["running"] == [found["state"] for found in await page.open()]
    assert 1 == page.dropped


@timeless
async def test_the_agent_need_not_keep_for_ever_what_comes_behind(
    agent: Agent, kernel: Kernel, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most twice the bound; here all is still there."""
    monkeypatch.setattr(transcripts, "STEP", 1)
    server, browser = await held(serve)
    server.clients._transcripts._hold = 10_000
    kernel.run(browser.run(server, "c1"), "a")
    agent.flow()
    for _ in range(40):
        kernel.run(browser.ask(server), "x" * 500)
        agent.flow()
    await asyncio.sleep(IDLE)

    page = Page(server)
    await page.open()

    assert {"c1": ["a"]} == page.texts()
    assert 0 == agent.spools["iopub"].size


@timeless
async def test_the_agent_dropped_the_beginning(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """How much is told."""
    server, browser = await held(serve)
    cell = browser.run(server, "c1")
    kernel.busy(cell)
    agent.fill(lambda: kernel.print(cell, "x" * 10_000), lost=5)
    server = serve()
    agent.flow()

    (found,) = await Page(server).open()

    assert "running" == found["state"]
    assert found["dropped"] >= 5


@timeless
async def test_the_order_of_requests(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is theirs, whatever ends first."""
    server, browser = await held(serve)
    cells = [browser.run(server, f"c{number}") for number in range(4)]
    for cell in reversed(cells):
        kernel.run(cell)
    agent.flow()

    found = await Page(server).open()

    assert ["c0", "c1", "c2", "c3"] == [each["cell_id"] for each in found]
    assert all(one["ended"] >= other["ended"] for one, other in pairwise(found))


@timeless
async def test_there_are_very_many(
    agent: Agent, kernel: Kernel, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest that are over are dropped, and counted."""
    monkeypatch.setattr(transcripts, "MOST", 3)
    server, browser = await held(serve)
    cells: list[Msg] = []
    for number in range(6):
        cells.append(browser.run(server, f"c{number}"))
        kernel.run(cells[-1], "a", "b")
        agent.flow()

    page = Page(server)
    await page.open()

    assert ["c3", "c4", "c5"] == [*page.texts()]
    assert 6 == page.dropped
