"""What a person does with a notebook in JupyterLab. Used by the browsers' tests."""

from __future__ import annotations

import re
from pathlib import Path

from on_cluster import lab as labs
from on_cluster.system import SYSTEM
from playwright.sync_api import Locator, Page, expect
from testbed.hosts import wait_for

KERNEL = "Python (Compute Node)"
WHERE = f"import os; print(os.environ['{SYSTEM.job_variable}'], os.getpid())"


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
        cell = self.cells.nth(self.cells.count() - 1)
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

    def where(self) -> list[str]:
        """The kernel's job and process."""
        output = self.run(WHERE)
        expect(output).to_have_text(re.compile(r"^\s*\d+ \d+\s*$"))
        return output.inner_text().split()

    def menu(self, name: str, item: str) -> None:
        self.page.locator(".lm-MenuBar-itemLabel", has_text=name).first.click()
        self.page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()

    def idle(self) -> None:
        """Connected and idle; before that, Lab drops what one runs."""
        self.page.get_by_text(f"{KERNEL} | Idle").wait_for()


def card(page: Page) -> Locator:
    return page.locator(f".jp-LauncherCard[title='{KERNEL}']").first


def jobs(lab: labs.Lab) -> list[str]:
    """The jobs of this JupyterLab: their output goes to its directory."""
    return [job.id for job in lab.cluster.jobs() if _is_of(lab, job.id)]


def the_job(lab: labs.Lab, minutes: int) -> None:
    """There is one job, and the batch system has its time limit."""
    wait_for("the only job", lambda: len(jobs(lab)) == 1, 60)
    (job,) = jobs(lab)
    said = [lab.run(*argv) for argv in SYSTEM.tell_all(job) if job in argv]
    limits = [f"TimeLimit=00:{minutes:02}:00", f"h_rt={minutes * 60}\\b"]
    limits += [f"h_rt=0:{minutes:02}:00"]
    assert re.search("|".join(limits), "\n".join(said)), said


def _is_of(lab: labs.Lab, job: str) -> bool:
    (ask,) = (argv for argv in SYSTEM.tell_all(job) if job in argv)
    said = lab.cluster.run(labs.HOST, labs.USER, ask, check=False)
    return f"{lab.home}/" in said.stdout


def cancel(lab: labs.Lab) -> None:
    """End the jobs of this JupyterLab, of which a test that failed may have left some."""
    for job in jobs(lab):
        lab.cluster.run(labs.HOST, labs.USER, SYSTEM.cancel(job), check=False)
