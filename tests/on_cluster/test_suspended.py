"""A kernel whose job is suspended, and goes on: by an administrator, or for a more urgent one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from on_cluster.notebook import Server, notebook, until
from on_cluster.system import SYSTEM
from on_cluster.traces import BIN, Desk, left_over, traces
from testbed.api import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180), pytest.mark.asyncio]

USER = "bob"
COUNT = """
import pathlib, time
i = 0
while not pathlib.Path({until!r}).exists():
    print(i, flush=True)
    i += 1
    time.sleep(0.02)
print(kept + 1)
"""
URGENT = ["-q", "urgent.q", "-terse", "-b", "y", "-o", "/dev/null", "-j", "y"]


@contextmanager
def by_root(cluster: Cluster, job: str) -> Iterator[None]:
    cluster.run("ctl", "root", SYSTEM.suspend(job))
    try:
        yield
    finally:
        cluster.run("ctl", "root", SYSTEM.resume(job))


@contextmanager
def for_an_urgent_one(cluster: Cluster, job: str) -> Iterator[None]:
    argv = ["qsub", *URGENT, "sleep", "600"]
    urgent = cluster.run("login1", "alice", argv).stdout.strip()
    try:
        yield
    finally:
        cluster.run("login1", "alice", SYSTEM.cancel(urgent))


async def state(server: Server) -> str:
    """What the server says of its only kernel."""
    (kernel,) = await server.ask("GET", "/remote-kernels/api/kernels")
    return str(kernel["state"])


@pytest.mark.parametrize(
    ("how", "config"),
    [
        pytest.param(by_root, {}, id="by root"),
        pytest.param(
            *(for_an_urgent_one, {"queue": "cheap.q"}),
            id="for an urgent one",
            marks=pytest.mark.only("gridengine", "elsewhere an urgent job ends others"),
        ),
    ],
)
async def test_a_job_is_suspended(
    cluster: Cluster,
    desk: Desk,
    how: Callable[[Cluster, str], AbstractContextManager[None]],
    config: dict[str, str],
) -> None:
    """Its kernel is neither lost nor dead; the cell goes on where it was."""
    desk.spec({"dead_after": 4, **config})
    before = traces(cluster, USER)
    tool = [str(BIN / "remote-kernels"), "ls"]
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        await page.finish(page.run("kept = 41"))
        (job,) = [job.id for job in cluster.jobs() if job.user == USER]
        cell = page.run(COUNT.format(until=str(desk.given("enough"))))
        await until("some output", lambda: len(cell.lines) > 10, 20)

        with how(cluster, job):

            async def is_suspended() -> bool:
                return await state(server) == "suspended"

            await until("its being suspended", is_suspended, 60)
            listed = cluster.run("login1", USER, tool, env=desk.env).stdout
            assert "suspended" in listed, listed
            seen = len(cell.lines)

        await until("more of it", lambda: len(cell.lines) > seen, 60)
        desk.write("enough", "")
        *numbers, last = await page.finish(cell)
        assert [str(i) for i in range(len(numbers))] == numbers
        assert "42" == last
        await until("its running", lambda: is_running(server), 10)
        assert "dead" not in page.states
        assert [job] == [job.id for job in cluster.jobs() if job.user == USER]
        await server.ask("DELETE", f"sessions/{page.session_id}")
        await page.close()
        server.end()
    assert [] == left_over(cluster, USER, before)


async def is_running(server: Server) -> bool:
    return await state(server) == "running"
