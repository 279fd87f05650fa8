"""An open JupyterLab page while its server dies and comes back."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path

import pytest
from on_cluster.notebook import Server
from on_cluster.traces import Desk
from on_cluster.window import PATIENCE, relay, run, window
from playwright.async_api import expect
from served.lab import NO_NEWS
from testbed.api import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300), pytest.mark.asyncio]

USER = "bob"
LINES = 800
COUNT = f"""\
import time
kept = 41
for i in range({LINES}):
    print(i, flush=True)
    time.sleep(0.02)"""


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
