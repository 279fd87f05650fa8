"""What runs, as a page shows it: the panel, the chip, Running; in Chromium and Firefox.

Each step leaves a screenshot in $RK_SCREENSHOTS (or pytest's directory), to be looked
at.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from on_cluster.book import KERNEL, Notebook, card, jobs
from on_cluster.browsers import BROWSERS, window
from on_cluster.system import SYSTEM
from on_cluster.ui import (
    GIB,
    Served,
    act,
    answer,
    api,
    faults,
    kernel,
    panel,
    tell,
)
from playwright.sync_api import Page, expect
from testbed.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

DASHBOARD = """\
import functools, http.server, os, pathlib, tempfile, threading
page = pathlib.Path(tempfile.mkdtemp(), "index.html")
page.write_text("<title>a dashboard</title>on the node")
serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=page.parent)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("port", server.server_port)"""
THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")
MANY = 200


def close_dialog(page: Page) -> None:
    page.keyboard.press("Escape")
    expect(page.locator(".jp-Dialog")).to_have_count(0)


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_kernel_in_the_panel(browser: str, site: Served, shots: Path) -> None:
    """All of it is live, and each of its buttons does what it says."""
    site.ask_for(usage=2)
    with window(browser, site.lab.url) as page:
        book = Notebook(page, shots)
        shot = iter(range(100))

        def look(name: str) -> None:
            page.screenshot(path=shots / f"see-{browser}-{next(shot):02d}-{name}.png")

        compute = panel(page)
        expect(compute).to_contain_text("No kernels run in jobs now")
        card(page).click()
        row = compute.locator(".rk-Row-head")
        expect(row).to_contain_text("Untitled.ipynb")
        expect(row).to_contain_text(re.compile(r"running · c\d"))
        expect(row).to_contain_text(re.compile(r"\d [MG]iB"))
        chip = page.locator(".jp-NotebookPanel-toolbar .rk-Chip-button")
        expect(chip).to_contain_text(re.compile(r"^c\d · .*min.* · .*iB"))
        said = re.compile(r"Kernel of Untitled.ipynb: running, on c\d, .* left, memory")
        expect(chip).to_have_attribute("aria-label", said)
        expect(page.locator("#jp-bottom-panel .rk-Chip-button")).to_be_visible()
        book.idle()
        output = book.run(DASHBOARD)
        expect(output).to_contain_text(re.compile(r"port \d+"))
        port = output.inner_text().split()[-1]

        chip.click()
        expect(row).to_have_attribute("aria-expanded", "true")
        expect(row).to_be_focused()
        meters = compute.get_by_role("meter")
        shown = {str(one.get_attribute("aria-label")) for one in meters.all()}
        assert "Time left" in shown
        if SYSTEM.scheduler == "slurm":  # Grid Engine's limit is one of addresses
            assert "Memory" in shown
        look("details")
        assert [] == faults(page, "#remote-kernels-compute")

        ports(page, port)
        look("port")
        close_dialog(page)

        act(page, "Stack")
        expect(page.locator(".jp-Dialog")).to_contain_text("MainThread")
        look("stack")
        close_dialog(page)

        follow(page, book)
        look("log")
        assert [] == faults(page, ".rk-Log")

        act(page, "Terminal")
        page.locator(".jp-Terminal .xterm-screen").click()
        page.keyboard.type("echo job $SLURM_JOB_ID$JOB_ID on $(hostname) > inside\n")
        wrote = site.lab.cluster.path("login1", f"{site.lab.home}/work/inside")
        (job,) = jobs(site.lab)
        wait_for(
            "the terminal's shell to write",
            lambda: wrote.exists() and f"job {job} on c" in wrote.read_text(),
            60,
        )
        look("terminal")

        page.locator("[data-id=jp-running-sessions]").click()
        running = page.locator(".jp-RunningSessions-item", has_text="Untitled.ipynb")
        expect(running.filter(has_text=re.compile(r"c\d · "))).to_be_visible()
        look("running")

        panel(page)
        act(page, "Go to notebook")
        expect(chip).to_be_visible()
        restart_and_shut_down(page, book, site)
        look("shut-down")


def ports(page: Page, port: str) -> None:
    """A click opens the dashboard in a tab of its own."""
    act(page, "Ports…")
    button = page.get_by_role("button", name=f"Open port {port}")
    with page.expect_popup() as opened:
        button.click()
    expect(opened.value).to_have_title("a dashboard")
    opened.value.close()
    expect(page.locator(".jp-Dialog")).to_contain_text(f"Port {port} of c")


def follow(page: Page, book: Notebook) -> None:
    """What is written from now on is shown as it comes."""
    act(page, "Logs")
    log = page.get_by_role("log")
    expect(log).to_be_visible()
    page.locator(".lm-TabBar-tabLabel", has_text="Untitled.ipynb").first.click()
    book.run("import os; os.write(2, b'for the log ' + bytes(str(6 * 7), 'ascii'))")
    page.locator(".lm-TabBar-tabLabel", has_text="Log of Untitled").click()
    expect(log).to_contain_text("for the log 42")
    page.get_by_label("Which log").select_option(label="Log of the job")
    expect(log).not_to_contain_text("for the log 42")


def restart_and_shut_down(page: Page, book: Notebook, site: Served) -> None:
    """Both ask before, and both are known to the notebook at once."""
    job, process = book.where()
    act(page, "Restart…")
    with page.expect_response(lambda response: "/restart" in response.url):
        page.locator(".jp-Dialog .jp-mod-warn").click()
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    book.idle()
    new_job, new_process = book.where()
    assert (job, True) == (new_job, new_process != process)

    act(page, "Shut down…")
    page.keyboard.press("Escape")
    expect(page.locator(".rk-Row")).to_have_count(1)
    act(page, "Shut down…")
    page.locator(".jp-Dialog .jp-mod-warn").click()
    expect(page.locator(".rk-Row")).to_have_count(0)
    expect(page.locator(".jp-Toolbar-kernelName")).to_contain_text("No Kernel")
    expect(page.locator(".rk-Chip-button")).to_have_count(0)
    wait_for("the job to leave the queue", lambda: not jobs(site.lab), 60)


@pytest.mark.parametrize("browser", BROWSERS)
def test_the_chip_in_notebook_7(browser: str, site: Served, shots: Path) -> None:
    """A click on it shows the panel, at this notebook's kernel."""
    spec = {"name": "python-compute", "display_name": KERNEL, "language": "python"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
    home = site.lab.home
    site.lab.run("tee", f"{home}/work/seven.ipynb", input=nbformat.writes(book))
    url = site.lab.url.replace("/lab?", "/notebooks/seven.ipynb?")
    with window(browser, url) as page:
        chip = page.locator(".rk-Chip-button")
        expect(chip).to_contain_text(re.compile(r"^c\d · "))
        chip.click()
        row = page.locator(".rk-Row-head")
        expect(row).to_be_focused()
        expect(row).to_contain_text("seven.ipynb")
        assert [] == faults(page, "#remote-kernels-compute")
        act(page, "Logs")
        expect(page.get_by_role("log")).to_be_visible()
        page.screenshot(path=shots / f"see-{browser}-notebook.png")
        close_dialog(page)
        act(page, "Shut down…")
        page.locator(".jp-Dialog .jp-mod-warn").click()
        expect(page.locator(".rk-Row")).to_have_count(0)


@pytest.mark.parametrize("browser", BROWSERS)
def test_the_server_is_away(browser: str, site: Served, shots: Path) -> None:
    """The panel says so; when it is back, all is right without a reload."""
    with window(browser, site.lab.url) as page:
        compute = panel(page)
        card(page).click()
        row = compute.locator(".rk-Row-head")
        expect(row).to_contain_text(re.compile(r"running · c\d"))
        page.evaluate("window.notReloaded = true")

        site.stop()
        expect(compute).to_contain_text("The server does not answer")
        page.screenshot(path=shots / f"see-{browser}-away.png")
        expect(row).to_contain_text("Untitled.ipynb")
        (job,) = jobs(site.lab)
        site.lab.run(*site.lab.cluster.system.cancel(job))
        site.start()
        expect(compute).not_to_contain_text("does not answer", timeout=180_000)
        expect(compute.locator(".rk-Row:not(.rk-is-ended)")).to_have_count(0)
        assert page.evaluate("window.notReloaded")


def many() -> list[dict[str, Any]]:
    """Of all kinds, one near its end."""
    now = time.time()
    gpu = {"index": 0, "name": "A GPU", "utilization": 80}
    gpu |= {"memory": 60 * GIB, "memory_total": 80 * GIB}
    waits = {"state": "waiting", "node": None, "ends": None, "usage": None}
    found = [kernel(number) for number in range(MANY)]
    found[1]["usage"]["gpus"] = [gpu, {**gpu, "index": 1, "utilization": 5}]
    found[1] |= {"ends": now + 400, "notebooks": [f"deep/{'long name ' * 20}.ipynb"]}
    found[2] |= {**waits, "place": 3, "expected_start": now + 1800}
    found[2] |= {"text": "Job 4002 waits: others are before it."}
    found[3] |= {"ends": now + 280}  # longer than the test takes
    return found


JOB = {
    "scheduler": "slurm",
    "name": "<b>train</b>",
    "state": "running",
    "text": "runs on c2",
    "reason": "",
    "node": "c2",
    "queue": "debug",
    "submitted": None,
    "started": None,
    "ends": None,
    "expected_start": None,
    "ours": False,
    "log": False,
    "result": None,
    "report": None,
    "end": None,
}
QUEUE = {
    "name": "debug",
    "is_default": True,
    "state": "up",
    "time_limit": 3600,
    "nodes": {"total": 4, "free": 3},
    "cores": {"total": 16, "free": 9},
    "memory": None,
    "cores_per_node": 4,
    "gpus": [{"kind": "a100", "total": 8, "free": 2}],
    "note": "",
}


@pytest.mark.parametrize("browser", BROWSERS)
def test_two_hundred_kernels(browser: str, site: Served, shots: Path) -> None:
    """Arrows lead through them, one that changes is shown at once, and axe is content."""
    with window(browser, "about:blank") as page:
        answer(page, "kernels", many)
        answer(page, "kernelspecs", lambda: [{"name": "k", "scheduler": "slurm"}])
        queue_answer = {"scheduler": "slurm", "asked": 0, "queues": [QUEUE]}
        asked_queues = answer(page, "queues", lambda: queue_answer)
        listed = {"asked": 0, "jobs": [{**JOB, "job_id": "900"}]}
        asked_jobs = answer(page, "jobs", lambda: listed)
        page.goto(site.lab.url)
        compute = panel(page)
        rows = compute.locator(".rk-Row-head")
        expect(rows).to_have_count(MANY)
        assert ([], []) == (asked_queues, asked_jobs)

        at = 0
        for key, to in (("ArrowDown", 1), ("End", -1), ("Home", 0), ("ArrowDown", 1)):
            rows.nth(at).press(key)
            expect(rows.nth(to)).to_be_focused()
            at = to
        page.keyboard.press("Enter")
        go = page.get_by_role("button", name="Go to notebook")
        go.wait_for()
        page.keyboard.press("Tab")
        expect(go).to_be_focused()
        expect(compute.get_by_role("meter")).to_have_count(5)
        changed = {**many()[0], "node": "c99"}
        tell(page, "kernels/v1", kernels=[changed], gone=[many()[-1]["kernel_id"]])
        expect(rows.first).to_contain_text("running · c99")
        expect(rows).to_have_count(MANY - 1)

        expect(rows.nth(3)).to_contain_text(re.compile(r"\d min"))
        before = rows.nth(3).inner_text()
        expect(rows.nth(3)).not_to_have_text(before)  # it counts down by itself

        compute.get_by_text("My other jobs").click()
        expect(compute).to_contain_text("<b>train</b>")  # as text
        compute.get_by_text("What is free").click()
        expect(compute).to_contain_text("3 / 4")
        assert (["GET"], ["GET"]) == (asked_queues, asked_jobs)
        tell(page, "jobs/v1", asked=1, jobs=[{**JOB, "job_id": "901", "name": "new"}])
        expect(compute).to_contain_text("new")
        for theme in THEMES:
            page.evaluate(
                "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})",
                theme,
            )
            expect(page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
            expect(page.locator("#jupyterlab-splash")).to_have_count(0)
            name = theme.rpartition(" ")[2].lower()
            page.screenshot(path=shots / f"see-{browser}-many-{name}.png")
            assert [] == faults(page, "#remote-kernels-compute")


def test_a_server_without_jobs(site: Served) -> None:
    """The section is hidden once that is known."""
    with window("chromium", "about:blank") as page:
        page.route(api("jobs"), lambda route: route.fulfill(status=404))
        page.goto(site.lab.url)
        compute = panel(page)
        section = compute.get_by_text("My other jobs")
        section.click()
        expect(section).to_have_count(0)
        expect(compute.get_by_text("What is free")).to_be_visible()


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_port_without_a_proxy(browser: str, site: Served, shots: Path) -> None:
    """It is said why there is no page, and where the port is."""
    port = {"id": "1", "port": 8787, "host": None, "socket": None, "node": "c1"}
    port |= {"local_socket": "/run/user/1000/rk-x/p1", "local_port": None}
    port |= {"connections": 0, "listening": True, "trouble": "", "url": None}
    listens = {"port": 8787, "host": "127.0.0.1", "command": "dask", "pid": 1}
    with window(browser, "about:blank") as page:
        answer(page, "kernels/[^/]+/ports", lambda: port)
        answer(
            page, "kernels/[^/]+/listening", lambda: [{**listens, "is_kernel": False}]
        )
        page.goto(site.lab.url)
        compute = panel(page)
        card(page).click()
        row = compute.locator(".rk-Row-head")
        expect(row).to_contain_text(re.compile(r"running · c\d"))
        row.click()
        act(page, "Ports…")
        page.get_by_role("button", name="Open port 8787").click()
        dialog = page.locator(".jp-Dialog")
        expect(dialog).to_contain_text("jupyter-server-proxy is not installed")
        expect(dialog).to_contain_text("ssh -L 8787:/run/user/1000/rk-x/p1")
        page.screenshot(path=shots / f"see-{browser}-no-proxy.png")
        assert [] == faults(page, ".jp-Dialog")
