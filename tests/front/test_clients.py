"""front.clients: clients that are there, kernel_info, and what the agent is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from front.conftest import Serve
from front.world import INFO, Agent, Browser, Kernel, Msg, Server, read, timeless
from remote_kernels.front import clients
from remote_kernels.front.progress import SETTLE
from remote_kernels.wire.kernel_sockets import KEPT
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
async def test_what_comes_before_the_agent_has_a_bound(tmp_path: Path) -> None:
    """In messages, and in bytes."""
    few, many = (
        clients.Clients(b"k", tmp_path, lambda target, through, forget: None)
        for _ in range(2)
    )
    for _ in range(2):
        assert not few.full("shell")
        few.request("shell", [bytes(clients.EARLY_BYTES // 2)])
    for _ in range(clients.EARLY):
        assert not many.full("shell")
        many.request("shell", [b""])

    assert few.full("shell")
    assert many.full("shell")
    few.close()
    many.close()


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
async def test_what_is_asked_before_there_is_a_way_to_the_agent(
    agent: Agent, tmp_path: Path
) -> None:
    """It is passed on, in its order, as soon as there is one."""
    server, browser = Server(agent, tmp_path, INFO), Browser("one")
    server.clients.serve(server)
    server.clients.subscribed(SUBSCRIBE_ALL[:1])
    cells = [browser.ask(server), browser.ask(server)]
    assert not server.clients.full("shell")

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
    assert not server.clients.full("shell")

    agent.lines["shell"].full = True
    assert server.clients.full("shell")
    assert not server.clients.full("control")


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
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """The kernel cannot answer now, but nobody can come back without an answer."""
    kernel.busy(Browser("one").ask(serve()))
    server, other = serve(INFO), Browser("two")
    agent.flow()
    agent.requests.clear()

    request = other.ask(server, "kernel_info_request")

    assert [] == agent.requests
    assert ["busy", "kernel_info_reply", "idle", "busy"] == server.kinds()
    reply = server.seen()[1]
    asked = request["header"]["msg_id"]
    assert (INFO, asked) == (reply["content"], reply["parent_header"]["msg_id"])
    assert b"two" == server.sent[1][1][0]


@timeless
async def test_kernel_info_that_nobody_knows(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Then the kernel is asked all the same."""
    kernel.busy(Browser("one").ask(serve()))
    server = serve(None)
    agent.flow()
    agent.requests.clear()

    Browser("two").ask(server, "kernel_info_request")

    assert 1 == len(agent.requests)


@timeless
async def test_kernel_info_once_the_away_client_s_cell_has_ended(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """The kernel answers itself again."""
    kernel.run(Browser("one").ask(serve()))
    server = serve(INFO)
    agent.flow()
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
async def test_whoever_comes_while_an_away_client_s_cell_runs(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Is told that the kernel is busy."""
    kernel.busy(Browser("one").ask(serve()))
    server = serve()
    agent.flow()

    server.clients.subscribed(SUBSCRIBE_ALL[:1])

    assert ["busy"] == server.kinds()


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
async def test_a_report_comes_when_what_was_passed_on_has_settled(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Not before: nobody tells when a browser has got it."""
    server = serve()
    kernel.run(Browser("one").ask(server), "a")
    agent.flow()

    await asyncio.sleep(SETTLE * 0.9)
    assert [] == server.reports

    await asyncio.sleep(SETTLE)
    assert [("shell", 1, 1), ("iopub", 3, 3)] == server.reports


@timeless
async def test_a_cell_that_runs_is_kept_from_its_begin(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is delivered, but may be asked for again."""
    server, browser = serve(), Browser("one")
    kernel.run(browser.ask(server), "a")
    cell = browser.ask(server)
    kernel.busy(cell)
    kernel.print(cell, "b", "c")
    agent.flow()

    await asyncio.sleep(SETTLE * 3)

    assert ("iopub", 6, 3) == server.reports[-1]


@timeless
async def test_a_cell_that_killed_the_kernel_is_not_kept_for_ever(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Its end is the new process's begin."""
    server, browser = serve(), Browser("one")
    kernel.busy(browser.ask(server))
    kernel.status("starting", None)
    kernel.run(browser.ask(server), "a")
    agent.flow()

    await asyncio.sleep(SETTLE * 3)

    assert ("iopub", 5, 5) == server.reports[-1]


@timeless
async def test_what_is_held_is_not_delivered(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """Nor what came after it, until the client is back."""
    first, browser, other = serve(), Browser("one"), Browser("two")
    kernel.run(browser.ask(first), "a")
    server = serve()
    kernel.run(other.ask(server), "b")
    agent.flow()

    await asyncio.sleep(SETTLE * 3)
    assert [] == server.reports

    browser.come_back(server)
    await asyncio.sleep(SETTLE * 3)
    assert ("iopub", 6, 6) == server.reports[-1]


@timeless
async def test_reports_say_only_what_is_new(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """A kernel that is silent costs nothing."""
    server = serve()
    kernel.run(Browser("one").ask(server))
    agent.flow()
    await asyncio.sleep(SETTLE * 3)
    told = len(server.reports)

    await asyncio.sleep(SETTLE * 100)

    assert told == len(server.reports)


@timeless
async def test_what_was_asked_is_not_remembered_without_bound(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client may send millions of widget messages."""
    monkeypatch.setattr(clients, "ASKED", 10)
    server, browser = serve(), Browser("one")

    for _ in range(100):
        browser.ask(server)

    assert 10 >= len(server.clients._asked)
    assert 10 >= len(server.clients._running)
