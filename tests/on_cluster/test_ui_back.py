"""A page that comes back to its cells: closed, reloaded, elsewhere, the server killed.

In JupyterLab and Notebook 7, in Chromium and Firefox; each step leaves a screenshot in
$RK_SCREENSHOTS (or pytest's directory), to be looked at.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from on_cluster import lab as labs
from on_cluster.book import KERNEL, cancel
from on_cluster.browsers import BROWSERS, PATIENCE, VIEW, window
from playwright.sync_api import Locator, Page, expect
from testbed.api import Cluster
from testbed.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PAGES = ("lab/tree", "notebooks")
LINES = 1000
PLOTS = (200, 500, 800)
LONG = f"""\
import sys, time
import ipywidgets, tqdm
import matplotlib.pyplot as plt
display(ipywidgets.IntSlider(value=7, description="slider"))
for number in range({LINES}):
    print("line", number)
    if number % 10 == 0:
        time.sleep(0.1)
    if number in {PLOTS}:
        plt.plot([number, 1])
        plt.show()
for step in tqdm.tqdm(range(40), file=sys.stdout):
    time.sleep(0.02)
shown = display("begun", display_id=True)
for step in range(5):
    shown.update(f"step {{step}}")
print("the end")"""
ENOUGH = 120_000  # milliseconds, for all of it
RECORD_TIMING = """\
cd "$0/config" && mkdir -p lab/user-settings/@jupyterlab/notebook-extension && \
echo '{"recordTiming": true}' \
>lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"""
LONG_AWAY = 600.0  # seconds
CAPTURED = """\
import time
import ipywidgets
inside = ipywidgets.Output()
display(inside)
with inside:
    for number in range(20):
        print("inside", number)
        time.sleep(0.2)
print("outside")"""


class Served:
    """JupyterLab on the login host, which may be killed and started again."""

    def __init__(self, cluster: Cluster, home: str) -> None:
        self.lab = labs.Lab(cluster, home)
        self.lab.prepare()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.lab.run("sh", "-c", 'rm -f "$0"/runtime/jpserver*', self.lab.home)
        self._process = self.lab.start(8888)
        self.lab.wait_until_it_answers(self._process)

    def kill(self) -> None:
        """With SIGKILL: it can write nothing down."""
        assert self._process is not None
        runtime = self.lab.cluster.path(labs.HOST, f"{self.lab.home}/runtime")
        (info,) = (
            json.loads(path.read_text()) for path in runtime.glob("jpserver*json")
        )
        self.lab.run("kill", "-KILL", str(info["pid"]))
        self._process.wait(60)
        self._process = None

    def end(self) -> None:
        if self._process is not None:
            self.lab.end(self._process)

    def ask(self, path: str) -> Any:
        """What the REST API answers."""
        url = urlsplit(self.lab.url)
        (token,) = parse_qs(url.query)["token"]
        request = urllib.request.Request(  # noqa: S310
            f"{url.scheme}://{url.netloc}/remote-kernels/api{path}",
            headers={"Authorization": f"token {token}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read())

    def held(self) -> list[Any]:
        """The cells that no page has shown and saved, of all kernels."""
        kernels = [kernel["kernel_id"] for kernel in self.ask("/kernels")]
        found = [self.ask(f"/kernels/{kernel}/cells") for kernel in kernels]
        return [cell for one in found for cell in one["cells"]]

    def write(self, *sources: str) -> None:
        """The notebook, with these cells."""
        spec = {"name": "python-compute", "display_name": KERNEL, "language": "python"}
        book = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
        book.cells = [nbformat.v4.new_code_cell(source) for source in sources]
        text = nbformat.writes(book)
        self.lab.run("tee", f"{self.lab.home}/work/come.ipynb", input=text)

    def read(self) -> list[Any]:
        """The saved notebook's cells."""
        text = self.lab.run("cat", f"{self.lab.home}/work/come.ipynb")
        return list(json.loads(text)["cells"])

    def url(self, where: str) -> str:
        return self.lab.url.replace("/lab?", f"/{where}/come.ipynb?")


@pytest.fixture
def server(cluster: Cluster) -> Iterator[Served]:
    make = ["mktemp", "-d", "/home/alice/back-XXXXXX"]
    home = cluster.run(labs.HOST, labs.USER, make).stdout.strip()
    made = Served(cluster, home)
    try:
        made.start()
        yield made
    finally:
        made.end()
        print(made.lab.log())
        cancel(made.lab)
        cluster.run(labs.HOST, labs.USER, ["rm", "-r", home])


class Book:
    """The notebook in a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.cells = page.locator(".jp-Notebook .jp-CodeCell")

    def output(self, number: int) -> Locator:
        return self.cells.nth(number).locator(".jp-Cell-outputArea")

    def prompt(self, number: int) -> Locator:
        return self.cells.nth(number).locator(".jp-InputPrompt").first

    def run_all(self) -> None:
        """When the page has asked what there is: from then on it is held."""
        with self.page.expect_response(lambda one: "/cells" in one.url):
            pass
        self.page.locator("[data-status=idle]").first.wait_for()
        self.cells.first.locator(".cm-content").click()
        for _ in range(self.cells.count()):
            self.page.keyboard.press("Shift+Enter")

    def reload(self) -> None:
        self.page.reload()
        self.cells.first.wait_for()

    def save(self) -> None:
        self.cells.first.click()
        self.page.keyboard.press("Control+s")


@contextmanager
def opened(browser: str, server: Served, where: str) -> Iterator[Book]:
    with window(browser, server.url(where)) as page:
        yield Book(page)


def check_long(book: Book) -> None:
    """All that `LONG` prints, once, in order, and its widget."""
    output = book.output(0)
    expect(output).to_contain_text("the end", timeout=ENOUGH)
    expect(book.prompt(0)).to_have_text(re.compile(r"\[1\]"))
    expect(output.locator(".widget-slider")).to_have_count(1)
    expect(output.locator("img")).to_have_count(len(PLOTS))
    lines = output.inner_text().splitlines()
    assert [f"line {n}" for n in range(LINES)] == [
        line for line in lines if line.startswith("line ")
    ]
    bars = [line for line in lines if "40/40" in line]
    assert 1 == len(bars)
    assert 1 == lines.count("'step 4'")
    assert not [line for line in lines if "begun" in line]


def until_finished(server: Served) -> None:
    """Until each cell has ended, with nobody there."""

    def is_over() -> bool:
        return {"finished"} == {cell["state"] for cell in server.held()}

    wait_for("the cells to end", is_over, 120)


@pytest.mark.parametrize("where", PAGES)
@pytest.mark.parametrize("browser", BROWSERS)
def test_closed_and_the_server_killed(
    browser: str, where: str, server: Served, shots: Path
) -> None:
    """Two pages of another browser show all of a cell that ran on, once, in order."""
    come_back(browser, where, server, shots, 0)


@pytest.mark.soak
@pytest.mark.parametrize("browser", BROWSERS)
def test_away_for_ten_minutes(browser: str, server: Served, shots: Path) -> None:
    """The same, where for so long there was neither a page nor a server."""
    come_back(browser, "lab/tree", server, shots, LONG_AWAY)


def come_back(
    browser: str, where: str, server: Served, shots: Path, away: float
) -> None:
    """Close the page, kill the server, and open it in others `away` seconds later."""
    name = f"back-{browser}-{where.split('/')[0]}{'-late' if away else ''}"
    server.write(LONG, "6 * 7")
    with opened(browser, server, where) as book:
        book.run_all()
        expect(book.output(0)).to_contain_text("line 150", timeout=ENOUGH)
        book.page.screenshot(path=shots / f"{name}-1-before.png")
    server.kill()
    time.sleep(away)
    server.start()
    with opened(browser, server, where) as book:
        expect(book.output(0)).to_contain_text("line 10")
        book.page.screenshot(path=shots / f"{name}-2-fills-in.png")
        running = book.page.context.browser
        assert running is not None
        other = Book(running.new_page(**VIEW))
        other.page.set_default_timeout(PATIENCE)
        other.page.goto(server.url(where))
        for one in (book, other):
            check_long(one)
            expect(one.prompt(1)).to_have_text(re.compile(r"\[2\]"))
            expect(one.output(1)).to_have_text(re.compile(r"^\s*(\[2\]:)?\s*42\s*$"))
        book.page.bring_to_front()
        book.page.screenshot(path=shots / f"{name}-3-all.png")
        assert 2 == len(server.held())

        other.page.close()
        book.reload()
        check_long(book)
        book.save()
        wait_for("what is saved to be held no more", lambda: not server.held(), 60)
        first, second = server.read()
        assert [1, 2] == [first["execution_count"], second["execution_count"]]
        assert "42" == "".join(second["outputs"][0]["data"]["text/plain"])
        book.reload()
        expect(book.output(0)).to_contain_text("the end")
        book.page.screenshot(path=shots / f"{name}-4-saved.png")


@pytest.mark.parametrize("browser", BROWSERS)
def test_finished_while_nobody_looked(
    browser: str, server: Served, shots: Path
) -> None:
    """Each cell has its result and its count, or says that it was not run."""
    code = "import time\ntime.sleep(5)\nprint('slept')\n6 * 7"
    server.write(code, "1 / 0", "print('never')")
    server.lab.run("sh", "-c", RECORD_TIMING, server.lab.home)
    with opened(browser, server, "lab/tree") as book:
        book.run_all()
        expect(book.prompt(0)).to_have_text("[*]:")
    until_finished(server)
    with opened(browser, server, "lab/tree") as book:
        expect(book.output(0)).to_contain_text("slept")
        expect(book.output(0)).to_contain_text("42")
        expect(book.output(1)).to_contain_text("ZeroDivisionError")
        expect(book.output(2)).to_contain_text("This cell was not run")
        expect(book.output(2)).not_to_contain_text("never")
        expect(book.prompt(0)).to_have_text("[1]:")
        expect(book.prompt(1)).to_have_text("[2]:")
        expect(book.prompt(2)).to_have_text("[ ]:")
        book.page.screenshot(path=shots / f"back-{browser}-finished.png")
        book.save()
        wait_for("what is saved to be held no more", lambda: not server.held(), 60)
        times = server.read()[0]["metadata"]["execution"]
        began, ended = (
            datetime.fromisoformat(times[name].replace("Z", "+00:00"))
            for name in ("iopub.status.busy", "shell.execute_reply")
        )
        assert 5 <= (ended - began).total_seconds()
        assert "execution" not in server.read()[2]["metadata"]


@pytest.mark.parametrize("browser", BROWSERS)
def test_reloaded_while_it_runs(browser: str, server: Served, shots: Path) -> None:
    """Again and again: the cell shows that it runs, and misses and repeats nothing."""
    server.write(
        "import time\n"
        f"for number in range({LINES}):\n"
        "    print('line', number)\n"
        "    time.sleep(0.02)\n"
        "print('the end')"
    )
    with opened(browser, server, "lab/tree") as book:
        book.run_all()
        for number in (1, 2, 3):
            expect(book.output(0)).to_contain_text(f"line {number}00")
            expect(book.prompt(0)).to_have_text("[*]:")
            book.reload()
        expect(book.output(0)).to_contain_text("line 300")
        book.page.screenshot(path=shots / f"back-{browser}-reloaded.png")
        expect(book.output(0)).to_contain_text("the end", timeout=ENOUGH)
        expect(book.prompt(0)).to_have_text("[1]:")
        expected = [*(f"line {number}" for number in range(LINES)), "the end"]
        assert expected == book.output(0).inner_text().split("\n")[: LINES + 1]


@pytest.mark.parametrize("browser", BROWSERS)
def test_an_output_widget(browser: str, server: Served, shots: Path) -> None:
    """What it took is whole below the cell; the widget has what an earlier page put in."""
    server.write(CAPTURED)
    with opened(browser, server, "lab/tree") as book:
        book.run_all()
        expect(book.output(0)).to_contain_text("inside 5")
        for name in ("midst", "end"):
            book.reload()
            expect(book.prompt(0)).to_have_text("[1]:")
            expect(book.output(0)).to_contain_text("outside")
            book.page.screenshot(path=shots / f"back-{browser}-widget-{name}.png")
            lines = book.output(0).inner_text().split("\n")
            expected = [*(f"inside {number}" for number in range(20)), "outside"]
            assert expected == [line for line in lines if "side" in line][-21:]


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_question(browser: str, server: Served, shots: Path) -> None:
    """As with a local kernel a page that comes back is not asked, but can interrupt."""
    server.write("print('hello', input('who? '))")
    with opened(browser, server, "lab/tree") as book:
        book.run_all()
        expect(book.output(0)).to_contain_text("who?")
        book.reload()
        expect(book.prompt(0)).to_have_text("[*]:")
        expect(book.output(0).locator("input")).to_have_count(0)
        book.page.screenshot(path=shots / f"back-{browser}-question.png")
        book.page.locator("[data-command='notebook:interrupt-kernel']").click()
        expect(book.output(0)).to_contain_text("KeyboardInterrupt")
        expect(book.prompt(0)).to_have_text("[1]:")


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_notebook_that_cannot_be_written(
    browser: str, server: Served, shots: Path
) -> None:
    """All comes back, again and again, and nobody tries to save it."""
    server.write(
        "import time\nfor n in range(9):\n    print('line', n)\n    time.sleep(1)"
    )
    server.lab.run("chmod", "444", f"{server.lab.home}/work/come.ipynb")
    with opened(browser, server, "lab/tree") as book:
        saves: list[str] = []
        book.page.on("request", lambda one: saves.append(f"{one.method} {one.url}"))
        book.run_all()
        expect(book.output(0)).to_contain_text("line 2")
        for _ in range(2):
            book.reload()
            expect(book.output(0)).to_contain_text("line 8")
        expect(book.prompt(0)).to_have_text("[1]:")
        book.page.screenshot(path=shots / f"back-{browser}-read-only.png")
        lines = book.output(0).inner_text().split("\n")
        assert [f"line {n}" for n in range(9)] == lines[:9]
        expect(book.page.locator(".jp-Dialog, .Toastify__toast")).to_have_count(0)
        assert [] == [one for one in saves if re.match("PUT .*/api/contents/", one)]
        assert 1 == len(server.held())


@pytest.mark.parametrize("browser", BROWSERS)
def test_more_than_is_held(browser: str, server: Served, shots: Path) -> None:
    """The newest is there, and how much is missing is said."""
    install = [str(labs.BIN / "remote-kernels"), "install", "python-compute"]
    server.lab.run(*install, "--user", "--replace", "--hold", "1")
    server.write(
        "import time\nprint('begun')\ntime.sleep(3)\nfor n in range(3000):\n"
        "    print('line', n, 'x' * 1000)\n    time.sleep(0.001)\nprint('the end')"
    )
    with opened(browser, server, "lab/tree") as book:
        book.run_all()
        expect(book.output(0)).to_contain_text("begun")
    until_finished(server)
    with opened(browser, server, "lab/tree") as book:
        expect(book.output(0)).to_contain_text("messages are missing")
        expect(book.output(0)).to_contain_text("the end")
        book.page.screenshot(path=shots / f"back-{browser}-dropped.png")
        assert "line 2999 " in book.output(0).inner_text()
        assert "line 0 " not in book.output(0).inner_text()
