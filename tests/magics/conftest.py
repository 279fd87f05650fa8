"""A real IPython with our magics, and programs on PATH that stand for a batch system's.

What those programs print was captured; they also note how they were called.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from magics.commands import Commands, run
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.environment import matches


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of any job, wherever these tests run."""
    guarded = [pattern for driver in DRIVERS.values() for pattern in driver.guarded]
    for name in [name for name in os.environ if matches(name, ["RK_JOB*", *guarded])]:
        monkeypatch.delenv(name)


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InteractiveShell]:
    """With `%load_ext remote_kernels` done, where nobody's commands are."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    with monkeypatch.context() as context:
        context.setenv("PATH", "/nowhere")
        run(shell, "%load_ext remote_kernels")
    yield shell
    run(shell, "%unload_ext remote_kernels")
    InteractiveShell.clear_instance()


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Programs that are found before the machine's own Slurm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Commands(folder)
