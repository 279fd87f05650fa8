"""An open JupyterLab page while its server dies and comes back, in Debian's Chromium.

The page sees one address throughout, as behind a site's gateway: a relay here passes
its connections to whichever login host the server runs on.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster.api import Cluster
from on_cluster.lab import CHROMIUM, FLAGS, NO_NEWS
from on_cluster.notebook import PORT, TOKEN, Server
from on_cluster.traces import Desk
from playwright.async_api import Locator, Page, async_playwright, expect

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300), pytest.mark.asyncio]

USER = "bob"
PATIENCE = 60_000  # milliseconds, on a small machine
LINES = 800
COUNT = f"""\
import time
kept = 41
for i in range({LINES}):
    print(i, flush=True)
    time.sleep(0.02)"""


@dataclass
class Relay:
    """Where it listens; `drop` closes all connections, as when a backend is gone."""

    port: int
    drop: Callable[[], None]


@asynccontextmanager
async def relay(server: Server) -> AsyncIterator[Relay]:
    """A port here, whose connections end where the server is at that moment."""
    tasks: set[asyncio.Task[None]] = set()

    def drop() -> None:
        for task in tasks:
            task.cancel()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        host = server.address.partition(":")[0]
        try:
            there = await asyncio.wait_for(asyncio.open_connection(host, PORT), 2)
        except (OSError, asyncio.TimeoutError):
            writer.close()
            return
        try:
            await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))
        finally:
            writer.close()
            there[1].close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Relay(listener.sockets[0].getsockname()[1], drop)
    finally:
        listener.close()
        drop()
        if tasks:
            await asyncio.wait(tasks)


@asynccontextmanager
async def window(port: int) -> AsyncIterator[Page]:
    """JupyterLab's launcher in a browser."""
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        chromium = playwright.chromium
        browser = await chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE)
        await page.goto(f"http://127.0.0.1:{port}/lab?token={TOKEN}")
        yield page
        await browser.close()


async def run(page: Page, code: str) -> Locator:
    """Type into the last cell and run it; returns its output area."""
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    cell = cells.nth(await cells.count() - 1)
    await cell.locator(".cm-content").click()
    await page.keyboard.insert_text(code)
    await page.keyboard.press("Shift+Enter")
    return cell.locator(".jp-Cell-outputArea")


@pytest.mark.parametrize(
    "how", ["SIGKILL", "host", pytest.param("SIGTERM", marks=pytest.mark.soak)]
)
async def test_the_page_fills_in(
    cluster: Cluster, desk: Desk, tmp_path: Path, how: str
) -> None:
    """It shows all of the running cell's output, reaches idle, and goes on."""
    desk.spec({})
    desk.write("config/labconfig/page_config.json", json.dumps(NO_NEWS))
    shots = Path(os.environ.get("RK_SCREENSHOTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    if how == "host" and not cluster.is_running("login2"):
        cluster.up(login2=True)
    server = Server(cluster, desk)
    await server.start()
    try:
        async with relay(server) as gateway, window(gateway.port) as page:
            await page.locator(".jp-LauncherCard[title='k']").first.click()
            await page.get_by_text("k | Idle").wait_for()
            output = await run(page, COUNT)
            await expect(output).to_contain_text(re.compile(r"\b99\b"))

            if how == "host":
                cluster.crash("login1")
                gateway.drop()
            else:
                server.end(signal.Signals[how])
            await asyncio.sleep(4)  # output that nobody sees
            await page.screenshot(path=shots / f"outlives-{how}-1-away.png")
            await server.start("login2" if how == "host" else "login1")

            # JupyterLab (4.6) tries seven times, at random within ever longer spans.
            whole = expect(output).to_contain_text
            await whole(re.compile(rf"\b{LINES - 1}\b"), timeout=3 * PATIENCE)
            lines = (await output.inner_text()).split()
            assert [str(i) for i in range(LINES)] == lines
            while await page.locator(".jp-Dialog").count():  # that it was away
                await page.keyboard.press("Escape")
            await page.get_by_text("k | Idle").wait_for()
            answer = await run(page, "print(kept + 1)")
            await expect(answer).to_have_text(re.compile(r"^\s*42\s*$"))
            await page.screenshot(path=shots / f"outlives-{how}-2-back.png")
    finally:
        server.end(signal.SIGKILL)
        if how == "host":
            cluster.boot("login1")
