"""A kernel outlives its notebook server: output, variables and names are kept."""

from __future__ import annotations

import asyncio
import signal

import pytest
from on_cluster.notebook import Cell, Page, Server, notebook, until
from on_cluster.system import SYSTEM
from on_cluster.traces import PLAIN, Desk, left_over, traces
from testbed.api import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180), pytest.mark.asyncio]

USER = "bob"
LINES = 600
PACE = 0.02  # seconds
COUNT = f"""
import time
for i in range({LINES}):
    print(i, flush=True)
    time.sleep({PACE})
"""
WHOLE = [str(i) for i in range(LINES)]


async def counting(page: Page) -> Cell:
    """A cell in the middle of its work."""
    await page.open()
    cell = page.run(f"kept = 41\n{COUNT}")
    await until("some output", lambda: len(cell.lines) > 100, 60)
    return cell


async def is_as_before(server: Server, page: Page) -> None:
    """Same session and kernel, the same variables."""
    (session,) = await server.ask("GET", "sessions")
    assert (page.session_id, page.kernel_id) == (session["id"], session["kernel"]["id"])
    assert ["42"] == await page.finish(page.run("print(kept + 1)"))


@pytest.mark.parametrize(
    ("name", "carrier"),
    [("SIGKILL", "ssh"), ("SIGKILL", SYSTEM.carrier), ("SIGTERM", "ssh")],
)
async def test_the_server_dies_and_comes_back(
    cluster: Cluster, desk: Desk, name: str, carrier: str
) -> None:
    """In the middle of a cell: the open page gets all of its output, and its end."""
    desk.spec({"carrier": carrier})
    before = traces(cluster, USER)
    async with notebook(cluster, desk) as (server, page):
        cell = await counting(page)

        server.end(signal.Signals[name])
        await asyncio.sleep(1)  # output that nobody sees
        seen = len(cell.lines)
        await server.start()

        assert await page.finish(cell) == WHOLE
        assert 100 < seen < LINES
        assert "ok" == cell.reply["status"] if cell.reply else None
        await is_as_before(server, page)
        await server.ask("DELETE", f"sessions/{page.session_id}")
        await page.close()
        server.end()
    # A jupyter_server (2.21) that is killed leaves its address.
    forget = f"rm -f {desk.path}/runtime/jpserver-*"
    cluster.run("login1", USER, ["sh", "-c", forget])
    assert [] == left_over(cluster, USER, before)


async def test_the_cell_ends_while_no_server_is_there(
    cluster: Cluster, desk: Desk
) -> None:
    """Its output, its reply and its end are delivered when one is."""
    desk.spec({})
    async with notebook(cluster, desk) as (server, page):
        cell = await counting(page)
        server.end(signal.SIGKILL)
        await asyncio.sleep(LINES * PACE * 1.2)

        await server.start()

        assert await page.finish(cell) == WHOLE
        await is_as_before(server, page)


async def test_the_server_dies_twice(cluster: Cluster, desk: Desk) -> None:
    """The second before the page has come back."""
    desk.spec({})
    async with notebook(cluster, desk) as (server, page):
        cell = await counting(page)
        for _ in range(2):
            server.end(signal.SIGKILL)
            await server.start()

        assert await page.finish(cell) == WHOLE
        await is_as_before(server, page)


@pytest.mark.only(
    "slurm", "gridengine", "HTCondor's jobs are the login host's own, and end with it"
)
async def test_the_login_host_dies(cluster: Cluster, desk: Desk) -> None:
    """A server on another login host goes on with it."""
    desk.spec({})
    if not cluster.is_running("login2"):
        cluster.up(login2=True)
    async with notebook(cluster, desk) as (server, page):
        cell = await counting(page)
        cluster.crash("login1")
        try:
            await server.start("login2")

            assert await page.finish(cell) == WHOLE
            await is_as_before(server, page)
            await server.ask("DELETE", f"sessions/{page.session_id}")
        finally:
            server.end()
            cluster.boot("login1")


@pytest.mark.only(
    "slurm", "gridengine", "each login host of HTCondor's has jobs of its own"
)
async def test_a_second_server_takes_nothing(cluster: Cluster, desk: Desk) -> None:
    """A kernel that a living server has stays with it, and is not waited for."""
    desk.spec({"dead_after": 60})
    if not cluster.is_running("login2"):
        cluster.up(login2=True)
    async with notebook(cluster, desk) as (server, page):
        cell = await counting(page)
        second = Server(cluster, desk, *PLAIN)
        await second.start("login2")
        try:
            assert [] == await second.ask("GET", "kernels")
        finally:
            second.end()

        assert await page.finish(cell) == WHOLE
        await is_as_before(server, page)
        assert "Another server has kernel" in server.log  # both write to one
        assert "Traceback" not in server.log
