"""Kernels of a batch system of which no file of remote_kernels knows.

It comes as any package does that brings one: by its entry point. So it must be there
before a process begins, and each of these runs in processes of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from contracts.a_kernel import CLI
from contracts.systems import INVENTED, abacus_environ

Run = Callable[..., subprocess.CompletedProcess[str]]
A_KERNEL = Path(__file__).with_name("a_kernel.py")


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    assert os.getuid() != 0, "kernels never run as root in a test"
    jupyter = {
        f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("DATA", "RUNTIME")
    }
    own = {"IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": str(INVENTED)}
    return {**os.environ, **abacus_environ(tmp_path), **jupyter, **own}


@pytest.fixture
def run(environ: Mapping[str, str], tmp_path: Path) -> Run:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            env=dict(environ),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )

    return run


def install(
    run: Run, tmp_path: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    state = f"--state-dir={tmp_path / 'state'}"
    words = "install", "python-compute", "--scheduler", "abacus"
    return run("-c", CLI, *words, state, *options)


def test_a_kernel_lives_there(run: Run, tmp_path: Path) -> None:
    """It starts, is listed, entered, interrupted, restarted in its job, and ended."""
    installed = install(run, tmp_path, "--cores", "2")
    assert 0 == installed.returncode, installed.stderr

    done = run(str(A_KERNEL), "python-compute")

    assert 0 == done.returncode, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert "ƒ1;b" == told["before"][0] == told["after"][0]
    assert told["before"][1] != told["after"][1]
    listed = told["listed"]
    assert ("abacus", "ƒ1;b", "abjoin") == (
        listed["scheduler"],
        listed["job_id"],
        listed["carrier"],
    )
    assert ("inside\n", "KeyboardInterrupt") == (told["inside"], told["interrupted"])
    assert [] == told["left"]
    (job,) = (tmp_path / "home").glob("ƒ*")
    assert 2 == json.loads((job / "job").read_text())["beads"]
    assert (job / "ended").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--partition", "debug"], "scheduler 'abacus' has no option partition"),
        (["--beads", "none"], "option 'beads' is"),
        (["--carrier", "srun"], "carrier 'srun' does not reach jobs of scheduler"),
    ],
)
def test_what_it_does_not_know(
    run: Run, tmp_path: Path, options: list[str], words: str
) -> None:
    """It is told before anything is submitted."""
    done = install(run, tmp_path, *options)
    if done.returncode == 0:
        done = run(str(A_KERNEL), "python-compute")

    assert 0 != done.returncode
    assert words in " ".join(done.stderr.split())
    assert [] == [*(tmp_path / "home").glob("ƒ*")]


def test_its_options_are_in_the_help(run: Run) -> None:
    """Under its name."""
    done = run("-c", CLI, "install", "--help")

    assert "as for absub (Abacus)" in done.stdout
    assert "--beads" in done.stdout


def test_it_takes_no_name_from_others(run: Run, tmp_path: Path) -> None:
    """What all batch systems have is each one's own: `--cores` is not always beads."""
    words = "--cores", "2", "--dry-run"
    abacus = install(run, tmp_path, *words)
    slurm = install(run, tmp_path, "--scheduler", "slurm", *words)

    for done, name in ((abacus, "beads"), (slurm, "cpus-per-task")):
        provisioner = json.loads(done.stdout)["metadata"]["kernel_provisioner"]
        assert 2 == provisioner["config"][name]
