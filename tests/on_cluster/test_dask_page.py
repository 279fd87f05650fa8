"""Dask's dashboard through `forward`, in a browser, while the node's cable is cut.

Bokeh draws it: the page's own JavaScript, by one websocket.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from on_cluster.browsers import async_window
from on_cluster.notebook import TOKEN, Page, Server, notebook, until
from on_cluster.test_ports import printed
from on_cluster.traces import BIN, Desk
from playwright.async_api import WebSocket
from testbed.api import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

USER = "bob"
START = """
from remote_kernels import cluster
running = cluster.dask(workers=1, threads=1)
"""
# One task after the other until somebody says "stop"; how many there were.
TASKS = """
import itertools, pathlib, time
for number in itertools.count():
    running.client.submit(time.sleep, 0.05, key=f"task-{{number}}").result()
    if pathlib.Path({stop!r}).exists():
        break
print(number + 1)
"""
# The tasks in the page's plot. Other rows: how long a task took to come there.
DRAWN = """() => {
    const plot = Bokeh.documents[0].get_model_by_name("task_stream")
    const rows = plot.renderers[0].data_source
    const names = rows.get_column("name")
    return Array.from(rows.get_column("key")).filter((_, n) => names[n] === "task")
}"""


@asynccontextmanager
async def forwarding(
    cluster: Cluster, desk: Desk, words: list[str]
) -> AsyncIterator[str]:
    """The URL that `remote-kernels forward` tells; it runs meanwhile."""
    program = cluster.popen(
        "login1",
        USER,
        [str(BIN / "remote-kernels"), *words, "--json"],
        env=desk.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    try:
        (port,) = json.loads(await asyncio.to_thread(program.stdout.readline))
        yield port["url"]
    finally:
        program.send_signal(signal.SIGTERM)
        await asyncio.to_thread(program.wait, 30)
        program.stdout.close()


async def cut_until_lost(cluster: Cluster, server: Server, page: Page) -> None:
    """Cut the node's cable until its kernel is lost, mend it, and see it back."""
    path = f"/remote-kernels/api/kernels/{page.kernel_id}"

    async def is_(state: str) -> bool:
        return bool(state == (await server.ask("GET", path))["state"])

    cluster.cut("c1")
    try:
        await until("the loss", lambda: is_("lost"), 30)
    finally:
        cluster.mend("c1")
    await until("the way back", lambda: is_("running"), 30)


@pytest.mark.asyncio
async def test_tasks_are_drawn(cluster: Cluster, desk: Desk) -> None:
    """All of them, in order, by the websocket that was open before the cut."""
    desk.spec({"nodelist": "c1", "mem": "1500M", "dead_after": 3})
    async with notebook(cluster, desk) as (server, page):
        await page.open()
        said = await printed(page, START)
        told = re.search(r"`remote-kernels (forward \d+ \d+)`", said)
        assert told is not None, said
        login = f"http://{server.address}/api/status?token={TOKEN}"
        async with (
            forwarding(cluster, desk, told[1].split()) as url,
            async_window("chromium", login) as window,
        ):
            sockets: list[WebSocket] = []
            window.on("websocket", lambda socket: sockets.append(socket))
            await window.goto(f"{url}status")
            title = await window.title()
            await window.wait_for_function("() => window.Bokeh?.documents.length")

            async def drawn() -> list[str]:
                return list(await window.evaluate(DRAWN))

            cell = page.run(TASKS.format(stop=str(desk.given("stop"))))
            await until("the first task", drawn, 30)
            await cut_until_lost(cluster, server, page)
            desk.write("stop", "")
            (count,) = await page.finish(cell)
            tasks = [f"task-{number}" for number in range(int(count))]

            async def last() -> bool:
                return tasks[-1] in await drawn()

            await until("the last task", last, 30)
            assert tasks == await drawn()
            assert title.startswith("Dask")
            (socket,) = sockets
            assert f"{url}status/ws" == socket.url.replace("ws:", "http:")
            assert not socket.is_closed()
        await server.ask("DELETE", f"sessions/{page.session_id}")
