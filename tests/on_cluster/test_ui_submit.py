"""Jobs of one's own from the page: a script and a notebook, in JupyterLab and Notebook 7.

The same in Chromium and Firefox, on each batch system. Each step leaves a screenshot in
$RK_SCREENSHOTS (or pytest's directory), to be looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from on_cluster.book import KERNEL
from on_cluster.browsers import BROWSERS, window
from on_cluster.ui import Served, faults, notice, served
from playwright.sync_api import Locator, Page, expect
from testbed.api import Cluster
from testbed.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ENDS = 240_000  # milliseconds, for a job to end and for that to be told
SCRIPT = """#!/bin/bash
# A name for people, and for each batch system its own line.
#SBATCH --job-name=from-page
#$ -N from-page -j y
echo it began
sleep 600
"""
NAME = re.compile(r"Submitted: .*\(job (\d+)\)")


@pytest.fixture
def lab(cluster: Cluster) -> Iterator[Served]:
    with served(cluster) as made:
        yield made


def write(lab: Served, name: str, text: str) -> None:
    lab.lab.run("tee", f"{lab.lab.home}/work/{name}", input=text)


def book(lab: Served, name: str, *codes: str) -> None:
    spec = {"name": "python-compute", "display_name": KERNEL, "language": "python"}
    made = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
    made.cells = [nbformat.v4.new_code_cell(code) for code in codes]
    write(lab, name, nbformat.writes(made))


def choose(page: Page, name: str, item: str) -> Locator:
    """Right click on a file, and that item; its dialog."""
    file = page.locator(".jp-DirListing-item", has_text=name)
    file.click(button="right")
    page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()
    return dialog(page)


def dialog(page: Page) -> Locator:
    found = page.get_by_role("dialog")
    found.wait_for()
    return found


def retype(field: Locator, text: str) -> None:
    """Key by key: of `fill` the form heard nothing in Firefox (Playwright 1.64)."""
    field.press("Control+a")
    field.press_sequentially(text)


def submitted(page: Page) -> str:
    """The number of the job, as a notice tells it."""
    said = notice(page, "Submitted:")
    expect(said).to_contain_text(NAME)
    found = NAME.search(said.inner_text())
    assert found is not None
    return found[1]


def row(page: Page, job: str) -> Locator:
    return page.locator("#remote-kernels-compute .rk-Row", has_text=job)


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_script_from_the_file_browser(browser: str, lab: Served, shots: Path) -> None:
    """It is submitted by a right click; its state, log and end are in the page."""
    write(lab, "run.sh", SCRIPT)
    with window(browser, lab.lab.url) as page:
        asked = choose(page, "run.sh", "Submit as Job…")
        expect(asked).to_contain_text("#SBATCH --job-name=from-page")
        expect(asked.get_by_label("Time")).to_be_focused()
        page.keyboard.type("10m")
        asked.get_by_label("when it fails").check()
        expect(asked.get_by_label("Address")).to_be_visible()
        asked.get_by_label("when it fails").uncheck()
        page.screenshot(path=shots / f"submit-{browser}-script.png")
        assert [] == faults(page, ".jp-Dialog-content")
        asked.get_by_label("Time").press("Enter")
        job = submitted(page)
        page.screenshot(path=shots / f"submit-{browser}-submitted.png")
        notice(page, "Submitted:").get_by_role("button", name="Show").click()

        mine = row(page, job)
        expect(mine).to_contain_text("from-page")
        expect(mine).to_contain_text("running", timeout=ENDS)
        mine.get_by_role("button", name="Log").click()
        log = page.get_by_role("log")
        again = page.get_by_role("button", name="Read again")

        def began() -> bool:
            again.click()
            expect(again).to_be_visible()
            return "it began" in log.inner_text()

        wait_for("the log", began, 60)
        page.screenshot(path=shots / f"submit-{browser}-log.png")

        mine.get_by_role("button", name="Cancel…").click()
        dialog(page).get_by_role("button", name="Cancel the job").click()
        told = notice(page, f"job {job}): ")
        expect(told).to_contain_text("cancelled", timeout=ENDS)
        expect(mine).to_contain_text("cancelled")
        page.screenshot(path=shots / f"submit-{browser}-cancelled.png")
        mine.get_by_role("button", name="Remove").click()
        expect(mine).to_have_count(0)


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_notebook_as_a_job(browser: str, lab: Served, shots: Path) -> None:
    """It runs without a page; a page that comes later opens its result and its report."""
    book(lab, "six.ipynb", "print(6 * 7)")
    with window(browser, lab.lab.url) as page:
        asked = choose(page, "six.ipynb", "Run as Job…")
        expect(asked).to_contain_text("six-DATE-TIME.html")
        page.screenshot(path=shots / f"submit-{browser}-notebook.png")
        page.keyboard.press("Enter")
        submitted(page)
        page.reload()

        told = notice(page, "All of its 1 cell were run.")
        expect(told).to_be_visible(timeout=ENDS)
        page.screenshot(path=shots / f"submit-{browser}-ended.png")
        told.get_by_role("button", name="Open result").click()
        output = page.locator(".jp-Notebook .jp-Cell-outputArea")
        expect(output).to_have_text(re.compile(r"^\s*42\s*$"))
        expect(page.locator(".jp-Toolbar-kernelName")).to_contain_text("No Kernel")
        told.get_by_role("button", name="Open report").click()
        report = page.frame_locator(".jp-HTMLViewer iframe")
        expect(report.get_by_text("42", exact=True)).to_be_visible()
        page.screenshot(path=shots / f"submit-{browser}-report.png")
        saved = json.loads(lab.lab.run("cat", f"{lab.lab.home}/work/six.ipynb"))
        assert [[]] == [cell["outputs"] for cell in saved["cells"]]


@pytest.mark.parametrize("browser", BROWSERS)
def test_what_is_refused_is_said(browser: str, lab: Served, shots: Path) -> None:
    """In the dialog, which keeps what was typed; nothing is submitted."""
    write(lab, "run.sh", SCRIPT)
    write(lab, "notes.txt", "no script\n")
    with window(browser, lab.lab.url) as page:
        page.locator(".lm-MenuBar-itemLabel", has_text="File").first.click()
        page.locator(".lm-Menu-itemLabel").get_by_text("Submit Job…").click()
        asked = dialog(page)
        expect(asked.get_by_label("Script or notebook")).to_be_focused()
        page.keyboard.type("run.sh")
        retype(asked.get_by_label("Time"), "two weeks")
        page.keyboard.press("Enter")
        alert = asked.get_by_role("alert")
        expect(alert).to_contain_text("two weeks")
        expect(asked.get_by_label("Time")).to_have_value("two weeks")
        page.screenshot(path=shots / f"submit-{browser}-refused.png")

        retype(asked.get_by_label("Time"), "10m")
        expect(alert).to_have_count(0)
        retype(asked.get_by_label("Script or notebook"), "notes.txt")
        page.keyboard.press("Enter")
        expect(alert).to_contain_text("notes.txt is no batch script")
        page.keyboard.press("Escape")
        expect(asked).to_have_count(0)
        expect(notice(page, "Submitted:")).to_have_count(0)


@pytest.mark.parametrize("browser", BROWSERS)
def test_notebook_7(browser: str, lab: Served, shots: Path) -> None:
    """Its list of files has the same; a notebook's page has it in a menu and a button."""
    book(lab, "six.ipynb", "print(6 * 7)")
    with window(browser, lab.lab.url.replace("/lab?", "/tree?")) as page:
        choose(page, "six.ipynb", "Run as Job…")
        page.keyboard.press("Enter")
        submitted(page)
        page.screenshot(path=shots / f"submit-{browser}-tree.png")

        page.goto(lab.lab.url.replace("/lab?", "/notebooks/six.ipynb?"))
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
        page.locator(".lm-Menu-itemLabel").get_by_text("Run as Job…").click()
        expect(dialog(page)).to_contain_text("six.ipynb")
        page.screenshot(path=shots / f"submit-{browser}-page.png")
        dialog(page).get_by_label("Time").press("Escape")
        page.locator("[data-jp-item-name=run-as-job] jp-button").click()
        expect(dialog(page)).to_contain_text("six.ipynb")
        dialog(page).get_by_label("Time").press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)

        told = notice(page, "All of its 1 cell were run.")
        expect(told).to_be_visible(timeout=ENDS)
        with page.expect_popup() as opened:
            told.get_by_role("button", name="Open result").click()
        output = opened.value.locator(".jp-Notebook .jp-Cell-outputArea")
        expect(output).to_have_text(re.compile(r"^\s*42\s*$"))
