"""front.clients: messages that nobody can read, and channels that were given up."""

from __future__ import annotations

import asyncio

import pytest
from jupyter_client.session import DELIM

from front.conftest import Serve
from front.reception import Reception
from front.test_jupyter_message import JUNK
from front.world import Agent, Browser, Kernel, Parts, timeless
from remote_kernels.front import clients
from remote_kernels.front.progress import SETTLE
from remote_kernels.wire.frames import ProtocolError
from remote_kernels.wire.kernel_sockets import KEPT
from remote_kernels.wire.messages import Message

LARGE = "x" * 1000
GOOD = b'{"msg_id": "m", "session": "s", "msg_type": "status"}'


def message(junk: bytes, at: int) -> Parts:
    """With junk for its header, its parent or its content."""
    frames = [GOOD, b"{}", b"{}", b"{}"]
    frames[at] = junk
    return [b"ident", DELIM, b"signature", *frames]


each_junk = pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK.keys())
each_place = pytest.mark.parametrize(
    "at", [0, 1, 3], ids=["header", "parent", "content"]
)


@each_junk
@each_place
def test_a_kernel_that_says_it(
    agent: Agent, kernel: Kernel, serve: Serve, junk: bytes, at: int
) -> None:
    """It reaches the clients as it is, and what follows, too; also another server."""

    @timeless
    async def say() -> None:
        browser = Browser("one")
        for _ in range(2):
            server = serve()
            cell = browser.ask(server)
            bad = message(junk, at)
            for target in KEPT:
                agent.spools[target].append(bad)
            kernel.run(cell, "after")
            agent.flow()

            said = [target for target, parts in server.sent if parts == bad]
            assert sorted(KEPT) == sorted(said)
            server.sent = [sent for sent in server.sent if sent[1] != bad]
            assert ["after"] == server.texts(cell)
            await asyncio.sleep(SETTLE + 1)
            server.die()

    say()


@each_junk
@each_place
def test_a_client_that_says_it(
    agent: Agent, kernel: Kernel, serve: Serve, junk: bytes, at: int
) -> None:
    """It reaches the kernel as it is, on each socket."""

    @timeless
    async def say() -> None:
        server, bad = serve(), message(junk, at)
        for target in KEPT:
            server.clients.request(target, bad)
        cell = Browser("one").ask(server)
        kernel.run(cell, "after")
        agent.flow()

        assert [(target, bad) for target in KEPT] == agent.requests[: len(KEPT)]
        assert ["after"] == server.texts(cell)

    say()


@each_junk
@each_place
def test_while_the_job_waits(junk: bytes, at: int) -> None:
    """It is held for the kernel, also by a server that comes later."""
    later = Reception()
    first, bad = Reception(), message(junk, at)

    first.standin.request("shell", bad)
    later.standin.restore(first.noted[-1])
    later.standin.introduce({"status": "ok"})
    later.standin.interrupt()

    assert [("shell", bad)] == later.noted[-1]


@timeless
async def test_a_session_id_that_jupyter_refuses(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is not ASCII: its messages pass, and our notices are said all the same."""
    server = serve()
    cell = Browser("one").ask(server)
    kernel.session.session, kernel.session.bsession = "s", b"s"
    kernel.session.set_trait("session", "plain")
    header = b'{"msg_id": "m", "session": "\xc3\xa4", "msg_type": "status"}'
    bad = [b"status", DELIM, b"", header, b"{}", b"{}", b"{}"]

    agent.spools["iopub"].append(bad)
    agent.flow()
    server.clients.notice("text")
    kernel.run(cell, "after")
    agent.flow()

    assert ("iopub", bad) == server.sent.pop(0)
    assert {"text\n", "after"} == set(server.texts(cell))


@timeless
async def test_a_channel_that_was_given_up(
    agent: Agent, kernel: Kernel, serve: Serve
) -> None:
    """It is opened again; what was there already does not come twice."""
    server = serve()
    cell = Browser("one").ask(server)
    kernel.busy(cell)
    kernel.print(cell, "one")
    agent.flow()
    kernel.print(cell, "two")

    agent.breaks["iopub"]()
    await asyncio.sleep(clients.AGAIN + 0.1)
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
    await asyncio.sleep(clients.AGAIN + 0.1)
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
    await asyncio.sleep(clients.AGAIN + 0.1)

    assert line is agent.lines["iopub"]


WRONG = {
    "not the next": [Message(1, [b"a", b"b"], 0, 0, 5), Message(1, [b"cd"], 0, 1, 2)],
    "too long": [Message(1, [b"a", b"b"], 0, 0, 1), Message(1, [b"cd"], 0, 1, 0)],
    "two frames": [Message(1, [b"b"], 0, 0, 2), Message(1, [b"c", b"d"], 0, 1, 0)],
    "no begin": [Message(1, [b"cd"], 0, 1, 0)],
    "no frame": [Message(1, [], 0, 0, 7)],
    "no first message": [Message(0, [b"[" * 900])],
    "no position": [Message(0, [b'{"delivered": "1"}'])],
    "nothing": [Message(0, [])],
}


@pytest.mark.parametrize("said", WRONG.values(), ids=WRONG.keys())
def test_what_an_agent_does_not_say(
    agent: Agent, serve: Serve, said: list[Message]
) -> None:
    """It is a protocol error, for which the channel is given up."""

    @timeless
    async def say() -> None:
        serve()
        *before, last = said
        for one in before:
            agent.say("iopub", one)
        with pytest.raises(ProtocolError):
            agent.say("iopub", last)

    say()


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
