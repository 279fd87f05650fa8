"""front.clients: messages that nobody can read, and channels that were given up."""

from __future__ import annotations

import asyncio

import pytest
from jupyter_client.session import DELIM

from front.conftest import Serve
from front.reception import Reception
from front.test_jupyter_message import JUNK
from front.world import Agent, Browser, Kernel, Parts, timeless
from remote_kernels.front.delivery import SETTLE
from remote_kernels.wire.kernel_sockets import KEPT

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
