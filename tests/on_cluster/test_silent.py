"""A batch system that is away while a kernel's job waits: what people see, and what follows.

The controller is told to end, or killed; see also `test_cuts.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from on_cluster.notebook import Page, Server, notebook, until
from on_cluster.system import SYSTEM
from on_cluster.traces import BIN, Desk, left_over, traces
from testbed.api import Cluster
from testbed.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400), pytest.mark.asyncio]

USER = "bob"
LATER = 45  # seconds, in which its job surely waits until nobody answers
WAYS: dict[str, Callable[[Cluster], None]] = {
    "it ends": Cluster.stop_controller,
    "it is killed": Cluster.kill_controller,
}


def jobs(cluster: Cluster) -> list[str]:
    return [job.id for job in cluster.jobs() if job.user == USER]


def listed(cluster: Cluster, desk: Desk) -> str:
    """What `ls` says of the only kernel."""
    tool = str(BIN / "remote-kernels")
    done = cluster.run("login1", USER, [tool, "ls"], env=desk.env, check=False)
    return done.stdout


async def waits(cluster: Cluster, page: Page) -> str:
    """A kernel whose job waits, which its batch system will remember; the job."""
    await page.open()
    cell = page.run("print(6 * 7)")
    await until("its state", lambda: "waits" in cell.text, 60)
    (job,) = [job for job in cluster.jobs() if job.user == USER]
    wait_for("its being kept", lambda: SYSTEM.keeps(cluster, job), 60)
    return job.id


async def nobody_answers(cluster: Cluster, desk: Desk, server: Server) -> None:
    """It is told by the server and by the command."""

    async def is_unknown() -> bool:
        (kernel,) = await server.ask("GET", "/remote-kernels/api/kernels")
        return bool(kernel["state"] == "unknown")

    await until("the unknown state", is_unknown, 60)
    assert "unknown" in listed(cluster, desk)


@pytest.mark.parametrize("way", WAYS)
async def test_the_controller_is_away_and_comes_back(
    cluster: Cluster, desk: Desk, way: str
) -> None:
    """The cell says that nobody answers; then its job is found, and it runs."""
    desk.spec(SYSTEM.later(LATER))
    before = traces(cluster, USER)
    async with notebook(cluster, desk) as (server, page):
        job = await waits(cluster, page)
        (cell,) = page.cells.values()
        WAYS[way](cluster)
        try:
            await until("it is said", lambda: "does not answer" in cell.text, 60)
            await nobody_answers(cluster, desk, server)
            assert f"Job {job} waits" in cell.text
        finally:
            cluster.start_controller()

        assert ["42"] == await page.finish(cell, 180)  # OAR starts late
        assert [job] == jobs(cluster)
        assert "dead" not in page.states
        await server.ask("DELETE", f"sessions/{page.session_id}")
        await page.close()
        server.end()
    assert [] == left_over(cluster, USER, before)


@pytest.mark.parametrize("way", WAYS)
async def test_a_shutdown_while_the_controller_is_away(
    cluster: Cluster, desk: Desk, way: str
) -> None:
    """The log says so; the job goes when somebody answers, though the server is gone."""
    desk.spec(SYSTEM.later(600))
    before = traces(cluster, USER)
    async with notebook(cluster, desk) as (server, page):
        job = await waits(cluster, page)
        WAYS[way](cluster)
        try:
            begun = time.monotonic()
            await server.ask("DELETE", f"sessions/{page.session_id}")
            print(f"DELETE: {time.monotonic() - begun:.1f} s")
            said = " ".join(server.log.split())
            assert f"Job {job} could not be cancelled. That is tried again" in said
            await page.close()
            server.end()
        finally:
            cluster.start_controller()
        assert [] == left_over(cluster, USER, before)
