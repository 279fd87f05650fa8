"""`remote-kernels submit` and `remote-kernels jobs`, with jobs of this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import FakeSlurm
from click.testing import Result

Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("place")
PATIENCE = 60.0


def listed(run: Run) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = json.loads(run("jobs", "--json").stdout)["jobs"]
    return jobs


def test_a_script_is_submitted(run: Run, tmp_path: Path) -> None:
    """Its number is printed; it is listed, also when it has ended."""
    script = tmp_path / "fit.sh"
    script.write_text("#!/bin/sh\nexit 3\n")
    made = run("submit", str(script), "--scheduler", "local", "--job-name", "fit")
    deadline = time.monotonic() + PATIENCE
    while not (jobs := listed(run))[0]["end"]:
        assert time.monotonic() < deadline, jobs
        time.sleep(0.1)

    assert 0 == made.exit_code, made.output
    assert made.stdout.strip() == jobs[0]["job_id"]
    assert ("fit", str(script), 3) == (
        jobs[0]["name"],
        jobs[0]["script"],
        jobs[0]["end"]["exit_code"],
    )
    row = run("jobs").stdout.rstrip("\n").split("\t")
    assert [jobs[0]["job_id"], "fit"] == row[:2]
    assert row[2].startswith("ended: The job's script failed with exit code 3")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--scheduler", "local", "--job-name=-x"), "cannot be a job's"),
        (("--scheduler", "local", "--silence", "60"), "about kernels"),
        (("--scheduler", "local", "--mail-type", "end"), "sends no mail"),
        (("--scheduler", "local", "--mail-user", "me"), "goes with --mail-type"),
        (("--kernel", "nosuch"), "nosuch"),
    ],
)
def test_what_is_refused(
    run: Run, tmp_path: Path, argv: tuple[str, ...], says: str
) -> None:
    """With what is wrong; nothing is submitted."""
    script = tmp_path / "fit.sh"
    script.write_text("#!/bin/sh\n")
    refused = run("submit", str(script), *argv)

    assert refused.exit_code
    assert says in " ".join(refused.output.split())
    assert [] == listed(run)


def test_a_silent_batch_system(run: Run, slurm: FakeSlurm) -> None:
    """Its words are on standard error, and the exit code is no success."""
    slurm.add("squeue", "echo Unable to contact slurm controller >&2; exit 1")
    said = run("jobs")

    assert 1 == said.exit_code
    assert "did not answer squeue" in said.stderr
