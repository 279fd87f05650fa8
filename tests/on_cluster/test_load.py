"""What one server with many kernels asks of Slurm's controller, by its own counters.

`sdiag` counts remote procedure calls by user. Kernels that run cost none; of those that
wait one question a minute at most, for all of them, once the poller has backed off.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
from on_cluster.full import Full
from on_cluster.notebook import Server, notebook, until
from on_cluster.traces import Desk
from testbed.api import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio]

USER = "bob"
AT_ONCE = 5  # requests to start a kernel


def calls(cluster: Cluster) -> int:
    """All of the user's so far."""
    told = cluster.run("ctl", "root", ["sdiag"]).stdout
    found = re.search(rf"^\s*{USER}\s.*?count:(\d+)", told, re.MULTILINE)
    return int(found[1]) if found else 0


async def start(server: Server, count: int) -> None:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with limit:
            await server.ask("POST", "kernels", {"name": "k"})

    await asyncio.gather(*(one() for _ in range(count)))


async def counted(cluster: Cluster, minutes: int) -> list[int]:
    """Calls in each minute."""
    per_minute, before = [], calls(cluster)
    for _ in range(minutes):
        await asyncio.sleep(60)
        now = calls(cluster)
        per_minute.append(now - before)
        before = now
    return per_minute


@pytest.fixture
def full(cluster: Cluster) -> Iterator[None]:
    """A full cluster, be it by another test's job."""
    if Full.is_full(cluster):
        yield
        return
    made = Full(cluster)
    made.until_full()
    yield
    made.free()


LENGTHS = [
    pytest.param(4, 2, marks=pytest.mark.timeout(420), id="short"),
    pytest.param(
        50, 10, marks=[pytest.mark.soak, pytest.mark.timeout(1500)], id="long"
    ),
]
AT_MOST = {2: 4, 10: 2}  # calls in the last of so many minutes


@pytest.mark.parametrize(("count", "minutes"), LENGTHS)
async def test_kernels_that_wait(
    cluster: Cluster, desk: Desk, full: None, count: int, minutes: int
) -> None:
    """From one question each 2 s to one each minute, however many they are."""
    desk.spec({"mem": 100, "time": 60})
    async with notebook(cluster, desk) as (server, page):
        before = calls(cluster)
        await start(server, count)
        print(f"\n{count} submitted: {calls(cluster) - before} calls")

        per_minute = await counted(cluster, minutes)

        print(f"{count} waiting, calls per minute: {per_minute}")
        assert per_minute[-1] <= AT_MOST[minutes]
        waiting = [job for job in cluster.jobs() if job.user == USER]
        assert count == len(waiting)
        await page.close()
        server.end()


@pytest.mark.parametrize(("count", "minutes"), LENGTHS)
async def test_kernels_that_run(
    cluster: Cluster, desk: Desk, count: int, minutes: int
) -> None:
    """Nothing is asked."""
    desk.spec({"mem": 100, "time": 60, "partition": "class"})
    async with notebook(cluster, desk) as (server, page):

        async def ready() -> bool:
            kernels = await server.ask("GET", "/remote-kernels/api/kernels")
            return ["running"] * count == [kernel["state"] for kernel in kernels]

        await start(server, count)
        await until("all of them", ready, 600)

        per_minute = await counted(cluster, minutes)

        print(f"\n{count} running, calls per minute: {per_minute}")
        assert [0] * (minutes - 1) == per_minute[1:]
        await page.close()
        server.end()
