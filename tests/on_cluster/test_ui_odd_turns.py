"""A cell that a page took over while it ran, where something comes between.

JupyterLab is on this machine, and its kernels are of the `local` scheduler: no cluster is
needed, only a browser.
"""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from on_cluster.browsers import window
from playwright.sync_api import Page, Route, expect
from served.lab import TOKEN, LabHere, lab_here

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

LONG = """\
import time
for number in range(600):
    print("line", number)
    time.sleep(0.2)"""
CELLS = "**/remote-kernels/api/kernels/*/cells*"
FRONT = "jupyterapp.shell.currentWidget"


@pytest.fixture(scope="module")
def lab() -> Iterator[LabHere]:
    with lab_here(Path(sys.prefix), "--expose-app-in-browser") as made:
        yield made
        print(made.log.read_text())


@pytest.fixture
def page(lab: LabHere, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page of a notebook of three cells, all sent, of which the first prints."""
    spec = {"name": "python-local", "display_name": "", "language": "python"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
    book.cells = [nbformat.v4.new_code_cell(code) for code in (LONG, "2 + 2", "3 + 3")]
    path = lab.root / f"{request.node.name}.ipynb"
    path.write_text(nbformat.writes(book))
    with window("chromium", "about:blank") as made:
        with made.expect_response(lambda one: "/cells" in one.url):  # now it is held
            made.goto(lab.url(f"lab/tree/{path.name}") + "&reset")
        made.wait_for_function(
            f"{FRONT}.sessionContext.session?.kernel?.status === 'idle'"
        )
        made.evaluate(
            "() => void jupyterapp.commands.execute('notebook:run-all-cells')"
        )
        expect(made.locator(".jp-OutputArea").first).to_contain_text("line 3")
        yield made
        made.evaluate(f"() => {FRONT}.sessionContext.shutdown().catch(() => null)")


def prompts(page: Page) -> list[str]:
    return page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").all_inner_texts()


def test_a_second_view(page: Page) -> None:
    """Two views of a notebook in one page show each line once."""
    page.reload()
    expect(page.locator(".jp-OutputArea").first).to_contain_text("line 8")
    page.evaluate("() => void jupyterapp.commands.execute('docmanager:clone')")
    seen = page.locator(".jp-OutputArea").first.inner_text().splitlines()
    more = f"line {len(seen) + 20}"
    for number in (0, 1):
        view = page.locator(".jp-NotebookPanel").nth(number)
        output = view.locator(".jp-Cell-outputArea").first
        output.wait_for(state="attached")
        expect(output).to_contain_text(more)
        lines = [each for each in output.inner_text().splitlines() if each]
        assert [f"line {number}" for number in range(len(lines))] == lines


def test_the_kernel_is_another_one(page: Page) -> None:
    """No cell shows that it runs when its kernel is gone."""
    page.reload()
    expect(page.locator(".jp-OutputArea").first).to_contain_text("line 8")
    assert ["[*]:"] * 3 == prompts(page)
    change = f"{FRONT}.sessionContext.changeKernel({{name: 'python3'}})"
    page.evaluate(f"() => {change}.then(() => null)")
    for number in range(3):
        prompt = page.locator(".jp-CodeCell .jp-InputPrompt").nth(number)
        expect(prompt).not_to_have_text("[*]:")


def test_interrupted_while_the_server_is_asked(page: Page, lab: LabHere) -> None:
    """Cells that were not run say so, also where the server's answer is older."""
    answered: list[str] = []

    def late(route: Route) -> None:
        """The first answer is on its way while the kernel is interrupted."""
        if answered:
            route.continue_()
            return
        answer = route.fetch()
        kernel = route.request.url.partition("/kernels/")[2].partition("/")[0]
        answered.append(kernel)
        ask = urllib.request.Request(
            f"http://127.0.0.1:{lab.port}/api/kernels/{kernel}/interrupt",
            method="POST",
            headers={"Authorization": f"token {TOKEN}"},
        )
        urllib.request.urlopen(ask, timeout=60).close()  # noqa: S310
        time.sleep(3)  # as a long answer over a slow line takes
        route.fulfill(response=answer)

    page.route(CELLS, late)
    page.reload()
    for number in (1, 2):
        cell = page.locator(".jp-CodeCell").nth(number)
        expect(cell).to_contain_text("This cell was not run")
        expect(cell.locator(".jp-InputPrompt")).to_have_text("[ ]:")
    assert answered
