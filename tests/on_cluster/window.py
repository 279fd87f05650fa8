"""JupyterLab in Debian's Chromium, whose server may be on another host tomorrow.

The page sees one address throughout, as behind a site's gateway: a relay here passes
its connections to whichever login host the server runs on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from on_cluster.lab import CHROMIUM, FLAGS
from on_cluster.notebook import PORT, TOKEN, Server
from playwright.async_api import Locator, Page, async_playwright, expect

PATIENCE = 60_000  # milliseconds, on a small machine


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
