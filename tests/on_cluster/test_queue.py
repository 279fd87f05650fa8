"""A kernel whose job waits in a full cluster: what a notebook's client sees meanwhile."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from on_cluster.full import Full
from on_cluster.notebook import Page, Server, notebook, until
from on_cluster.traces import Desk, left_over, traces
from testbed.api import Cluster
from tornado.httpclient import HTTPClientError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180), pytest.mark.asyncio]

USER = "bob"


@pytest.fixture
def full(cluster: Cluster) -> Iterator[Full]:
    """A full cluster."""
    made = Full(cluster)
    made.until_full()
    yield made
    made.free()


@pytest_asyncio.fixture
async def waiting(
    cluster: Cluster, desk: Desk, full: Full
) -> AsyncIterator[tuple[Server, Page]]:
    """A notebook whose kernel waits."""
    desk.spec({})
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        yield server, page
        await page.close()
        server.end()


def jobs(cluster: Cluster) -> list[str]:
    return [job.id for job in cluster.jobs() if job.user == USER]


async def test_a_cell_shows_the_queue_and_then_its_result(
    cluster: Cluster, full: Full, waiting: tuple[Server, Page]
) -> None:
    """As if nothing had been: no text of ours is left below it."""
    server, page = waiting
    first, second = page.run("print(6 * 7)"), page.run("print('second')")

    await until("its state", lambda: "waits" in first.text, 30)
    (job,) = jobs(cluster)
    shown = first.text
    assert f"Job {job} waits:" in shown
    assert "Interrupt cancels the cell" in shown
    assert "" == second.text
    (model,) = await server.ask("GET", "kernels")
    assert "starting" == model["execution_state"]
    await until("its being alive", lambda: shown != first.text, 30)

    full.free()
    assert ["42"] == await page.finish(first)
    assert ["second"] == await page.finish(second)
    assert [job] == jobs(cluster)
    await until("idle", lambda: page.states[-1] == "idle", 30)


async def test_interrupt_cancels_the_cells_not_the_job(
    cluster: Cluster, full: Full, waiting: tuple[Server, Page]
) -> None:
    """The first fails as an interrupted one does; those behind it are aborted."""
    server, page = waiting
    first, second = page.run("print(1)"), page.run("print(2)")
    await until("its state", lambda: "waits" in first.text, 30)

    await server.ask("POST", f"kernels/{page.kernel_id}/interrupt", {})

    await until("their ends", lambda: first.done and second.done, 60)
    assert ("", "") == (first.text, second.text)
    assert first.reply is not None
    assert second.reply is not None
    assert "KeyboardInterrupt" == first.reply["ename"]
    assert "aborted" == second.reply["status"]
    third = page.run("print(3)")
    await until("its state", lambda: "waits" in third.text, 30)
    assert 1 == len(jobs(cluster))
    full.free()
    assert ["3"] == await page.finish(third)


async def test_a_shutdown_frees_the_job_at_once(
    cluster: Cluster, desk: Desk, full: Full
) -> None:
    """And leaves nothing."""
    desk.spec({})
    before = traces(cluster, USER)
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        cell = page.run("print(1)")
        await until("its state", lambda: "waits" in cell.text, 30)

        begun = time.monotonic()
        await server.ask("DELETE", f"sessions/{page.session_id}")
        print(f"\nDELETE of a waiting kernel: {time.monotonic() - begun:.2f} s")

        assert [] == jobs(cluster)
        assert [] == await server.ask("GET", "kernels")
        await page.close()
        server.end()
    assert [] == left_over(cluster, USER, before)


async def test_a_restart_keeps_the_place_in_the_queue(
    cluster: Cluster, full: Full, waiting: tuple[Server, Page]
) -> None:
    """The same job, without the cells of before."""
    server, page = waiting
    old = page.run("print('old')")
    await until("its state", lambda: "waits" in old.text, 30)
    before = jobs(cluster)

    await server.ask("POST", f"kernels/{page.kernel_id}/restart", {})

    assert before == jobs(cluster)
    assert old.reply is not None
    new = page.run("print('new')")
    full.free()
    assert ["new"] == await page.finish(new)
    assert before == jobs(cluster)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
async def test_a_server_that_dies_meanwhile(
    cluster: Cluster, full: Full, waiting: tuple[Server, Page], name: str
) -> None:
    """The job waits on; the next server takes the place, and runs the cells."""
    server, page = waiting
    first, second = page.run("print('first')"), page.run("print('second')")
    await until("its state", lambda: "waits" in first.text, 30)
    before = jobs(cluster)

    server.end(signal.Signals[name])
    assert before == jobs(cluster)
    shown = first.text
    await server.start()

    await until("its state anew", lambda: first.text not in (shown, ""), 60)
    (session,) = await server.ask("GET", "sessions")
    assert (page.session_id, page.kernel_id) == (session["id"], session["kernel"]["id"])
    full.free()
    assert ["first"] == await page.finish(first)
    assert ["second"] == await page.finish(second)
    assert before == jobs(cluster)


async def test_the_job_starts_while_no_server_is_there(
    cluster: Cluster, full: Full, waiting: tuple[Server, Page]
) -> None:
    """Its kernel is there when the next one comes, and runs the cell."""
    server, page = waiting
    cell = page.run("print('late')")
    await until("its state", lambda: "waits" in cell.text, 30)

    server.end(signal.SIGKILL)
    full.free()
    argv = ["sh", "-c", "cat state/kernels/*/agent.json || true"]

    def reported() -> bool:
        return (
            "socket" in cluster.run("login1", USER, argv, cwd=server.directory).stdout
        )

    await until("its agent", reported, 60)
    await server.start()

    assert ["late"] == await page.finish(cell)


@pytest.mark.only(
    "slurm", "gridengine", "a pool of HTCondor may get machines as jobs ask for them"
)
async def test_a_job_that_can_never_start(cluster: Cluster, desk: Desk) -> None:
    """It is cancelled, or not taken (24.11): the notebook is told why, and what to change."""
    desk.spec({"cores": 99})
    async with notebook(cluster, desk) as (server, page):
        said = await refusal(page)

        assert re.search("can never start as asked|No node has what is asked", said)
        assert [] == jobs(cluster)
        await page.close()
        server.end()


async def refusal(page: Page) -> str:
    """What is said of a kernel that cannot be: as it is to start, or in its first cell."""
    try:
        await page.open()
    except HTTPClientError as error:
        return error.response.body.decode() if error.response else str(error)
    cell = page.run("print(1)")
    # Such a reason is believed after 20 s, at the next question.
    await until("its end", lambda: cell.done, 120)
    await until("its death", lambda: page.states[-1] == "dead", 30)
    assert cell.reply is not None
    return str(cell.reply["evalue"])
