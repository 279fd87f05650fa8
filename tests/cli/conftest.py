"""A Jupyter of its own for each test: nothing outside `tmp_path` is read or written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupyter_core.paths
import pytest
from click.testing import CliRunner, Result

from remote_kernels.cli import kernelspec
from remote_kernels.cli.main import cli

Run = Callable[..., Result]
AddKernel = Callable[..., Path]


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's Jupyter data directory; the shipped templates are a site's."""
    shared = tmp_path / "site" / "remote_kernels" / "kernelspecs"
    for template in kernelspec.templates().values():
        shutil.copytree(template.directory, shared / template.name)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "site"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "user"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    paths = jupyter_core.paths
    monkeypatch.setattr(paths, "ENV_JUPYTER_PATH", [str(tmp_path / "env")])
    monkeypatch.setattr(paths, "SYSTEM_JUPYTER_PATH", [str(tmp_path / "system")])
    return tmp_path / "user"


@pytest.fixture
def run(jupyter: Path) -> Run:
    """`run("list", "--json")` is the command line in that Jupyter."""

    def run(*args: str, **options: Any) -> Result:
        return CliRunner().invoke(cli, args, prog_name="remote-kernels", **options)

    return run


@pytest.fixture
def add_kernel(jupyter: Path) -> AddKernel:
    """`add_kernel("ir", argv=[...])` is a kernelspec that somebody else installed."""

    def add(name: str, **spec: Any) -> Path:
        directory = jupyter / "kernels" / name
        directory.mkdir(parents=True)
        spec = {"display_name": name, "language": "none", **spec}
        spec.setdefault("argv", ["/bin/kernel", "{connection_file}"])
        (directory / "kernel.json").write_text(json.dumps(spec))
        return directory

    return add
