"""A Jupyter of its own for each test: nothing outside `tmp_path` is read or written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupyter_core.paths
import pytest
from click.testing import CliRunner, Result

from remote_kernels.cli import kernelspec
from remote_kernels.cli.main import cli
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.slurm.driver import Slurm

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


@pytest.fixture
def no_batch_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of this machine's is seen; without any, Slurm is the one that is meant."""
    monkeypatch.setattr(Slurm, "command", "/nowhere/sbatch")
    for driver in DRIVERS.values():
        if not driver.is_fallback and type(driver) is not Slurm:
            away = classmethod(lambda cls, environ: False)
            monkeypatch.setattr(type(driver), "is_here", away)


@pytest.fixture
def place(
    tmp_path: Path,
    jupyter: Path,
    no_batch_system: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Records and servers' files are in `tmp_path`, and there is no batch system."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    (tmp_path / "runtime").mkdir(mode=0o700)
    return tmp_path


class FakeSlurm:
    """Programs called as Slurm's; what they are told, and what squeue is to say."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.add("sbatch", "exit 1")
        self.add("squeue", f"cat {directory}/says")
        gone = "echo Invalid job id specified >&2; exit 1"
        self.add(
            "scontrol", f"[ $2 = config ] || {{ {gone}; }}\necho ClusterName = test"
        )
        self.add("sacct", "exit 1")
        self.add("scancel", "")
        self.says("")

    def add(self, name: str, script: str) -> None:
        path = self._directory / name
        note = f'echo "$@" >> {path}.told'
        path.write_text(f"#!/bin/sh\n{note}\n{script}\n")
        path.chmod(0o700)

    def says(self, *rows: str) -> None:
        text = "".join(f"{row}\n" for row in rows)
        (self._directory / "says.new").write_text(text)
        (self._directory / "says.new").rename(self._directory / "says")

    def file(self, name: str) -> Path:
        return self._directory / f"{name}.told"

    def told(self, name: str) -> list[str]:
        """How it was called, each time."""
        file = self.file(name)
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def slurm(place: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """`slurm.says("17|PENDING|Resources|n/a||N/A|N/A")` is what squeue prints."""
    directory = place / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setattr(Slurm, "command", "sbatch")
    return FakeSlurm(directory)
