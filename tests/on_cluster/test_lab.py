"""A user's first hour in real JupyterLab, in Debian's Chromium.

Each step leaves a screenshot in $RK_SCREENSHOTS (or pytest's directory), to be looked
at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.api import Cluster
from on_cluster.lab import lab
from playwright.sync_api import Locator, Page, expect, sync_playwright

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000  # milliseconds, on a small machine
NODES = ("c1", "c2")
HOME = "/home/alice/lab"


class Notebook:
    """What a person does with a notebook in Lab."""

    def __init__(self, page: Page, shots: Path) -> None:
        self.page = page
        self._shots = shots
        self._count = 0

    def shot(self, name: str) -> None:
        self._count += 1
        self.page.screenshot(path=self._shots / f"{self._count:02d}-{name}.png")

    @property
    def cells(self) -> Locator:
        return self.page.locator(".jp-Notebook .jp-CodeCell")

    def type(self, code: str) -> Locator:
        """Type into the last cell, which is empty; returns it."""
        number = self.cells.count() - 1
        cell = self.cells.nth(number)
        cell.locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        return cell

    def run(self, code: str) -> Locator:
        """Type and run; returns the cell's output area."""
        count = self.cells.count()
        cell = self.type(code)
        self.page.keyboard.press("Shift+Enter")
        expect(self.cells).to_have_count(count + 1)
        return cell.locator(".jp-Cell-outputArea")

    def menu(self, name: str, item: str) -> None:
        self.page.locator(".lm-MenuBar-itemLabel", has_text=name).first.click()
        self.page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()

    def idle(self) -> None:
        """Connected and idle; before that, Lab drops what one runs."""
        self.page.get_by_text("Python (Compute Node) | Idle").wait_for()


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    path = Path(os.environ.get("RK_SCREENSHOTS", tmp_path))
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def page(cluster: Cluster) -> Iterator[Page]:
    """Lab's launcher, in a browser window."""
    cluster.run("login1", "alice", ["rm", "-rf", HOME])
    with lab(cluster, HOME) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        made = browser.new_page(viewport={"width": 1400, "height": 900})
        made.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        made.goto(url)
        yield made
        browser.close()


def job_of(cluster: Cluster) -> list[str]:
    done = cluster.run("login1", "alice", ["squeue", "-h", "-u", "alice", "-o", "%i"])
    return str(done.stdout).split()


def test_the_first_hour(page: Page, cluster: Cluster, shots: Path) -> None:
    """Pick the kernel, run, plot, answer, interrupt, restart, debug, slide, shut down."""
    before = set(job_of(cluster))
    page.locator(".jp-LauncherCard[title='Python (Compute Node)']").first.wait_for()
    book = Notebook(page, shots)
    book.shot("launcher")
    page.locator(".jp-LauncherCard[title='Python (Compute Node)']").first.click()
    page.locator(".jp-Notebook .cm-content").first.wait_for()
    book.idle()

    output = book.run("import os, socket\nprint('host', socket.gethostname())")
    expect(output).to_contain_text("host c")
    assert output.inner_text().split()[-1] in NODES
    book.shot("host-name")

    output = book.run(
        "import matplotlib.pyplot as plt\nplt.plot([1, 4, 9])\nplt.title('squares');"
    )
    output.locator("img").wait_for()
    book.shot("matplotlib")

    output = book.run("print('hello,', input('who? '))")
    answer = output.locator("input.jp-Stdin-input")
    answer.fill("browser")
    answer.press("Enter")
    expect(output).to_contain_text("hello, browser")
    book.shot("input")

    book.run("kept = 42")
    output = book.run("print('looping')\nwhile True:\n    pass")
    expect(output).to_contain_text("looping")
    book.menu("Kernel", "Interrupt Kernel")
    expect(output).to_contain_text("KeyboardInterrupt")
    expect(book.run("print('kept', kept)")).to_contain_text("kept 42")
    book.shot("interrupt")

    where = "import os; print(os.environ['SLURM_JOB_ID'], os.getpid())"
    first = book.run(where)
    expect(first).to_contain_text(" ")
    job, pid = first.inner_text().split()
    book.menu("Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.wait_for_function("() => !document.querySelector('.jp-Dialog')")
    book.idle()
    second = book.run(where)
    expect(second).to_contain_text(job)
    assert job == second.inner_text().split()[0]
    assert pid != second.inner_text().split()[1]
    book.shot("restart")

    debug(book)
    slide(book)

    book.menu("Kernel", "Shut Down Kernel")
    indicator = page.locator(".jp-Toolbar-kernelName")
    expect(indicator).to_contain_text("No Kernel")
    book.shot("shut-down")
    assert set(job_of(cluster)) <= before


def debug(book: Notebook) -> None:
    """Stop at a breakpoint, see a variable, go on."""
    page = book.page
    page.locator(".jp-DebuggerBugButton").click()
    expect(page.locator(".jp-DebuggerBugButton")).to_have_attribute(
        "aria-pressed", "true"
    )
    cell = book.type("apples = 3\npears = apples + 4\nprint('sum', apples + pears)")
    gutter = cell.locator(".cm-breakpoint-gutter .cm-gutterElement").nth(3)
    gutter.click()
    gutter.locator(".cm-breakpoint-icon").wait_for()
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.locator(".jp-DebuggerCallstackFrame").first.wait_for()
    variables = page.locator(".jp-DebuggerVariables")
    expect(variables).to_contain_text("pears")
    book.shot("breakpoint")
    page.get_by_role("button", name="Continue").first.click()
    expect(cell.locator(".jp-Cell-outputArea")).to_contain_text("sum 10")
    page.locator(".jp-DebuggerBugButton").click()


def slide(book: Notebook) -> None:
    """Drag an ipywidgets slider; the kernel sees the new value."""
    output = book.run(
        "import ipywidgets as w\nslider = w.IntSlider(value=0, max=100)\nslider"
    )
    handle = output.locator(".noUi-handle")
    handle.wait_for()
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    book.page.mouse.move(x, y)
    book.page.mouse.down()
    book.page.mouse.move(x + 60, y, steps=6)
    book.page.mouse.up()
    moved = book.run("print('moved', slider.value > 10)")
    expect(moved).to_contain_text("moved True")
    book.shot("slider")


def test_the_error_dialog_shows_sbatch_s_words(
    page: Page, cluster: Cluster, shots: Path
) -> None:
    """A partition that is not there: what sbatch said, and what to do."""
    spec = f"{HOME}/data/kernels/python-compute/kernel.json"
    sed = ["sed", "-i", 's/"scheduler": "slurm"/&, "partition": "nosuch"/', spec]
    cluster.run("login1", "alice", sed)
    before = set(job_of(cluster))
    book = Notebook(page, shots)

    page.locator(".jp-LauncherCard[title='Python (Compute Node)']").first.click()

    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Invalid partition name specified")
    expect(dialog).to_contain_text("sinfo -s")
    book.shot("error-dialog")
    assert set(job_of(cluster)) <= before
