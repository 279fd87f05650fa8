"""What people are told of their kernels by a page: that one started, ends soon, ended.

Each step leaves a screenshot in $RK_SCREENSHOTS (or pytest's directory), to be looked
at.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from on_cluster.book import Notebook, card, the_job
from on_cluster.browsers import BROWSERS, window
from on_cluster.full import Full
from on_cluster.system import SYSTEM
from on_cluster.ui import (
    GIB,
    Served,
    answer,
    api,
    faults,
    kernel,
    notice,
    panel,
    tell,
)
from playwright.sync_api import Page, expect
from testbed.api import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CHOOSE = "remote-kernels:restart-on-cluster"
# A hidden page whose browser allows notifications, which are noted.
HIDDEN = """
  window.shown = [];
  Object.defineProperty(window, 'isSecureContext', { value: true });
  Object.defineProperty(document, 'hidden', { get: () => true });
  navigator.locks ?? Object.defineProperty(navigator, 'locks', {
    value: { request: (name, options, take) => take({ name }) }
  });
  window.Notification = class {
    static permission = 'granted';
    static requestPermission = async () => 'granted';
    constructor(title, { body }) { window.shown.push(`${title}: ${body}`); }
  };
"""
OUTSIDE = """\
mkdir -p "$0/lab/user-settings/@remote-kernels/ui" && \
echo '{"outside": true}' >"$0/lab/user-settings/@remote-kernels/ui/told.jupyterlab-settings"
"""
# The commands that "Start again…" runs are noted, and not run: there is no such notebook.
RECORD = f"""
() => {{
  const {{ commands }} = jupyterapp;
  window.ran = [];
  const execute = commands.execute.bind(commands);
  commands.execute = (id, args) =>
    ['docmanager:open', '{CHOOSE}'].includes(id)
      ? Promise.resolve(void window.ran.push(args))
      : execute(id, args);
}}
"""


def again(page: Page) -> Any:
    """What the dialog was to be filled in with."""
    page.wait_for_function("window.ran.length > 1")
    return page.evaluate("window.ran")[-1]


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_kernel_that_waited(
    browser: str, cluster: Cluster, site: Served, shots: Path
) -> None:
    """While it waits, the panel says why; when it starts, that is told."""
    full = Full(cluster)
    try:
        full.until_full()
        with window(browser, site.lab.url) as page:
            compute = panel(page)
            card(page).click()
            row = compute.locator(".rk-Row-head")
            expect(row).to_contain_text("waiting")
            expect(row.locator(".rk-Row-why")).not_to_be_empty()
            chip = page.locator(".jp-NotebookPanel-toolbar .rk-Chip-button")
            expect(chip).to_contain_text("waiting")
            output = Notebook(page, shots).run("1")
            # Who has waited for less is not told.
            waited = re.compile(r"waited\s+((1[6-9]|[2-5]\d) s|\d+ min)")
            expect(output).to_contain_text(waited)
            page.screenshot(path=shots / f"told-{browser}-waiting.png")
            full.free()
            told = notice(page, "its job has started on c")
            expect(told).to_contain_text("Untitled.ipynb")
            page.screenshot(path=shots / f"told-{browser}-started.png")
            expect(chip).to_contain_text(re.compile(r"^c\d"))
    finally:
        full.free()


@pytest.mark.parametrize("browser", BROWSERS)
def test_the_time_limit(browser: str, site: Served, shots: Path) -> None:
    """It is warned of, a refusal to extend is shown, and twice the time is suggested."""
    site.ask_for(time="0:01:00", warn_before=[40])
    with window(browser, site.lab.url) as page:
        book = Notebook(page, shots)
        card(page).click()
        book.idle()
        warning = notice(page, "seconds left")
        expect(warning).to_be_visible()
        page.screenshot(path=shots / f"told-{browser}-warning.png")
        warning.get_by_role("button", name="Extend by 1 h").click()
        dialog = page.locator(".jp-Dialog")
        expect(dialog).to_contain_text("Could not extend the time of Untitled.ipynb")
        if SYSTEM.name == "slurm":  # Slurm lets operators alone add time to a job
            expect(dialog).to_contain_text(
                re.compile("denied|permission", re.IGNORECASE)
            )
        page.screenshot(path=shots / f"told-{browser}-refused.png")
        assert [] == faults(page, ".jp-Dialog")
        page.keyboard.press("Escape")

        ended = notice(page, "time limit")
        expect(ended.get_by_role("button", name="Start again…")).to_be_visible(
            timeout=180_000
        )
        page.screenshot(path=shots / f"told-{browser}-ended.png")
        ended.get_by_role("button", name="Start again…").click()
        expect(dialog).to_contain_text("With more of what there was too little of.")
        expect(dialog.get_by_label("Time limit", exact=True).first).to_have_value(
            "0:02:00"
        )
        page.screenshot(path=shots / f"told-{browser}-again.png")
        dialog.get_by_role("button", name="Restart", exact=True).click()
        expect(dialog).to_have_count(0)
        the_job(site.lab, 2)


@pytest.mark.parametrize("browser", BROWSERS)
def test_what_is_told_of_an_event(browser: str, site: Served, shots: Path) -> None:
    """Once, with all of a long text, and more memory where there was too little."""
    used = kernel(1)
    used["usage"]["memory_limit"] = 4 * GIB
    event = {key: used[key] for key in ("kernel_id", "job_id", "node", "scheduler")}
    event |= {"state": "ended", "reason": "", "text": ""}
    why = "The job used more memory than it had asked for. " + "Ask for more. " * 20
    end = {"word": "F 7", "exit_code": 0, "signal": 9, "text": why, "cause": "memory"}
    with window(browser, "about:blank") as page:
        answer(page, "kernels", lambda: [used, kernel(2)])
        page.goto(site.lab.url)
        expect(panel(page).locator(".rk-Row")).to_have_count(2)
        page.evaluate(RECORD)
        tell(page, "kernels/v1", kernels=[], gone=[used["kernel_id"]])
        for _ in range(2):
            tell(page, "kernel/v1", **event, action="ended", end=end)
        told = notice(page, "analysis-1.ipynb: The job used more memory")
        expect(told).to_have_count(1)
        told.get_by_role("button", name="All of it").click()
        expect(page.locator(".jp-Dialog")).to_contain_text(why.strip())
        page.screenshot(path=shots / f"told-{browser}-all.png")
        page.keyboard.press("Escape")

        other = kernel(2)["kernel_id"]
        shut = {**end, "word": "shut-down"}
        tell(
            page, "kernel/v1", **{**event, "kernel_id": other}, action="ended", end=shut
        )
        warned = {**event, "kernel_id": other, "action": "warning", "end": None}
        tell(page, "kernel/v1", **{**warned, "text": "10 minutes left: job 4002"})
        warning = notice(page, "analysis-2.ipynb: 10 minutes left")
        warning.get_by_role("button", name="Extend by…").click()
        dialog = page.locator(".jp-Dialog")
        expect(dialog.get_by_role("radio")).to_have_count(4)
        assert [] == faults(page, ".jp-Dialog")
        page.screenshot(path=shots / f"told-{browser}-extend.png")
        with page.expect_request(api("kernels/.*/extend")) as asked:
            dialog.get_by_label("+ 2 h").check()
            page.keyboard.press("Enter")
        if browser == "chromium":  # Playwright (1.64) cannot tell in the stock Firefox
            assert {"minutes": 120} == asked.value.post_data_json
        expect(dialog).to_contain_text("Could not extend")  # there is no such kernel
        page.keyboard.press("Escape")
        expect(page.locator(".Toastify__toast", has_text="shut")).to_have_count(0)
        told.get_by_role("button", name="Start again…").click()
        wanted = {"path": "work/analysis-1.ipynb", "options": {"memory": "8G"}}
        assert wanted == again(page)


@pytest.mark.parametrize("browser", BROWSERS)
def test_outside_the_page(browser: str, site: Served) -> None:
    """Who asked for it is told once by the browser, too, of what the hidden page tells."""
    site.lab.run("sh", "-c", OUTSIDE, f"{site.lab.home}/config")
    used = kernel(1)
    event = {key: used[key] for key in ("kernel_id", "job_id", "node", "scheduler")}
    event |= {"state": "running", "reason": "", "end": None, "action": "warning"}
    with window(browser, "about:blank") as page:
        page.add_init_script(HIDDEN)
        answer(page, "kernels", lambda: [used])
        page.goto(site.lab.url)
        expect(panel(page).locator(".rk-Row")).to_have_count(1)
        for _ in range(2):
            tell(page, "kernel/v1", **event, text="10 minutes left: job 4001")
        expect(notice(page, "10 minutes left")).to_have_count(1)
        page.wait_for_function("window.shown.length")
        said = "Jupyter: analysis-1.ipynb: 10 minutes left: job 4001"
        assert [said] == page.evaluate("window.shown")
