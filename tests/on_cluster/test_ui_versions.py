"""The extension in each JupyterLab and Notebook that it is for: what people do in it.

Each pair has an environment of its own, and kernels of the `local` scheduler: no cluster
is needed. All other tests of the extension are of the pair that is installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from on_cluster.browsers import window
from playwright.sync_api import Page, expect
from served.lab import LabHere, lab_here

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
VERSIONS = {  # of JupyterLab, and of the Notebook that is made of it
    "4.4": ("jupyterlab==4.4.*", "notebook==7.4.*"),
    "4.5": ("jupyterlab==4.5.*", "notebook==7.5.*"),
    "4.6": ("jupyterlab==4.6.*", "notebook==7.6.*"),
    "4.7a": ("jupyterlab>=4.7.0a0,<4.8", "notebook>=7.7.0a0,<7.8"),
}
OURS = "Python (Local Agent)"
LINES = 60
LONG = f"""\
import time
for number in range({LINES}):
    print("line", number)
    time.sleep(0.1)
"the end\""""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ours, of this checkout."""
    out = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out)]
    subprocess.run(
        [*pip, "--no-build-isolation", str(ROOT)],
        env={**os.environ, "REMOTE_KERNELS_UI": "required"},
        check=True,
    )
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module", params=VERSIONS)
def prefix(request: pytest.FixtureRequest, wheel: Path) -> Iterator[Path]:
    """An environment with one pair, and our wheel; half a gigabyte, and gone at the end."""
    with tempfile.TemporaryDirectory(prefix="versions-") as name:
        subprocess.run([sys.executable, "-m", "venv", name], check=True)
        pip = [f"{name}/bin/pip", "install", "-q", "ipykernel", str(wheel)]
        subprocess.run([*pip, *VERSIONS[request.param]], check=True)
        yield Path(name)


@pytest.fixture(scope="module")
def lab(prefix: Path) -> Iterator[LabHere]:
    with lab_here(prefix, "--expose-app-in-browser") as made:
        yield made
        print(made.log.read_text())


def test_it_is_installed_and_enabled(prefix: Path, tmp_path: Path) -> None:
    """As `jupyter labextension list` says."""
    listed = subprocess.run(
        [prefix / "bin" / "jupyter", "labextension", "list"],
        env={**os.environ, "HOME": str(tmp_path), "JUPYTER_NO_CONFIG": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    said = re.sub(r"\x1b\[\d+m", "", listed.stdout + listed.stderr)

    assert re.search(r"@remote-kernels/ui v\S+ enabled +OK", said), said


@pytest.mark.parametrize("where", ["lab/tree", "notebooks"])
def test_what_people_do(lab: LabHere, where: str, shots: Path, prefix: Path) -> None:
    """Pick a kernel by the form, run a cell, see it, reload: it fills in."""
    known = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": known})
    book.cells = [nbformat.v4.new_code_cell(LONG)]
    path = lab.root / f"{where[:3]}.ipynb"
    path.write_text(nbformat.writes(book))
    said: list[str] = []
    with window("chromium", "about:blank") as page:
        page.on("console", lambda one: said.append(f"{one.type}: {one.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.goto(lab.url(f"{where}/{path.name}"))
        (found,) = [one.name for one in prefix.glob("lib/*/site-packages/notebook-*")]
        name = f"versions-{found.removeprefix('notebook-')[:3]}-{where[:3]}"
        choose(page)
        see(page)
        page.screenshot(path=shots / f"{name}.png")
        come_back(page)
        page.screenshot(path=shots / f"{name}-back.png")
        shut_down(page)
    errors = [line for line in said if line.startswith("error")]
    print(*errors, sep="\n")
    assert [] == [line for line in errors if "remote" in line.lower()], errors


def choose(page: Page) -> None:
    """Pick ours in Lab's dialog, which has the form below."""
    name = page.locator(".jp-Toolbar-kernelName")
    expect(name).to_contain_text("Python 3")
    page.locator("[data-status=idle]").first.wait_for()
    name.click()
    dialog = page.locator(".jp-Dialog")
    dialog.locator("select").first.select_option(label=OURS)
    expect(dialog.locator(".rk-Choose")).to_contain_text("All options")
    dialog.get_by_text("All options").click()
    expect(dialog.get_by_placeholder("Find an option")).to_be_visible()
    dialog.get_by_role("button", name="Select", exact=False).last.click()
    expect(dialog).to_have_count(0)
    expect(name).to_contain_text(OURS)


def see(page: Page) -> None:
    """The chip leads to the panel, where the kernel is."""
    chip = page.locator(
        ".jp-NotebookPanel-toolbar .rk-Chip-button, .jp-Toolbar .rk-Chip-button"
    )
    expect(chip).to_be_visible()
    chip.click()
    row = page.locator("#remote-kernels-compute .rk-Row-head")
    expect(row).to_contain_text("running")
    expect(page.locator(".rk-Details")).to_contain_text(OURS)


def come_back(page: Page) -> None:
    """Run the cell, and reload while it prints."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").first
    page.locator("[data-status=idle]").first.wait_for()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    output = cell.locator(".jp-Cell-outputArea")
    expect(output).to_contain_text("line 5")
    page.reload()
    expect(output).to_contain_text("the end")
    lines = [line for line in output.inner_text().splitlines() if "line" in line]
    assert [f"line {number}" for number in range(LINES)] == lines
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[1]:")


def shut_down(page: Page) -> None:
    """By the panel."""
    head = page.locator("#remote-kernels-compute .rk-Row-head")
    if not head.is_visible():
        page.locator(".rk-Chip-button").first.click()
    if head.get_attribute("aria-expanded") != "true":
        head.click()
    page.locator(".rk-Details").get_by_role("button", name="Shut down…").click()
    page.locator(".jp-Dialog .jp-mod-warn").click()
    expect(head).to_have_count(0)
