"""A newcomer's way by clicks alone: from Lab's launcher to Dask's dashboard and back.

Each step leaves a screenshot in $RK_SCREENSHOTS (or pytest's directory), to be looked
at. The site lets its users extend their jobs: a `scontrol` before the real one in Lab's
PATH hands `update` to root. That the limit comes near after seconds is root's doing,
too: four hours become three minutes while the job waits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from on_cluster.book import card, jobs
from on_cluster.browsers import window
from on_cluster.full import Full
from on_cluster.ui import Served, act, notice
from playwright.sync_api import Locator, Page, expect
from testbed.api import Cluster
from testbed.hosts import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.only("slurm", "of its partitions, and how root moves a limit"),
]

CLICKS = 16  # as docs/page.md says
TYPED = len("4h") + len("2")  # code is no news to anybody
COUNT = """() => {
  window.done = { clicks: 0, keys: 0 };
  addEventListener('pointerdown', () => window.done.clicks++, true);
  addEventListener('keydown', () => window.done.keys++, true);
}"""
# Notices and dialogs have come to where they stay.
STILL = """() => Promise.allSettled(document.getAnimations().filter(
  one => one.effect.getComputedTiming().endTime < 5000).map(one => one.finished))"""
DASK = """\
from remote_kernels import cluster
running = cluster.dask(workers=1, threads=1)
running.client.submit(sum, range(100)).result()"""
SCONTROL = """\
#!/bin/sh
[ "$1" = update ] || exec /usr/bin/scontrol "$@"
cd "$(dirname "$0")" && echo "$@" >asked && exec cat answered
"""
ROOT = (
    """cd "$0"; while read -r words <asked; do scontrol $words >answered 2>&1; done"""
)
BEFORE = 160  # seconds: of three minutes, the first that is warned of


@contextmanager
def extending(site: Served) -> Iterator[None]:
    """Its users may extend their jobs, and Lab knows."""
    cluster, home = site.lab.cluster, f"{site.lab.home}/bin"
    site.lab.run("sh", "-c", 'mkdir "$0"; mkfifo "$0/asked" "$0/answered"', home)
    site.lab.run("tee", f"{home}/scontrol", input=SCONTROL)
    site.lab.run("chmod", "+x", f"{home}/scontrol")
    root = cluster.popen("login1", "root", ["sh", "-c", ROOT, home])
    try:
        site.stop()
        site.start(PATH=f"{home}:{os.environ['PATH']}")
        yield
    finally:
        root.terminate()
        root.wait(30)


class Visit:
    """What a newcomer sees, and does by clicks."""

    def __init__(self, page: Page, site: Served, shots: Path, browser: str) -> None:
        self.page, self.site = page, site
        self._shots, self._browser, self._count = shots, browser, 0
        page.wait_for_function("window.jupyterapp")
        page.evaluate("() => jupyterapp.restored.then(() => true)")
        card(page).wait_for()
        expect(page.locator("#jupyterlab-splash")).to_have_count(0)
        page.evaluate(COUNT)

    def look(self, name: str, page: Page | None = None) -> None:
        self._count += 1
        self.page.evaluate(STILL)
        file = f"newcomer-{self._browser}-{self._count:02d}-{name}.png"
        (page or self.page).screenshot(path=self._shots / file)

    def type(self, label: str, text: str) -> None:
        """Into a field of the form."""
        self.page.get_by_label(label, exact=True).click()
        self.page.keyboard.type(text)

    def run(self, code: str) -> Locator:
        """In the last cell, by the toolbar's button; returns its output."""
        cells = self.page.locator(".jp-Notebook .jp-CodeCell")
        cell = cells.nth(cells.count() - 1)
        cell.locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        self.page.locator("[data-command='notebook:run-cell-and-select-next']").click()
        return cell.locator(".jp-Cell-outputArea")

    def done(self) -> dict[str, int]:
        """The clicks and keys so far, as the page got them."""
        return dict(self.page.evaluate("window.done"))


def choose(visit: Visit) -> None:
    """Two GPUs and four hours, which one partition alone gives."""
    page = visit.page
    visit.look("lab")
    page.locator(".jp-LauncherCard", has_text="Notebook on the Cluster…").click()
    dialog = page.locator(".jp-Dialog")
    expect(dialog.get_by_role("radio").first).to_be_visible()
    visit.look("form")
    visit.type("Time limit", "4h")
    visit.type("GPUs", "2")
    expect(dialog.locator(".rk-Choose-told")).to_contain_text(
        "over the limit of partition debug"
    )
    visit.look("not-allowed")
    dialog.get_by_role("radio", name=re.compile("^long")).click()
    expect(dialog.locator(".rk-Choose-told")).to_contain_text("It would start")
    visit.look("chosen")
    dialog.get_by_role("button", name="Start").click()
    expect(dialog).to_have_count(0)


def wait(visit: Visit, full: Full) -> None:
    """The job is what was asked for; then root lowers its limit and makes room."""
    page, lab = visit.page, visit.site.lab
    wait_for("the job", lambda: len(jobs(lab)) == 1, 60)
    (job,) = jobs(lab)
    said = lab.run("scontrol", "show", "job", job)
    assert re.search(r"TimeLimit=04:00:00", said), said
    assert re.search(r"gres.gpu:2", said), said
    chip = page.locator(".jp-NotebookPanel-toolbar .rk-Chip-button")
    expect(chip).to_contain_text("waiting")
    visit.look("waiting")
    lower = ["scontrol", "update", f"JobId={job}", "TimeLimit=3"]
    lab.cluster.run("login1", "root", lower)
    full.free()
    expect(chip).to_contain_text("c2")


def compute(visit: Visit) -> None:
    """Run, be warned, extend, and look at the memory."""
    page = visit.page
    output = visit.run("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])")
    expect(output).to_contain_text("0,1")
    visit.look("has-run")
    warning = notice(page, "left")
    expect(warning).to_be_visible()
    visit.look("warned")
    warning.get_by_role("button", name="Extend by 1 h").click()
    expect(notice(page, "may now run until")).to_be_visible()
    visit.look("extended")
    chip = page.locator(".jp-NotebookPanel-toolbar .rk-Chip-button")
    expect(chip).to_contain_text(re.compile(r"c2 · 1 h .* · .*iB"))
    chip.click()
    meter = page.get_by_role("meter", name="Memory")
    expect(meter).to_have_attribute("aria-valuetext", re.compile(r"\d .*iB"))
    visit.look("memory")


def dashboard(visit: Visit) -> None:
    """Dask's, in a tab, drawn by its own websocket."""
    page = visit.page
    output = visit.run(DASK)
    expect(output).to_contain_text("4950")
    told = re.search(r"Dashboard: port (\d+) of", output.inner_text())
    assert told is not None
    visit.look("dask")
    act(page, "Ports…")
    button = page.get_by_role("button", name=f"Open port {told[1]}")
    expect(button).to_be_visible()
    visit.look("ports")
    with page.expect_popup() as opened:
        button.click()
    tab = opened.value
    expect(tab).to_have_title(re.compile("Dask"))
    tab.wait_for_function("() => window.Bokeh?.documents.length")
    visit.look("dashboard", tab)
    tab.close()
    visit.look("port-opened")
    page.locator(".jp-Dialog").get_by_role("button", name="Close").click()


def shut_down(visit: Visit) -> None:
    """The job is given back."""
    page = visit.page
    act(page, "Shut down…")
    visit.look("asks")
    page.locator(".jp-Dialog .jp-mod-warn").click()
    expect(page.locator(".rk-Row")).to_have_count(0)
    visit.look("shut-down")
    wait_for("the job to leave the queue", lambda: not jobs(visit.site.lab), 60)


@pytest.mark.parametrize(
    "browser", ["chromium", pytest.param("firefox", marks=pytest.mark.soak)]
)
def test_a_newcomer(browser: str, cluster: Cluster, site: Served, shots: Path) -> None:
    """Few clicks, in an hour extended, with what was asked for, and nothing left."""
    site.ask_for(usage=2, warn_before=[BEFORE])
    full = Full(cluster)
    try:
        full.until_full()
        with extending(site), window(browser, site.lab.url) as page:
            visit = Visit(page, site, shots, browser)
            choose(visit)
            wait(visit, full)
            compute(visit)
            dashboard(visit)
            shut_down(visit)
            assert {"clicks": CLICKS, "keys": TYPED} == visit.done()
    finally:
        full.free()
