"""A kernel whose job waits, in browsers: JupyterLab and Notebook 7 in Chromium, Firefox.

Each step leaves a screenshot in $RK_SCREENSHOTS (or pytest's directory), to be looked
at. The job is held for HOLD seconds; for eleven minutes in `make soak`.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from on_cluster import lab as labs
from on_cluster.book import KERNEL, Notebook, cancel, card, jobs
from on_cluster.browsers import BROWSERS, window
from on_cluster.full import Full
from playwright.sync_api import Locator, expect
from testbed.api import Cluster
from testbed.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

HOLD = 12.0  # seconds
LONG = 660.0
WAITS = re.compile(r"Job \d+ waits: .*waited", re.DOTALL)  # it may take several lines
FREE = 10.0  # seconds until a job that nobody wants has left the queue


@pytest.fixture
def full(cluster: Cluster) -> Iterator[Full]:
    made = Full(cluster)
    made.until_full()
    yield made
    made.free()


@contextmanager
def lab_of_alice(cluster: Cluster, port: int) -> Iterator[labs.Lab]:
    """JupyterLab on the login host; pytest shows its log where a test fails."""
    make = ["mktemp", "-d", "/home/alice/lab-XXXXXX"]
    home = cluster.run("login1", "alice", make).stdout.strip()
    with labs.lab(cluster, home, port) as running:
        yield running
    print(running.log())
    cancel(running)
    cluster.run("login1", "alice", ["rm", "-r", home])


@pytest.fixture
def lab(cluster: Cluster) -> Iterator[labs.Lab]:
    with lab_of_alice(cluster, 8888) as running:
        yield running


def outputs(lab: labs.Lab) -> list[list[Any]]:
    """What the saved notebook holds, by cell that was run."""
    text = lab.run("sh", "-c", f"cat {lab.home}/work/*.ipynb")
    cells = json.loads(text)["cells"]
    return [cell["outputs"] for cell in cells if cell["source"]]


def live(output: Locator, seconds: float) -> list[str]:
    """What the cell shows in all that time, which moves."""
    expect(output).to_contain_text(WAITS)
    seen, end = [output.inner_text()], time.monotonic() + seconds
    while time.monotonic() < end:
        expect(output).to_contain_text(WAITS)
        if output.inner_text() != seen[-1]:
            seen.append(output.inner_text())
        output.page.wait_for_timeout(500)
    return seen


def wait_in_lab(
    browser: str, lab: labs.Lab, free: threading.Barrier, shots: Path, hold: float
) -> None:
    with window(browser, lab.url) as page:
        book = Notebook(page, shots)
        card(page).click()
        page.get_by_text(f"{KERNEL} | Starting").wait_for()
        output = book.run("print(6 * 7)")
        seen = live(output, hold)
        page.screenshot(path=shots / f"queue-{browser}-waiting.png")
        print(f"\n{browser}: {len(seen)} texts in {hold:g} s; the last: {seen[-1]}")
        assert len(seen) > 3
        (job,) = jobs(lab)
        assert f"Job {job} " in seen[-1]

        free.wait()
        expect(output).to_have_text(re.compile(r"^\s*42\s*$"))
        book.idle()
        page.screenshot(path=shots / f"queue-{browser}-done.png")
        page.keyboard.press("Control+s")
        page.get_by_role("button", name="Rename").click()  # asked at the first time
        wait_for("the file", lambda: outputs(lab) and outputs(lab)[0], 30)
        ((stream,),) = outputs(lab)
        assert "42\n" == "".join(stream["text"])
        assert [job] == jobs(lab)


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_cell_shows_the_queue(
    browser: str, lab: labs.Lab, full: Full, shots: Path
) -> None:
    """Live, then its real result; the saved notebook holds nothing else."""
    wait_in_lab(browser, lab, threading.Barrier(1, full.free), shots, HOLD)


@pytest.mark.soak
def test_a_cell_shows_the_queue_for_long(
    cluster: Cluster, full: Full, shots: Path
) -> None:
    """Eleven minutes, in both at once: no time-out of a browser or a server strikes."""
    free = threading.Barrier(len(BROWSERS), full.free, timeout=300)

    def use(browser: str, port: int) -> None:
        with lab_of_alice(cluster, port) as lab:
            wait_in_lab(browser, lab, free, shots, LONG)

    with ThreadPoolExecutor() as pool:
        uses = [pool.submit(use, name, 8888 + n) for n, name in enumerate(BROWSERS)]
        for done in uses:
            done.result()


@pytest.mark.parametrize("browser", BROWSERS)
def test_the_kernel_menu_gives_the_job_back(
    browser: str, lab: labs.Lab, full: Full, shots: Path
) -> None:
    """Interrupt cancels the cell and keeps the job, shutting down frees it at once."""
    with window(browser, lab.url) as page:
        book = Notebook(page, shots)
        card(page).click()
        page.get_by_text(f"{KERNEL} | Starting").wait_for()
        output = book.run("print(1)")
        live(output, 0)
        book.menu("Kernel", "Interrupt Kernel")
        expect(output).to_contain_text(
            "KeyboardInterrupt: cancelled while the job waited"
        )
        page.screenshot(path=shots / f"queue-{browser}-interrupted.png")
        assert 1 == len(jobs(lab))

        book.menu("Kernel", "Shut Down Kernel")
        begun = time.monotonic()
        wait_for("the job to leave the queue", lambda: not jobs(lab), 30)
        took = time.monotonic() - begun
        print(f"\n{browser}: the job was free {took:.2f} s after the click")
        assert took < FREE
        expect(page.locator(".jp-Toolbar-kernelName")).to_contain_text("No Kernel")
        page.screenshot(path=shots / f"queue-{browser}-shut-down.png")


@pytest.mark.parametrize("browser", BROWSERS)
def test_notebook_7(browser: str, lab: labs.Lab, full: Full, shots: Path) -> None:
    """Jupyter Notebook starts the kernel that the file names, and shows the same."""
    spec = {"name": "python-compute", "display_name": KERNEL, "language": "python"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
    book.cells = [nbformat.v4.new_code_cell("print(6 * 7)")]
    lab.run("tee", f"{lab.home}/work/seven.ipynb", input=nbformat.writes(book))
    with window(browser, lab.url.replace("/lab?", "/notebooks/seven.ipynb?")) as page:
        page.locator("[data-status=starting]").wait_for()
        cell = page.locator(".jp-CodeCell").first
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        output = cell.locator(".jp-Cell-outputArea")
        live(output, HOLD)
        page.screenshot(path=shots / f"queue-{browser}-notebook.png")

        full.free()
        expect(output).to_have_text(re.compile(r"^\s*42\s*$"))
        page.keyboard.press("Control+s")
        wait_for("the file", lambda: outputs(lab)[0], 30)
        ((stream,),) = outputs(lab)
        assert "42\n" == "".join(stream["text"])
