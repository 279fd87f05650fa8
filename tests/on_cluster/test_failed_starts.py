"""Every start that fails says why in the first cell, and nobody waits for it."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from on_cluster.failures import FAILURES, act, ended, start_up_file, starting
from on_cluster.notebook import Page, Server, notebook, until
from on_cluster.traces import Desk
from testbed.api import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240), pytest.mark.asyncio]

SOON = 1.0  # seconds
START = 40.0  # seconds until a job runs and its failure is known


@asynccontextmanager
async def beside(server: Server) -> AsyncIterator[list[float]]:
    """Another notebook, which runs cell after cell; how long each takes (seconds)."""
    page, trips = Page(server, "beside.ipynb"), list[float]()
    await page.open("good")
    await page.finish(page.run("1"))

    async def go() -> None:
        while True:
            begun = time.monotonic()
            await page.finish(page.run("print(1)"))
            trips.append(time.monotonic() - begun)
            await asyncio.sleep(0.1)

    going = asyncio.create_task(go())
    try:
        yield trips
        assert not going.done(), going.exception()
    finally:
        going.cancel()
        await asyncio.wait([going])
        await page.close()


async def fail(
    cluster: Cluster, desk: Desk, server: Server, name: str
) -> tuple[float, float, str]:
    """How long the websocket took, and the error after its reason; and the error."""
    failure, spec = FAILURES[name], name.replace(" ", "-").lower()
    page, records = Page(server, f"{spec}.ipynb"), desk.path / "state" / "kernels"
    desk.spec(failure.config, failure.argv, spec)
    try:
        await page.open(spec)
        cell = page.run("print(1)")
        if failure.act:
            there = partial(starting, cluster, desk.user, failure)
            await until("its process", there, START)
            act(cluster, failure, page.kernel_id)
        await until(f"an error: {name}", lambda: cell.reply is not None, START)
        told = time.time()
        assert cell.reply is not None
        await until("the record", lambda: ended(cluster, records, page.kernel_id), 20)
        late = told - ended(cluster, records, page.kernel_id)
        return page.waited, late, str(cell.reply.get("evalue"))
    finally:
        await page.close()


async def test_the_first_cell_says_why(cluster: Cluster, desk: Desk) -> None:
    """Within a second, through a websocket that opens at once; others feel nothing."""
    desk.spec({}, name="good")
    wrong = []
    with start_up_file(cluster, desk.user):
        async with notebook(cluster, desk) as (server, _), beside(server) as trips:
            for name, failure in FAILURES.items():
                opened, late, text = await fail(cluster, desk, server, name)
                print(f"{name}: open {opened:.3f} s, told after {late:.3f} s; {text}")
                if not re.search(failure.words, text, re.DOTALL):
                    wrong.append((name, text))
                if max(opened, late) > SOON + max(trips):  # as busy as this machine is
                    wrong.append((name, f"{opened:.3f} s, {late:.3f} s"))
            print(f"{len(trips)} cells beside, the slowest took {max(trips):.3f} s")
    assert [] == wrong
    assert statistics.median(trips) < SOON
