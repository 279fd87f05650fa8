"""Starts that fail, in JupyterLab in Chromium, with another notebook beside them.

Each leaves a screenshot in $RK_SCREENSHOTS (or pytest's directory), to be looked at.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from on_cluster import lab as labs
from on_cluster.book import Notebook
from on_cluster.browsers import PATIENCE, VIEW, window
from on_cluster.failures import FAILURES, act, ended, start_up_file, starting
from on_cluster.test_lab_queue import lab
from playwright.sync_api import Page, Response, expect
from testbed.api import Cluster

__all__ = ["lab"]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

SOON = 1.0  # seconds
START = 60.0  # seconds until a job runs and its failure is known
QUICK = ["interpreter"]
KERNEL = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
# When the first cell shows an error: seconds since the epoch.
WATCH = """() => {
  window.told = 0;
  new MutationObserver(() => {
    const shown = document.querySelector(".jp-Cell-outputArea");
    if (!window.told && shown && shown.innerText.includes("RemoteKernelError"))
      window.told = Date.now() / 1000;
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def install(lab: labs.Lab, name: str, config: dict[str, Any], argv: list[str]) -> None:
    """A kernelspec, and a notebook that names it."""
    provisioner = {
        "provisioner_name": "remote-kernels",
        "config": {"scheduler": "slurm", **config},
    }
    spec = {
        "argv": argv,
        "display_name": name,
        "language": "python",
        "metadata": {"kernel_provisioner": provisioner},
    }
    about = {"name": name, "display_name": name, "language": "python"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": about})
    book.cells = [nbformat.v4.new_code_cell("print(6 * 7)")]
    lab.run("mkdir", "-p", f"{lab.home}/data/kernels/{name}")
    for path, text in (
        (f"data/kernels/{name}/kernel.json", json.dumps(spec)),
        (f"work/{name}.ipynb", nbformat.writes(book)),
    ):
        lab.run("tee", f"{lab.home}/{path}", input=text)


def show(page: Page, lab: labs.Lab, name: str) -> None:
    page.goto(lab.url.replace("/lab?", f"/lab/tree/{name}.ipynb?reset&"))
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.wait_for()


class Handshakes:
    """How long each websocket to a kernel took to open (seconds)."""

    def __init__(self, page: Page) -> None:
        self.took: list[float] = []
        self._begun: dict[str, float] = {}
        self._to_kernels: set[str] = set()
        self._now = 0.0  # by the browser's clock
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.webSocketCreated", self._create)
        session.on("Network.webSocketWillSendHandshakeRequest", self._begin)
        session.on("Network.webSocketHandshakeResponseReceived", self._end)
        session.on("Network.webSocketClosed", self._end)  # also one that is refused

    def _create(self, event: dict[str, Any]) -> None:
        if "/api/kernels/" in event["url"]:
            self._to_kernels.add(event["requestId"])

    def _begin(self, event: dict[str, Any]) -> None:
        if event["requestId"] not in self._to_kernels:
            return
        self._begun[event["requestId"]] = event["timestamp"]

    def _end(self, event: dict[str, Any]) -> None:
        self._now = event["timestamp"]
        if event["requestId"] in self._begun:
            self.took.append(self._now - self._begun.pop(event["requestId"]))

    def longest(self) -> float:
        """Also of those that have not been answered yet."""
        return max(self.took + [self._now - begun for begun in self._begun.values()])


def asks_for_kernel(response: Response) -> bool:
    where = response.url.partition("?")[0]
    return where.endswith("/api/sessions") and response.request.method == "POST"


def trip(book: Notebook, number: int) -> float:
    begun = time.monotonic()
    expect(book.run(f"print({number} * 2)")).to_have_text(re.compile(f"{number * 2}"))
    return time.monotonic() - begun


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(QUICK, id="one"),
        pytest.param([*FAILURES], id="all", marks=pytest.mark.soak),
    ],
)
def test_the_first_cell_says_why(
    cluster: Cluster, lab: labs.Lab, shots: Path, names: list[str]
) -> None:
    """In Lab, soon after it is known, and the notebook beside goes on."""
    records = Path(lab.home, "state", "remote_kernels", "kernels")
    install(lab, "beside", {}, KERNEL)
    for name in names:
        failure = FAILURES[name]
        install(lab, _word(name), failure.config, failure.argv or KERNEL)
    wrong = []
    with start_up_file(cluster, labs.USER), window("chromium", lab.url) as first:
        assert first.context.browser is not None
        context = first.context.browser.new_context(**VIEW)  # two of its tabs
        context.set_default_timeout(PATIENCE)
        page, other = context.new_page(), context.new_page()
        show(other, lab, "beside")
        book = Notebook(other, shots)
        other.get_by_text("beside | Idle").wait_for()
        trip(book, 0)
        handshakes = Handshakes(page)
        for name in names:
            failure, trips = FAILURES[name], list[float]()
            with page.expect_response(asks_for_kernel) as asked:
                show(page, lab, _word(name))
            kernel_id, acted = asked.value.json()["kernel"]["id"], not failure.act
            page.evaluate(WATCH)
            # Before that, Lab drops what one runs.
            page.get_by_text(re.compile(r"\| (Starting|Idle|Busy)")).wait_for()
            page.locator(".jp-CodeCell .cm-content").first.click()
            page.keyboard.press("Shift+Enter")
            end = time.monotonic() + START
            while not (told := page.evaluate("window.told")):
                assert time.monotonic() < end, name
                trips.append(trip(book, len(trips)))
                if not acted and starting(cluster, labs.USER, failure):
                    act(cluster, failure, kernel_id)
                    acted = True
            text = page.locator(".jp-Cell-outputArea").first.inner_text()
            while not (known := ended(cluster, records, kernel_id)):
                assert time.monotonic() < end, name
                page.wait_for_timeout(100)
            trips.append(trip(book, len(trips)))
            opened, late = handshakes.longest(), told - known
            print(f"{name}: open {opened:.2f} s, told after {late:.2f} s, {text!r}")
            print(f"  {len(trips)} cells beside, the slowest {max(trips):.2f} s")
            page.screenshot(path=shots / f"failed-{_word(name)}.png")
            if not re.search(failure.words, " ".join(text.split())):
                wrong.append((name, text))
            # A cell beside takes as long as this machine is busy.
            is_late = late > SOON + max(trips)
            is_slow = opened > SOON + max(trips) or statistics.median(trips) > 5 * SOON
            if is_slow or is_late:
                wrong.append((name, f"{opened:.2f} {late:.2f} {max(trips):.2f}"))
        other.screenshot(path=shots / "failed-beside.png")
    assert [] == wrong


def _word(name: str) -> str:
    return name.replace(" ", "-").lower()
