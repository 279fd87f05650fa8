"""Programs that run a notebook while its kernel's job waits longer than they would.

They block in the start, where no time-out counts, and say on a terminal how the job stands.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from login.specs import BATCH, CONFIG, write_spec
from login.test_batch import BIN, WHERE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

HELD = 30  # seconds in the queue
PATIENCE = 25  # seconds that each program is told to wait for its kernel
TIMEOUT = f"ZMQTerminalInteractiveShell.kernel_timeout={PATIENCE}"


@pytest.fixture
def late(jupyter: Path) -> str:
    """A kernelspec whose jobs wait."""
    config = {**CONFIG, **BATCH.later(HELD), "state_dir": str(jupyter / "state")}
    write_spec("t-late", config)
    return "t-late"


@pytest.fixture
def notebook(late: str, jupyter: Path) -> Path:
    """In a directory that the node has, too."""
    book = nbformat.v4.new_notebook()
    spec = {"name": late, "display_name": late, "language": "python"}
    book.metadata["kernelspec"] = spec
    book.cells = [nbformat.v4.new_code_cell(WHERE)]
    path = jupyter / "notebook.ipynb"
    nbformat.write(book, path)
    return path


def commands(notebook: Path) -> Iterator[tuple[str, list[str]]]:
    program = (
        "import nbformat, sys; from nbclient import NotebookClient; "
        "book = nbformat.read(sys.argv[1], as_version=4); "
        f"NotebookClient(book, startup_timeout={PATIENCE}).execute(); "
        "nbformat.write(book, sys.argv[1])"
    )
    yield "nbclient", ["python", "-c", program, str(notebook)]
    where = str(notebook)
    limit = f"--start-timeout={PATIENCE}"
    yield "papermill", ["papermill", limit, str(notebook), str(notebook)]
    option = f"--ExecutePreprocessor.startup_timeout={PATIENCE}"
    yield (
        "nbconvert",
        ["jupyter-nbconvert", "--execute", "--inplace", "--to=notebook", option, where],
    )


@pytest.mark.parametrize("name", ["nbclient", "papermill", "nbconvert"])
def test_a_batch_program_waits(notebook: Path, name: str) -> None:
    """No time-out strikes, nothing is said where there is no terminal, as with a local kernel."""
    program, *argv = dict(commands(notebook))[name]

    done = subprocess.run(
        [BIN / program, *argv], capture_output=True, text=True, timeout=120, check=False
    )

    assert 0 == done.returncode, done.stderr
    assert " waits: " not in done.stderr
    (cell,) = json.loads(notebook.read_text())["cells"]
    (output,) = cell["outputs"]
    assert "".join(output["text"]).startswith("ran on c")


def test_a_console_waits(late: str) -> None:
    """On a terminal one line is written over, and gone when the kernel is there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    argv = ["jupyter-console", "--simple-prompt", f"--{TIMEOUT}", f"--kernel={late}"]
    process = subprocess.Popen(
        [BIN / argv[0], *argv[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    printed, _ = process.communicate(f"{WHERE}\nexit\n", timeout=160)
    told = os.read(ours, 1 << 16).decode()
    os.close(ours)

    assert "ran on c" in printed
    lines = told.split("\r\x1b[K")
    assert len([line for line in lines if " waits: " in line]) > 3
    assert all(len(line.splitlines()) <= 1 for line in lines[:-1])
    assert " waits: " not in lines[-1]
