"""A user's first hour in real JupyterLab, in Debian's Chromium.

Each step leaves a screenshot in $RK_SCREENSHOTS (or pytest's directory), to be looked
at.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from on_cluster import lab as labs
from on_cluster.book import Notebook, card, jobs
from on_cluster.lab import CHROMIUM, FLAGS
from on_cluster.system import SYSTEM
from playwright.sync_api import Locator, Page, expect, sync_playwright
from served.lab import status
from testbed.api import Cluster
from testbed.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PATIENCE = 60_000  # milliseconds, on a small machine
NODES = ("c1", "c2")


@pytest.fixture
def home(cluster: Cluster) -> Iterator[str]:
    """A directory of alice's own for a JupyterLab."""
    made = cluster.run("login1", "alice", ["mktemp", "-d", "/home/alice/lab-XXXXXX"])
    yield made.stdout.strip()
    cluster.run("login1", "alice", ["rm", "-r", made.stdout.strip()])


@pytest.fixture
def lab(cluster: Cluster, home: str) -> Iterator[labs.Lab]:
    """JupyterLab on the login host; pytest shows its log where a test fails."""
    with labs.lab(cluster, home) as running:
        yield running
    print(running.log())


@pytest.fixture
def page(lab: labs.Lab, shots: Path) -> Iterator[Page]:
    """Lab's launcher, in a browser window."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        made = browser.new_page(viewport={"width": 1400, "height": 900})
        made.set_default_timeout(PATIENCE)
        made.goto(lab.url)
        card(made).wait_for()
        yield made
        made.screenshot(path=shots / "end.png")
        browser.close()


def left(lab: labs.Lab) -> list[str]:
    """Files of kernels: records, connection files, sockets."""
    names = lab.run(
        "find", f"{lab.home}/state", f"{lab.home}/runtime", "-mindepth", "1"
    )
    known = ("jpserver-", "jupyter_cookie_secret", "state/remote_kernels")
    return [line for line in names.splitlines() if not any(n in line for n in known)]


def test_the_first_hour(page: Page, lab: labs.Lab, shots: Path) -> None:
    """From picking a kernel to shutting one down."""
    book = Notebook(page, shots)
    pick(book)
    run_on_a_node(book)
    plot(book)
    answer(book)
    interrupt(book)
    restart(book, lab)
    debug(book)
    slide(book)
    lose_the_job(book, lab)
    shut_down(book, lab)


def pick(book: Notebook) -> None:
    """The launcher has the kernel, and nothing covers the page."""
    expect(book.page.locator(".jp-Dialog")).to_have_count(0)
    book.shot("launcher")
    card(book.page).click()
    book.page.locator(".jp-Notebook .cm-content").first.wait_for()
    book.idle()


def run_on_a_node(book: Notebook) -> None:
    output = book.run("import socket\nprint('host', socket.gethostname())")
    expect(output).to_contain_text("host ")
    assert output.inner_text().split()[-1] in NODES
    book.shot("host-name")


def plot(book: Notebook) -> None:
    output = book.run(
        "import matplotlib.pyplot as plt\nplt.plot([1, 4, 9])\nplt.title('squares');"
    )
    output.locator("img").wait_for()
    book.shot("matplotlib")


def answer(book: Notebook) -> None:
    output = book.run("print('hello,', input('who? '))")
    question = output.locator("input.jp-Stdin-input")
    question.fill("browser")
    book.shot("input")
    question.press("Enter")
    expect(output).to_contain_text("hello, browser")
    book.shot("answered")


def interrupt(book: Notebook) -> None:
    book.run("kept = 42")
    output = book.run("print('looping')\nwhile True:\n    pass")
    expect(output).to_contain_text("looping")
    book.menu("Kernel", "Interrupt Kernel")
    expect(output).to_contain_text("KeyboardInterrupt")
    expect(book.run("print('kept', kept)")).to_contain_text("kept 42")
    book.shot("interrupt")


def restart(book: Notebook, lab: labs.Lab) -> None:
    """A new process in the same job."""
    job, process = book.where()
    assert [job] == jobs(lab)
    book.menu("Kernel", "Restart Kernel…")
    # Its answer is awaited, because until then "Idle" may be the old process's.
    with book.page.expect_response(lambda response: "/restart" in response.url):
        book.page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(book.page.locator(".jp-Dialog")).to_have_count(0)
    book.idle()
    new_job, new_process = book.where()
    book.shot("restart")
    assert (job, True) == (new_job, new_process != process)


def debug(book: Notebook) -> None:
    """Stop at a breakpoint, see variables, go on."""
    page = book.page
    bug = page.locator(".jp-DebuggerBugButton")
    bug.click()
    expect(bug).to_have_attribute("aria-pressed", "true")
    cell = book.type("apples = 3\npears = apples + 4\nprint('sum', apples + pears)")
    # Before the lines' elements there is one more, which gives the gutter its width.
    gutter = cell.locator(".cm-breakpoint-gutter .cm-gutterElement").nth(3)
    gutter.click()
    gutter.locator(".cm-breakpoint-icon").wait_for()
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-DebuggerCallstackFrame").first).to_contain_text("<module>")
    expect(page.locator(".jp-DebuggerVariables")).to_contain_text("pears")
    output = cell.locator(".jp-Cell-outputArea")
    assert "" == output.inner_text().strip()
    book.shot("breakpoint")
    page.get_by_role("button", name="Continue").first.click()
    expect(output).to_contain_text("sum 10")
    bug.click()
    expect(bug).to_have_attribute("aria-pressed", "false")


def slide(book: Notebook) -> None:
    """Drag an ipywidgets slider; the kernel sees the new value, and tells it."""
    output = book.run(
        "import ipywidgets as w\nslider = w.IntSlider(value=0, max=100)\n"
        "twice = w.Label()\n"
        "slider.observe(lambda c: setattr(twice, 'value', f'twice {2 * c.new}'), 'value')"
        "\nw.VBox([slider, twice])"
    )
    handle = output.locator(".noUi-handle")
    handle.wait_for()
    handle.scroll_into_view_if_needed()
    drag(book.page, handle, 60)
    value = int(output.locator(".widget-readout").inner_text())
    assert value > 10
    expect(output.locator(".widget-label").last).to_have_text(f"twice {2 * value}")
    expect(book.run("print('value', slider.value)")).to_have_text(f"value {value}")
    book.shot("slider")


def drag(page: Page, handle: Locator, distance: int) -> None:
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + distance, y, steps=6)
    page.mouse.up()


def lose_the_job(book: Notebook, lab: labs.Lab) -> None:
    """The next cell runs in a new one, and says so."""
    job, _ = book.where()
    lab.run(*SYSTEM.cancel(job))
    expect(book.page.locator(".jp-Toolbar-kernelName")).to_contain_text("No Kernel")
    output = book.run("print('kept' in globals())")
    expect(output).to_contain_text("False")
    expect(output).to_contain_text("This is a new kernel in a new job.")
    expect(output).to_contain_text(re.compile(SYSTEM.cancelled_words))
    book.shot("new-job")
    assert job not in jobs(lab)


def shut_down(book: Notebook, lab: labs.Lab) -> None:
    """The job leaves the queue, and the kernel leaves nothing."""
    book.menu("Kernel", "Shut Down Kernel")
    expect(book.page.locator(".jp-Toolbar-kernelName")).to_contain_text("No Kernel")
    wait_for("the job to leave the queue", lambda: not jobs(lab), 60)
    book.shot("shut-down")
    # What the job that was lost had here stays for its last words, some ten seconds.
    wait_for("nothing to be left", lambda: not left(lab), 60)


def test_the_error_dialog_shows_the_batch_system_s_words(
    page: Page, lab: labs.Lab, shots: Path
) -> None:
    """A queue that is not there: what it said, what to do, nothing left."""
    ask(lab, queue="nosuch")

    card(page).click()

    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Error Starting Kernel")
    expect(dialog).to_contain_text(SYSTEM.refuses_word)
    expect(dialog).to_contain_text("Change '")
    page.screenshot(path=shots / "error-dialog.png")
    assert ([], []) == (jobs(lab), left(lab))


def test_the_time_limit(page: Page, lab: labs.Lab, shots: Path) -> None:
    """The running cell has a warning, and then what ended it."""
    ask(lab, time="0:01:00", warn_before=[40])
    book = Notebook(page, shots)
    card(page).click()
    book.idle()

    output = book.run("import time\nfor n in range(600):\n    time.sleep(1)")
    expect(output).to_contain_text(re.compile(r"\d+ seconds left: job"))
    book.shot("warning")

    kernel = page.locator(".jp-Toolbar-kernelName")
    expect(kernel).to_contain_text("No Kernel", timeout=2 * PATIENCE)
    expect(output).to_contain_text(re.compile("time limit", re.IGNORECASE))
    book.shot("time-limit")
    wait_for("nothing to be left", lambda: not (jobs(lab) or left(lab)), 60)


def ask(lab: labs.Lab, **config: object) -> None:
    """Have the launcher's kernel ask for that."""
    spec = f"{lab.home}/data/kernels/python-compute/kernel.json"
    kernel = json.loads(lab.run("cat", spec))
    kernel["metadata"]["kernel_provisioner"]["config"] |= config
    lab.run("tee", spec, input=json.dumps(kernel))


def test_make_lab_serves_until_ctrl_c(cluster: Cluster, home: str) -> None:
    """It says where Lab is, ends with Ctrl-C, and leaves a running cluster running."""
    program = [sys.executable, "-u", str(Path(labs.__file__).with_name("serve_lab.py"))]
    with subprocess.Popen(
        [*program, home], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        before = []
        try:
            for line in process.stdout:
                before.append(line)
                if "token=" in line:
                    break
            else:
                pytest.fail("".join(before))
            url = before[-1].strip()
            answered = status(url)
            os.killpg(process.pid, signal.SIGINT)
            said = process.stdout.read()
        except BaseException:
            process.terminate()  # or leaving the block waits for ever
            raise
    assert (200, 0, 0) == (answered, process.returncode, status(url))
    assert "ending" in said
    assert cluster.is_up()
