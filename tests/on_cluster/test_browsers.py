"""JupyterLab works in both of Debian's browsers, and they leave nothing.

Each leaves a screenshot in $RK_SCREENSHOTS (or pytest's directory), to be looked at.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from on_cluster import lab as labs
from on_cluster.book import cancel, jobs
from on_cluster.browsers import BROWSERS, async_window, window
from playwright.sync_api import Page, expect
from testbed.api import Cluster
from testbed.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

KERNEL = "Python (Compute Node)"
NAMES = {"chromium": "Chrome/", "firefox": "Firefox/"}  # as each calls itself
PAGE = "data:text/html,<h1>hello</h1><input>"


def processes(directory: Path) -> list[int]:
    """Whatever was started with that directory for temporary files."""
    wanted = f"TMPDIR={directory}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone
            if wanted in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
    return found


def run(page: Page, code: str, output: str) -> None:
    """Run the notebook's last cell, which is empty, and wait for what it prints."""
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    count = cells.count()
    cell = cells.nth(count - 1)
    cell.locator(".cm-content").click()
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
    expect(cells).to_have_count(count + 1)
    expect(cell.locator(".jp-OutputArea-output")).to_have_text(re.compile(output))


@pytest.fixture
def lab(cluster: Cluster) -> Iterator[labs.Lab]:
    """JupyterLab on the login host; its kernels, which outlive it, end here."""
    make = ["mktemp", "-d", "/home/alice/lab-XXXXXX"]
    home = cluster.run("login1", "alice", make).stdout.strip()
    with labs.lab(cluster, home) as running:
        yield running
    cancel(running)
    wait_for("the end of jobs", lambda: not jobs(running), 30)
    running.run("rm", "-r", home)


@pytest.mark.parametrize("browser", BROWSERS)
def test_lab_runs_a_cell(lab: labs.Lab, browser: str, tmp_path: Path) -> None:
    """A notebook from the launcher runs code of one line and of several."""
    shots = Path(os.environ.get("RK_SCREENSHOTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    with window(browser, lab.url) as page:
        assert NAMES[browser] in page.evaluate("navigator.userAgent")
        page.locator(f".jp-LauncherCard[title='{KERNEL}']").first.click()
        page.get_by_text(f"{KERNEL} | Idle").wait_for()
        run(page, "print(6 * 7)", r"^\s*42\s*$")
        run(page, "for i in range(3):\n    print(i)", r"^\s*0\s+1\s+2\s*$")
        page.screenshot(path=shots / f"lab-{browser}.png")


def fail_in(browser: str, directory: Path) -> None:
    """A test that fails while its browser runs."""
    with window(browser, PAGE) as page:
        assert "hello" == page.locator("h1").inner_text()
        assert len(processes(directory)) > 1
        assert any(directory.iterdir())
        pytest.fail("on purpose")


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_browser_leaves_nothing(
    browser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes and its profile are gone, also where the test fails."""
    # Not in tmp_path: Chromium has a socket there, whose path has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="b-") as name:
        monkeypatch.setenv("TMPDIR", name)
        with pytest.raises(pytest.fail.Exception, match="on purpose"):
            fail_in(browser, Path(name))
        assert ([], []) == (processes(Path(name)), [*Path(name).iterdir()])


@pytest.mark.parametrize("browser", BROWSERS)
def test_asyncio_has_the_same_page(browser: str) -> None:
    """What is typed arrives, also by way of asyncio."""

    async def type_something() -> str:
        async with async_window(browser, PAGE) as page:
            await page.locator("input").click()
            await page.keyboard.insert_text("typed")
            return await page.locator("input").input_value()

    assert "typed" == asyncio.run(type_something())
