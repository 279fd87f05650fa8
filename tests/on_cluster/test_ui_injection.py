"""Markup in what a page shows of others' words: it stays text, wherever it is shown.

Names of notebooks, jobs, nodes, queues and kernelspecs, texts of ends and errors, output
that was held, logs, commands: each has an element that would call `hit` with its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import pytest
from on_cluster.browsers import window
from on_cluster.test_ui_see import JOB, QUEUE, close_dialog
from on_cluster.ui import Served, act, answer, api, kernel, notice, panel, tell
from playwright.sync_api import Locator, Page, Route, expect

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

# What would be an element is seen at once, also where it does not stay.
WATCH = """
window.hits = [];
window.hit = place => window.hits.push(place);
const seen = node => node instanceof Element &&
  [node, ...node.querySelectorAll('*')].filter(one => one.hasAttribute('onerror'));
new MutationObserver(records => records.forEach(({ target, addedNodes }) =>
  [target, ...addedNodes].forEach(node => (seen(node) || []).forEach(one =>
    window.hits.push(one.outerHTML))))
).observe(document, { childList: true, subtree: true, attributes: true });
try {
  localStorage.setItem(`remote-kernels jobs ${location.origin}/`, '{"slurm 900": 1}');
} catch {
  // about:blank has none.
}
"""
LIST = "() => fetch('/remote-kernels/api/kernels').then(answer => answer.json())"
DONE: dict[str, Any] = {"word": "FAILED", "exit_code": 1, "signal": None}


def mark(place: str) -> str:
    """What would call `hit`, and may be in a file's name."""
    return f"<img src=x onerror=hit('{place}')>"


BOOK = f"{mark('notebook')}.ipynb"
SPEC = mark("kernelspec")


def marked(told: dict[str, Any]) -> dict[str, Any]:
    """A kernel whose words are all marked, but those that are ours alone."""
    words = {name: mark(f"kernel's {name}") for name in ("text", "reason", "node")}
    words |= {"name": SPEC, "cluster": mark("cluster"), "job_id": mark("job_id")}
    gpu: dict[str, Any] = {
        "index": 0,
        "name": mark("gpu"),
        "utilization": 1,
        "memory": 1,
    }
    usage = {**kernel(1)["usage"], "gpus": [{**gpu, "memory_total": 2}]}
    return {**told, **words, "usage": usage}


def job(number: int, **fields: Any) -> dict[str, Any]:
    words = {name: mark(f"job's {name}") for name in ("name", "text", "reason", "node")}
    made = {**JOB, **words, "job_id": str(number), "script": None, "notebook": None}
    return {**made, "log": True, **fields}


def cells() -> dict[str, Any]:
    """Held for the notebook's cell: lines, a result, an error."""
    said: list[tuple[str, dict[str, Any]]] = [
        ("execute_input", {"code": mark("code"), "execution_count": 1}),
        ("stream", {"name": "stdout", "text": mark("stdout")}),
        ("stream", {"name": "stderr", "text": mark("stderr")}),
        ("display_data", {"data": {"text/plain": mark("plain")}, "metadata": {}}),
        (
            "error",
            {
                "ename": mark("ename"),
                "evalue": mark("evalue"),
                "traceback": [mark("traceback")],
            },
        ),
    ]
    messages = [
        {"msg_type": kind, "msg_id": f"m{at}", "content": content, "metadata": {}}
        for at, (kind, content) in enumerate(said)
    ]
    cell: dict[str, Any] = {
        "request": "r",
        "cell_id": "a",
        "code": mark("code"),
        "session": "s",
    }
    cell |= {"state": "finished", "execution_count": 1, "started": None, "ended": None}
    reply = {"status": "error", "execution_count": 1, "ename": mark("reply")}
    cell |= {"until": None, "reply": reply, "messages": messages, "gone": []}
    return {"cells": [{**cell, "dropped": 2}], "dropped": 0}


class Answers:
    """What the server says, with marks in it."""

    def __init__(self, page: Page) -> None:
        self._has_refused = False
        self.is_allowed = False
        queue = {**QUEUE, "name": mark("queue"), "state": mark("queue's state")}
        queue |= {"note": mark("note"), "is_default": False}
        queue["gpus"] = [{"kind": mark("kind"), "total": 8, "free": 2}]
        jobs = [job(901), job(900, state="ended", end={**DONE, "text": mark("end")})]
        listens: dict[str, Any] = {
            "port": 8787,
            "host": mark("host"),
            "command": mark("command"),
        }
        port: dict[str, Any] = {
            "id": "1",
            "port": 8787,
            "node": mark("port's node"),
            "url": None,
        }
        port |= {"trouble": mark("trouble"), "local_socket": mark("socket")}
        port |= {"local_port": None, "socket": None}
        for path, body in {
            "queues": {"scheduler": "slurm", "asked": 0, "queues": [queue]},
            "jobs": {"asked": 2, "jobs": jobs, "error": mark("jobs' error")},
            "kernels/[^/]+/cells": cells(),
            "kernels/[^/]+/listening": [listens],
            "kernels/[^/]+/ports": port,
        }.items():
            answer(page, path, self._as_it_is(body))
        answer(page, "estimate", self._estimate)
        for path, text in {
            "kernels/[^/]+/log": mark("log"),
            "kernels/[^/]+/stack": mark("stack"),
            "jobs/[^/]+/log": mark("job's log"),
        }.items():
            page.route(api(path), self._text(text))
        for path in ("extend", "terminal"):
            page.route(api(f"kernels/[^/]+/{path}"), self._refuse(path))
        page.route(api("kernels"), self._kernels)
        page.route(api("options"), self._options)

    def _as_it_is(self, body: Any) -> Callable[[], Any]:
        return lambda: body

    def _estimate(self) -> dict[str, Any]:
        problems = [] if self.is_allowed else [mark("why")]
        return {"start": None, "text": mark("outlook"), "problems": problems}

    def _text(self, text: str) -> Callable[[Route], None]:
        return lambda route: route.fulfill(body=text, content_type="text/plain")

    def _refuse(self, place: str) -> Callable[[Route], None]:
        body = {"message": mark(f"refused {place}"), "reason": None}
        return lambda route: route.fulfill(status=409, json=body)

    def _kernels(self, route: Route) -> None:
        """Those there are, and one that waits; the first start is refused."""
        if route.request.method == "POST":
            if self._has_refused:
                route.continue_()
            else:
                self._has_refused = True
                self._refuse("start")(route)
            return
        waits = kernel(2, state="waiting", notebooks=[mark("other notebook")])
        found = [marked(one) for one in route.fetch().json()]
        route.fulfill(json=[*found, marked(waits)])

    def _options(self, route: Route) -> None:
        """The server's own, with other titles."""
        schema = route.fetch().json()
        for name, option in schema["properties"].items():
            option["title"] = mark(f"title of {name}")
            option["description"] = mark(f"description of {name}")
        route.fulfill(json=schema)


def untouched(page: Page, where: Locator, *places: str) -> None:
    """Each is to be read there, and none was ever an element."""
    for place in places:
        expect(where).to_contain_text(mark(place))
    assert [] == page.evaluate("window.hits")


def prepare(site: Served) -> str:
    """Name a notebook and a kernelspec so; returns the notebook's address."""
    home = site.lab.home
    # The server tells of what a kernel uses, and with it all else of it, unmarked.
    site.ask_for(usage=0)
    path = f"{home}/data/kernels/python-compute/kernel.json"
    spec = json.loads(site.lab.run("cat", path)) | {"display_name": SPEC}
    site.lab.run("tee", path, input=json.dumps(spec))
    known = {"name": "python-compute", "display_name": SPEC, "language": "python"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": known})
    book.cells = [nbformat.v4.new_code_cell("1", id="a")]
    site.lab.run("tee", f"{home}/work/{BOOK}", input=nbformat.writes(book))
    return site.lab.url.replace("/lab?", f"/lab/tree/{quote(BOOK)}?")


def test_markup_stays_text(site: Served, shots: Path) -> None:
    """In the dialog, cells, chip, panel, Running, logs, notices and errors."""
    address = prepare(site)
    with window("chromium", "about:blank") as page:
        page.add_init_script(WATCH)
        answers = Answers(page)
        link = f"&kernel=python-compute&time=9m&{quote(mark('option'))}=1"
        page.goto(address + link)
        the_dialog(page, answers, shots)
        the_notebook(page, shots)
        the_panel(page, shots)
        notices(page, shots)
        the_form_of_a_job(page, shots)
        assert [] == page.evaluate("window.hits")


def the_dialog(page: Page, answers: Answers, shots: Path) -> None:
    """As a link has filled it in, not allowed and allowed, and when the start was refused."""
    dialog = page.locator(".jp-Dialog")
    untouched(page, dialog, "option", "kernelspec", "notebook")
    untouched(page, dialog, "queue", "note", "queue's state", "kind")
    untouched(page, dialog, "title of time", "why")
    answers.is_allowed = True
    dialog.get_by_label(mark("title of time"), exact=True).first.press_sequentially("1")
    untouched(page, dialog, "outlook")
    dialog.get_by_text("All options").click()
    untouched(page, dialog, "title of prologue")
    dialog.get_by_role("button", name="Select Kernel").click()
    untouched(page, dialog, "refused start")
    page.screenshot(path=shots / "injection-dialog.png")
    dialog.get_by_role("button", name="Select Kernel").click()
    expect(dialog).to_have_count(0)


def the_notebook(page: Page, shots: Path) -> None:
    """Its cell, filled in with what was held, and its chip."""
    chip = page.locator(".jp-NotebookPanel-toolbar .rk-Chip-button")
    expect(chip).to_contain_text(re.compile(r"^c\d"))
    tell(page, "kernels/v1", kernels=page.evaluate(LIST), gone=[])
    untouched(page, chip, "kernel's node")
    untouched(page, page.locator("#jp-bottom-panel .rk-Chip-button"), "kernel's node")
    output = page.locator(".jp-CodeCell .jp-Cell-outputArea")
    untouched(page, output, "stdout", "stderr", "plain", "traceback")
    page.screenshot(path=shots / "injection-notebook.png")
    chip.click()


def the_panel(page: Page, shots: Path) -> None:
    """All of its parts, what they open, and the section in Running."""
    compute = panel(page)
    untouched(page, compute, "notebook", "other notebook", "kernel's text")
    untouched(page, compute, "kernelspec", "cluster", "job_id")
    dialog = page.locator(".jp-Dialog")
    for action, places in {
        "Ports…": ("notebook", "command"),
        "Stack": ("notebook", "stack"),
        "Terminal": ("notebook", "refused terminal"),
    }.items():
        act(page, action)
        untouched(page, dialog, *places)
        if action == "Ports…":
            page.get_by_role("button", name="Open port 8787").click()
            untouched(page, dialog, "trouble", "port's node", "socket")
        close_dialog(page)
    act(page, "Logs")
    untouched(page, page.get_by_role("log"), "log")
    untouched(page, page.locator("#jp-main-dock-panel .lm-TabBar"), "notebook")

    compute.get_by_text("My other jobs").click()
    untouched(page, compute, "job's name", "job's node", "end", "jobs' error")
    compute.get_by_text("What is free").click()
    untouched(page, compute, "queue", "queue's state", "note", "kind")
    compute.get_by_role("button", name="Cancel…").click()
    untouched(page, dialog, "job's name")
    page.keyboard.press("Escape")
    compute.get_by_role("button", name="Log", exact=True).first.click()
    untouched(page, page.get_by_role("log").last, "job's log")
    page.screenshot(path=shots / "injection-panel.png")

    page.locator("[data-id=jp-running-sessions]").click()
    running = page.locator(".jp-RunningSessions")
    # The server may have told of the kernel meanwhile: of its time limit.
    tell(page, "kernels/v1", kernels=page.evaluate(LIST), gone=[])
    untouched(page, running, "notebook", "kernel's node", "job's name", "job's node")


def notices(page: Page, shots: Path) -> None:
    """What is told of kernels and jobs, a long text of it, and an error after it."""
    untouched(page, notice(page, "job 900"), "job's name", "end")
    told = kernel(2)
    event = {"kernel_id": told["kernel_id"], "job_id": "4002", "scheduler": "slurm"}
    event |= {"state": "running", "reason": "", "end": None, "text": mark("warning")}
    event |= {"node": mark("its node")}
    tell(page, "kernel/v1", **event, action="running")
    untouched(page, notice(page, "has started"), "other notebook", "its node")
    tell(page, "kernel/v1", **event, action="warning")
    warning = notice(page, "warning")
    untouched(page, warning, "other notebook", "warning")
    end = {**DONE, "text": mark("end of all") + " Ask for more." * 20}
    tell(page, "kernel/v1", **{**event, "end": end}, action="ended")
    ended = notice(page, "end of all")
    untouched(page, ended, "other notebook")
    page.screenshot(path=shots / "injection-notices.png")
    ended.get_by_role("button", name="All of it").click()
    untouched(page, page.locator(".jp-Dialog"), "other notebook", "end of all")
    page.keyboard.press("Escape")
    warning.get_by_role("button", name="Extend by 1 h").click()
    untouched(page, page.locator(".jp-Dialog"), "other notebook", "refused extend")
    page.keyboard.press("Escape")


def the_form_of_a_job(page: Page, shots: Path) -> None:
    """With the notebook's name, and the queues."""
    page.evaluate(
        "path => void jupyterapp.commands.execute('remote-kernels:submit', { path })",
        BOOK,
    )
    dialog = page.locator(".jp-Dialog")
    untouched(page, dialog, "notebook")
    page.screenshot(path=shots / "injection-job.png")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
