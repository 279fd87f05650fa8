"""Figures of what the extension of `ui/` costs a page: bytes, start, memory, requests.

The reference is the same JupyterLab without it, in turns: for times, a server whose pages
have all other extensions; for the rest, pages to which it is not given, beside those
that have it. All of it is on this machine, with one kernel of the `local` scheduler;
further ones are told to the pages in the server's place.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from on_cluster.browsers import LAUNCH, PATIENCE, VIEW
from on_cluster.ui import api, kernel, tell
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright
from served.lab import LabHere, lab_here

from benchmarks.results import Figure, Reach

NAME = "@remote-kernels"
EXTENSIONS = Path(sys.prefix) / "share/jupyter/labextensions"
BOOK = "idle.ipynb"
KERNELS = (1, 50)
PAGES = (1, 10)
WITHOUT = "without the extension"
USE = 10.0  # seconds between two events that tell what all kernels use, as the server's
MOST = 150_000.0  # bytes
# When all of Lab is there, in the page's own time.
RESTORED = """
const looking = setInterval(() => {
  if (window.jupyterapp) {
    clearInterval(looking);
    jupyterapp.restored.then(() => { window.restoredAt = performance.now(); });
  }
}, 2);
"""
LOADED = f"""
() => performance.getEntriesByType('resource')
  .filter(one => one.name.includes('{NAME}') && one.name.includes('.js'))
  .reduce((sum, one) => sum + one.decodedBodySize, 0)
"""


def figures(rounds: int) -> Iterator[Figure]:
    """All of them; with ten rounds they take half an hour."""
    with sync_playwright() as playwright, _labs() as (ours, without):
        chromium = playwright.chromium.launch(**LAUNCH["chromium"])
        yield _size(chromium, ours)
        yield from _starts(chromium, ours, without, rounds)
        for count in KERNELS:
            yield _memory(chromium, ours, count, rounds)
        for count in KERNELS:
            for pages in PAGES:
                yield from _idle(chromium, ours, count, pages, min(rounds, 3))
        chromium.close()


@contextmanager
def _labs() -> Iterator[tuple[LabHere, LabHere]]:
    """JupyterLab with the extension, and without; each has a notebook."""
    with tempfile.TemporaryDirectory() as others, ExitStack() as stack:
        for one in EXTENSIONS.iterdir():
            if one.name != NAME:
                (Path(others) / one.name).symlink_to(one)
        found = []
        for options in ([], [f"--LabApp.labextensions_path={others}"]):
            entered = lab_here(Path(sys.prefix), "--expose-app-in-browser", *options)
            found.append(stack.enter_context(entered))
            spec = {"name": "python-local", "display_name": "", "language": "python"}
            book = {
                "metadata": {"kernelspec": spec},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
            (found[-1].root / BOOK).write_text(json.dumps({**book, "cells": []}))
        yield found[0], found[1]


@contextmanager
def _browsing(
    chromium: Browser, count: int = 1, *, has_ours: bool = True
) -> Iterator[BrowserContext]:
    """A fresh profile, whose pages are told of so many kernels."""
    context = chromium.new_context(**VIEW)
    context.set_default_timeout(PATIENCE * 5)
    context.add_init_script(RESTORED)
    if not has_ours:
        context.route(re.compile(f"/extensions/{NAME}/"), lambda route: route.abort())

    def told(route: Route) -> None:
        known = route.fetch().json()
        route.fulfill(json=[*known, *_further(count)])

    if count > 1:
        context.route(api("kernels"), told)
    try:
        yield context
    finally:
        context.close()


def _further(count: int) -> list[dict[str, object]]:
    return [kernel(number) for number in range(1, count)]


def _open(context: BrowserContext, lab: LabHere) -> tuple[Page, float]:
    """A page of the notebook, and the seconds until all of Lab was there."""
    page = _begin(context, lab)
    return page, _restored(page)


def _begin(context: BrowserContext, lab: LabHere) -> Page:
    page = context.new_page()
    page.goto(lab.url(f"lab/tree/{BOOK}"), wait_until="commit")
    return page


def _restored(page: Page) -> float:
    return float(page.wait_for_function("window.restoredAt").json_value()) / 1000


def _size(chromium: Browser, lab: LabHere) -> Figure:
    files = [*(EXTENSIONS / NAME / "ui" / "static").glob("*.js")]
    with _browsing(chromium) as context:
        page, _ = _open(context, lab)
        loaded = page.evaluate(LOADED)
    return Figure(
        *("page-size", "The extension's code", "B", ""),
        [float(sum(file.stat().st_size for file in files))],
        [],
        Reach("at most", MOST),
        note=f"All of it; a page with a notebook loads {loaded / 1000:.0f} kB at first.",
    )


def _starts(
    chromium: Browser, ours: LabHere, without: LabHere, rounds: int
) -> Iterator[Figure]:
    """By a browser that has nothing yet, and by one that has been there."""
    titles = {
        "page-start": "JupyterLab's start in the browser",
        "page-start-cpu": "The same, the page's CPU",
        "page-reload": "JupyterLab's start with a filled cache",
    }
    times: dict[str, list[list[float]]] = {name: [] for name in titles}
    for at in range(rounds + 1):
        found = {}
        for lab in (ours, without) if at % 2 else (without, ours):
            with _browsing(chromium) as context:
                page, first = _open(context, lab)
                cpu = _metric(page, "ProcessTime")
                page.reload()
                found[lab.port] = (first, cpu, _restored(page))
        if at:  # the first of all starts the kernels, and fills the machine's caches
            both = zip(found[ours.port], found[without.port], strict=True)
            for pairs, pair in zip(times.values(), both, strict=True):
                pairs.append([*pair])
    for name, title in titles.items():
        yield Figure(
            *(name, title, "s", WITHOUT),
            [pair[0] for pair in times[name]],
            [pair[1] for pair in times[name]],
            Reach("ratio at most", 1.1),
            note="To the end of Lab's own restoring, with a notebook and its kernel.",
        )


def _metric(page: Page, name: str) -> float:
    """One of what Chromium tells of a page, without what is garbage."""
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable")
    if name == "JSHeapUsedSize":
        page.locator("[data-status=idle]").first.wait_for()
        page.wait_for_load_state("networkidle")
        for _ in range(3):  # one lets go of what the next collects
            tools.send("HeapProfiler.collectGarbage")
    said = tools.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in said if one["name"] == name))


def _memory(chromium: Browser, lab: LabHere, count: int, rounds: int) -> Figure:
    pairs = []
    for _ in range(rounds):
        found = []
        for has_ours in (True, False):
            with _browsing(chromium, count, has_ours=has_ours) as context:
                page, _ = _open(context, lab)
                found.append(_metric(page, "JSHeapUsedSize"))
        pairs.append(found)
    return Figure(
        *(
            f"page-memory-{count}",
            f"JavaScript's heap, {_kernels(count)}",
            "B",
            WITHOUT,
        ),
        [pair[0] for pair in pairs],
        [pair[1] for pair in pairs],
        Reach("ratio at most", 1.1),
        note="After a collection of garbage, with a notebook.",
    )


def _kernels(count: int) -> str:
    return "1 kernel" if count == 1 else f"{count} kernels"


def _idle(
    chromium: Browser, lab: LabHere, count: int, pages: int, minutes: int
) -> Iterator[Figure]:
    """Requests of pages that are left alone, by minute."""
    requests: Counter[tuple[bool, bool]] = Counter()  # by page, and by what is asked

    def count_in(context: BrowserContext, has_ours: bool) -> None:
        def asked(url: str) -> None:
            requests[has_ours, "/remote-kernels/" in url] += 1

        context.on("request", lambda request: asked(request.url))

    with ExitStack() as stack:
        opened: dict[bool, list[Page]] = {True: [], False: []}
        for has_ours, found in opened.items():
            browsing = _browsing(chromium, count, has_ours=has_ours)
            context = stack.enter_context(browsing)
            found.extend(_begin(context, lab) for _ in range(pages))
            count_in(context, has_ours)
        for page in [*opened[True], *opened[False]]:
            _restored(page)
        by_minute = [_minute(opened[True], count, requests) for _ in range(minutes + 1)]
    by_minute = by_minute[1:]  # in the first, the pages still load
    title = f"{_kernels(count)}, {pages} page{'s' if pages > 1 else ''}"
    yield Figure(
        *(
            f"page-requests-{count}-{pages}",
            f"Requests per minute, {title}",
            "",
            WITHOUT,
        ),
        [float(found[True, True] + found[True, False]) for found in by_minute],
        [float(found[False, True] + found[False, False]) for found in by_minute],
        Reach("ratio at most", 1.1),
        note="All that left-alone pages ask for together; the rest is Lab's own.",
    )
    yield Figure(
        *(
            f"page-asks-{count}-{pages}",
            f"The extension's requests per minute, {title}",
        ),
        *("", ""),
        [float(found[True, True]) for found in by_minute],
        [],
        Reach("at most", 0.0),
        note="All that it shows comes by the server's events.",
    )


def _minute(
    ours: list[Page], count: int, requests: Counter[tuple[bool, bool]]
) -> Counter[tuple[bool, bool]]:
    """What is asked in one minute, while the server tells what kernels use."""
    requests.clear()
    end = time.monotonic() + 60
    while (left := end - time.monotonic()) > 0:
        ours[0].wait_for_timeout(1000 * min(left, USE))
        if count > 1:
            for page in ours:
                tell(page, "kernels/v1", kernels=_further(count), gone=[])
    return Counter(requests)
