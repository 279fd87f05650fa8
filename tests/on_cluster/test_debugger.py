"""The debugger of JupyterLab with a kernel on a compute node, in a real browser.

Each step leaves a screenshot in $RK_SCREENSHOTS (or pytest's directory), to be looked
at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from on_cluster import lab as labs
from on_cluster.book import Notebook, card, jobs
from on_cluster.browsers import window
from playwright.sync_api import Locator, Page, expect
from testbed.api import Cluster
from testbed.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

NODES = ("c1", "c2")
CODE = """\
import socket
def add(apples, pears):
    fruit = apples + pears
    return fruit
total = add(3, 4)
print(socket.gethostname(), 'total', total)"""


@pytest.fixture
def page(cluster: Cluster, shots: Path) -> Iterator[Page]:
    """Lab's launcher, in a browser window; its kernels end with it."""
    made = cluster.run("login1", "alice", ["mktemp", "-d", "/home/alice/lab-XXXXXX"])
    home = made.stdout.strip()
    with labs.lab(cluster, home) as running:
        try:
            with window("chromium", running.url) as page:
                card(page).wait_for()
                yield page
                page.screenshot(path=shots / "end.png")
        finally:
            for job in jobs(running):
                running.run("scancel", job)
            wait_for("the jobs to leave the queue", lambda: not jobs(running), 60)
    print(running.log())
    cluster.run("login1", "alice", ["rm", "-r", home])


def test_the_debugger(page: Page, shots: Path) -> None:
    """Stop in a function, look, step, change a variable, go on with it."""
    book = Notebook(page, shots)
    card(page).click()
    page.locator(".jp-Notebook .cm-content").first.wait_for()
    book.idle()
    bug = page.locator(".jp-DebuggerBugButton")
    bug.click()
    expect(bug).to_have_attribute("aria-pressed", "true")

    cell = book.type(CODE)
    set_breakpoint(cell, line=3)
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")

    frames = page.locator(".jp-DebuggerCallstackFrame")
    variables = page.locator(".jp-DebuggerVariables")
    expect(frames.nth(0)).to_contain_text("add")
    expect(frames.nth(1)).to_contain_text("<module>")
    expect(variables).to_contain_text("pears")
    expect(variables).not_to_contain_text("fruit")
    book.shot("stopped")

    page.get_by_role("button", name="Next").first.click()
    expect(variables).to_contain_text("fruit")
    book.shot("stepped")

    evaluate(page, "fruit = 700")
    book.shot("changed")
    # Lab (4.6) shows no variables after that, until one looks at another frame.
    frames.nth(1).click()
    expect(variables).to_contain_text("socket")
    book.shot("caller")
    frames.nth(0).click()
    expect(variables).to_contain_text("fruit700")
    book.shot("seen")

    page.get_by_role("button", name="Continue").first.click()
    output = cell.locator(".jp-Cell-outputArea")
    expect(output).to_contain_text("total 700")
    book.shot("continued")
    assert output.inner_text().split()[0] in NODES


def set_breakpoint(cell: Locator, line: int) -> None:
    """By a click beside it; one element before the lines' gives the gutter its width."""
    gutter = cell.locator(".cm-breakpoint-gutter .cm-gutterElement").nth(line)
    gutter.click()
    gutter.locator(".cm-breakpoint-icon").wait_for()


def evaluate(page: Page, code: str) -> None:
    """Lab offers no field for a value, but a console in the frame where it stopped."""
    page.get_by_role("button", name="Evaluate Code").first.click()
    prompt = page.locator(".jp-DebugConsole .jp-CodeConsole-promptCell .cm-content")
    prompt.wait_for()
    prompt.click()
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
