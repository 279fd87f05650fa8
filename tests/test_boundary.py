"""A batch system is a folder: nobody outside of it knows its words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import remote_kernels

ROOT = Path(remote_kernels.__file__).parent
WORDS = {"slurm": r"sbatch|squeue|scontrol|srun|sacct|SLURM_"}


@pytest.mark.parametrize("system", [*WORDS])
def test_nobody_outside_of_its_folders_knows_it(system: str) -> None:
    """Its driver's, its magics', and its launcher for clusters."""
    inside = [ROOT / "scheduler" / system, ROOT / "magics" / system]
    inside += [ROOT / "cluster" / f"{system}.py"]
    assert all(path.exists() for path in inside)

    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in ROOT.rglob("*")
        if path.suffix in (".py", ".md", ".yaml", ".json")
        and not any(path.is_relative_to(place) for place in inside)
        for line in path.read_text().splitlines()
        if re.search(WORDS[system], line)
    ]

    assert [] == found
