"""Choose what a kernel gets, in JupyterLab and Notebook 7, in Chromium and Firefox.

What is chosen is looked for in what the batch system says of the job. Each test leaves a
screenshot in $RK_SCREENSHOTS (or pytest's directory), to be looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from on_cluster import lab as labs
from on_cluster.book import KERNEL, jobs, the_job
from on_cluster.browsers import BROWSERS, window
from on_cluster.test_lab_queue import lab
from playwright.sync_api import Locator, Page, expect
from testbed.hosts import wait_for

__all__ = ["lab"]

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("browser", BROWSERS),
]

LOCAL = "Python (Local Agent)"
CELLS = ("x = 6", "print(x * 7)", "x")
RUNS = re.compile(r"^\s*42\s*$")


class Form:
    """The dialog, as a person sees it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.dialog = page.locator(".jp-Dialog")
        self.told = self.dialog.locator(".rk-Choose-told")

    def field(self, label: str) -> Locator:
        return self.dialog.get_by_label(label, exact=True).first

    def type(self, label: str, text: str) -> None:
        """By keys: Playwright's `fill` is not seen by React in Firefox."""
        self.field(label).click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)

    def pick(self) -> None:
        """Open it by a click on the kernel's name, and select ours."""
        self.page.locator(".jp-Toolbar-kernelName").click()
        self.dialog.locator("select").first.select_option(label=KERNEL)
        expect(self.field("Time limit")).to_be_visible()


@contextmanager
def notebook(browser: str, lab: labs.Lab, where: str, link: str = "") -> Iterator[Page]:
    """A notebook of a local kernel; `where` is "lab/tree" or "notebooks"."""
    spec = {"name": "python-local", "display_name": LOCAL, "language": "python"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
    book.cells = [nbformat.v4.new_code_cell(code) for code in CELLS]
    lab.run("tee", f"{lab.home}/work/x.ipynb", input=nbformat.writes(book))
    with window(browser, lab.url.replace("/lab?", f"/{where}/x.ipynb?") + link) as page:
        yield page


def has(page: Page, kernel: str) -> None:
    expect(page.locator(".jp-Toolbar-kernelName")).to_contain_text(kernel)


def is_idle(page: Page) -> None:
    """Wait until Lab has heard of its kernel's state."""
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()


def saved(page: Page, lab: labs.Lab) -> dict[str, object]:
    """The notebook's metadata, once it was saved."""
    page.keyboard.press("Control+s")
    path = lab.cluster.path(labs.HOST, f"{lab.home}/work/x.ipynb")

    def metadata() -> dict[str, object]:
        text = path.read_text()  # it is written in place
        return dict(json.loads(text)["metadata"]) if text.endswith("}\n") else {}

    wait_for("the file", lambda: "language_info" in metadata(), 60)
    return metadata()


def test_what_is_chosen_reaches_the_job(
    browser: str, lab: labs.Lab, shots: Path
) -> None:
    """It is told before when it would start, and remembered with the notebook after."""
    with notebook(browser, lab, "lab/tree") as page:
        form = Form(page)
        has(page, LOCAL)
        form.pick()
        form.type("Time limit", "21m")
        form.type("Memory", "3G")
        expect(form.told).to_contain_text("start")
        expect(form.dialog.get_by_role("radio").first).to_be_visible()
        page.screenshot(path=shots / f"choose-{browser}-form.png")
        page.keyboard.press("Enter")
        expect(form.dialog).to_have_count(0)
        has(page, KERNEL)
        the_job(lab, 21)

        form.pick()
        expect(form.field("Time limit")).to_have_value("21m")
        expect(form.field("Memory")).to_have_value("3G")
        expect(form.dialog).to_contain_text("As chosen last for this notebook.")
        form.dialog.get_by_role("button", name="Back to defaults").click()
        expect(form.field("Time limit")).not_to_have_value("21m")
        page.keyboard.press("Escape")
        expect(form.dialog).to_have_count(0)
        # By the names that all share, whatever those of this batch system are.
        chosen = {"name": "python-compute", "options": {"time": "21m", "memory": "3G"}}
        page.locator(".jp-CodeCell").first.click()
        page.keyboard.press("Shift+Enter")
        expect(page.locator(".jp-InputPrompt").first).to_have_text("[1]:")
        assert chosen == saved(page, lab)["remote_kernels"]


def test_what_is_refused_stays_in_the_form(
    browser: str, lab: labs.Lab, shots: Path
) -> None:
    """The reason is there before it is submitted, and after; the old kernel stays."""
    with notebook(browser, lab, "lab/tree") as page:
        form = Form(page)
        has(page, LOCAL)
        form.pick()
        form.type("Memory", "plenty")
        expect(form.told).to_contain_text("plenty")
        page.keyboard.press("Enter")
        expect(form.dialog.get_by_role("alert")).to_contain_text("plenty")
        expect(form.field("Memory")).to_have_value("plenty")
        page.screenshot(path=shots / f"choose-{browser}-refused.png")
        page.keyboard.press("Escape")
        has(page, LOCAL)
        is_idle(page)
        assert jobs(lab) == []


def test_who_does_not_choose_is_not_slowed(
    browser: str, lab: labs.Lab, shots: Path
) -> None:
    """By keys alone: Enter starts at once with the kernelspec's values, as without us."""
    with notebook(browser, lab, "lab/tree") as page:
        form = Form(page)
        has(page, LOCAL)
        posted: list[str] = []
        page.on(
            "request", lambda request: posted.append(f"{request.method} {request.url}")
        )
        page.locator(".lm-MenuBar-itemLabel", has_text="Kernel").click()
        page.locator(".lm-Menu-itemLabel").get_by_text("Change Kernel…").click()
        expect(form.dialog.locator("select").first).to_be_focused()
        page.keyboard.type("Python (C")
        page.keyboard.press("Enter")
        expect(form.dialog).to_have_count(0)
        has(page, KERNEL)
        wait_for("its job", lambda: len(jobs(lab)) == 1, 60)
        assert not [
            one for one in posted if re.search("POST .*/api/kernels(\\?|$)", one)
        ]
        is_idle(page)
        page.locator(".jp-CodeCell").first.click()
        page.keyboard.press("Shift+Enter")
        expect(page.locator(".jp-InputPrompt").first).to_have_text("[1]:")
        assert "remote_kernels" not in saved(page, lab)


@pytest.mark.parametrize("where", ["lab/tree", "notebooks"])
def test_a_link_fills_in_and_starts_nothing(
    browser: str, where: str, lab: labs.Lab, shots: Path
) -> None:
    """What decides what runs on the node, and what is not known, is left out and told."""
    link = "&kernel=python-compute&time=22m&prologue=touch+~/here&wings=%3Cb%3E2"
    with notebook(browser, lab, where, link) as page:
        form = Form(page)
        expect(form.dialog).to_contain_text("Filled in by a link")
        expect(form.dialog).to_contain_text("Not known here, and left out: wings")
        expect(form.dialog).to_contain_text("only you may: prologue")
        expect(form.field("Time limit")).to_have_value("22m")
        expect(form.told).to_contain_text("start")
        page.screenshot(path=shots / f"choose-{browser}-link-{where[:3]}.png")
        assert jobs(lab) == []
        assert "time=" not in page.url
        page.keyboard.press("Enter")
        expect(form.dialog).to_have_count(0)
        has(page, KERNEL)
        the_job(lab, 22)


def test_restart_on_the_cluster(browser: str, lab: labs.Lab, shots: Path) -> None:
    """From a local kernel to a compute node, where the cells above run; and to another.

    The job of the kernel before ends.
    """
    with notebook(browser, lab, "lab/tree") as page:
        form = Form(page)
        has(page, LOCAL)
        page.locator(".jp-CodeCell").nth(2).click()
        restart = page.locator(".lm-Menu-itemLabel").get_by_text("Restart on Cluster…")
        menu = page.locator(".lm-MenuBar-itemLabel", has_text="Kernel").first
        menu.click()
        restart.click()
        expect(form.dialog).to_contain_text(f"{LOCAL}) is shut down")
        form.type("Time limit", "23m")
        form.dialog.get_by_label("Run all cells above the selected one").check()
        page.screenshot(path=shots / f"choose-{browser}-restart.png")
        form.dialog.get_by_role("button", name="Restart", exact=True).click()
        expect(page.locator(".jp-OutputArea-output").first).to_have_text(RUNS)
        has(page, KERNEL)
        the_job(lab, 23)
        (old,) = jobs(lab)

        menu.click()
        restart.click()
        expect(form.dialog).to_contain_text(f"{KERNEL}) is shut down")
        form.type("Time limit", "24m")
        form.dialog.get_by_role("button", name="Restart", exact=True).click()
        expect(form.dialog).to_have_count(0)
        wait_for("the old job's end", lambda: old not in jobs(lab), 60)
        the_job(lab, 24)
