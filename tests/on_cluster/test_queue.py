"""A kernel whose job waits in a full cluster: what a notebook's client sees meanwhile."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from cluster.api import Cluster
from on_cluster.notebook import Page, Server, notebook, until
from on_cluster.traces import Desk, left_over, traces

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180), pytest.mark.asyncio]

USER = "bob"


class Full:
    """Jobs of somebody else on all nodes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        argv = ["sbatch", "--parsable", "--exclusive", "--output=/dev/null"]
        argv += ["--nodes=2", "--wrap=sleep 3000"]
        self._job = cluster.run("login1", "alice", argv).stdout.strip()

    def until_full(self) -> None:
        """Until it runs."""
        end = time.monotonic() + 30
        argv = ["squeue", "-h", "-j", self._job, "-o", "%T"]
        while "RUNNING" not in self._cluster.run("login1", "alice", argv).stdout:
            assert time.monotonic() < end
            time.sleep(0.2)

    def free(self) -> None:
        self._cluster.run("login1", "alice", ["scancel", self._job])


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
