"""A page in either of Debian's browsers, Chromium or Firefox: Playwright's `Page`.

The same test body runs in both. Firefox is the stock one, which Playwright drives by
WebDriver BiDi (channel `moz-firefox`). A browser has a fresh profile and no window; it
ends, and its profile goes, with the context. `window` and `async_window` are the same
for Playwright's two interfaces.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from on_cluster.lab import CHROMIUM, FLAGS
from playwright import async_api, sync_api

FIREFOX = "/usr/bin/firefox-esr"
BROWSERS = ("chromium", "firefox")
PATIENCE = 60_000  # milliseconds, on a small machine
LAUNCH: dict[str, dict[str, Any]] = {
    "chromium": {"executable_path": CHROMIUM, "args": FLAGS},
    "firefox": {"executable_path": FIREFOX, "channel": "moz-firefox"},
}
VIEW: Any = {"viewport": {"width": 1400, "height": 900}}


@contextmanager
def window(browser: str, url: str) -> Iterator[sync_api.Page]:
    """Open `url` in a browser of `BROWSERS`."""
    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        running = getattr(playwright, browser).launch(**LAUNCH[browser])
        try:
            page: sync_api.Page = running.new_page(**VIEW)
            page.set_default_timeout(PATIENCE)
            page.goto(url)
            yield page
        finally:
            running.close()


@asynccontextmanager
async def async_window(browser: str, url: str) -> AsyncIterator[async_api.Page]:
    """Open `url` in a browser of `BROWSERS`, for asyncio."""
    async_api.expect.set_options(timeout=PATIENCE)
    async with async_api.async_playwright() as playwright:
        running = await getattr(playwright, browser).launch(**LAUNCH[browser])
        try:
            page: async_api.Page = await running.new_page(**VIEW)
            page.set_default_timeout(PATIENCE)
            await page.goto(url)
            yield page
        finally:
            await running.close()
