"""The same notebook through every batch caller, and the console."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from login.specs import EVERY_CARRIER, on_cluster

BIN = Path(sys.executable).parent
WHERE = "import socket; print('ran on', socket.gethostname())"


@pytest.fixture(params=EVERY_CARRIER)
def notebook(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A notebook of two cells, for each carrier's kernel."""
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {
        "name": request.param,
        "display_name": request.param,
        "language": "python",
    }
    book.cells = [
        nbformat.v4.new_code_cell(code) for code in (WHERE, "answer = 6 * 7\nanswer")
    ]
    path = tmp_path / "notebook.ipynb"
    nbformat.write(book, path)
    return path


def jupyter(*argv: str | Path, input: str = "") -> str:
    done = subprocess.run(
        [BIN / argv[0], *argv[1:]],
        input=input,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(path: Path) -> None:
    """The notebook holds what a compute node (or this host) printed and computed."""
    first, second = json.loads(path.read_text())["cells"]
    kernel = json.loads(path.read_text())["metadata"]["kernelspec"]["name"]
    here = os.uname().nodename
    host = "".join(first["outputs"][0]["text"]).split()[-1]

    assert on_cluster(kernel) == (host != here)
    assert second["outputs"][0]["data"]["text/plain"] == ["42"]


def test_nbconvert(notebook: Path) -> None:
    """jupyter nbconvert --execute"""
    jupyter("jupyter-nbconvert", "--execute", "--inplace", "--to", "notebook", notebook)

    check(notebook)


def test_papermill(notebook: Path) -> None:
    """papermill IN OUT"""
    jupyter("papermill", notebook, notebook)

    check(notebook)


def test_nbclient(notebook: Path) -> None:
    """NotebookClient, as other programs use it."""
    book = nbformat.read(notebook, as_version=4)

    NotebookClient(book).execute()
    nbformat.write(book, notebook)

    check(notebook)


@pytest.mark.parametrize("kernel", EVERY_CARRIER)
def test_console(kernel: str) -> None:
    """jupyter console drives the synchronous KernelManager."""
    printed = jupyter(
        "jupyter-console",
        "--simple-prompt",
        "--kernel",
        kernel,
        input=f"{WHERE}\nprint(6 * 7)\nexit\n",
    )

    assert "42" in printed
    host = printed.partition("ran on ")[2].split()[0]
    assert on_cluster(kernel) == (host != os.uname().nodename)
