"""front.delivery: when the agent is told what clients surely have."""

from __future__ import annotations

import asyncio

from front.conftest import Serve
from front.world import Agent, Browser, Kernel, timeless
from remote_kernels.front.delivery import SETTLE


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
