"""A batch system is a folder: nobody outside of it knows its words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import remote_kernels

ROOT = Path(remote_kernels.__file__).parent
WORDS = {
    "flux": r"\bflux (batch|cancel|exec|getattr|job|jobs|run|update)\b|FLUX_",
    "gridengine": r"qconf|qacct|qrsh|qmaster|\bSGE_",
    "lsf": r"\b(bsub|bjobs|bkill|bmod|bhist|bqueues|bhosts|blaunch)\b|LSB_|LSF_",
    "htcondor": r"condor_|_CONDOR_|ClassAd",
    "oar": r"oarsub|oarstat|oardel|oarsh|oarnodes|oarwalltime|OAR_",
    "pbs": r"PBS_|pbsnodes|pbsdsh|qselect|OpenPBS",
    "slurm": r"sbatch|squeue|scontrol|\bsrun|sacct|SLURM_",
    "torque": r"trqauthd|keep_completed|Maui|Moab",
}
RELATED = {"pbs": ["torque"]}  # whose commands and variables are the same


@pytest.mark.parametrize("system", [*WORDS])
def test_nobody_outside_of_its_folders_knows_it(system: str) -> None:
    """Its driver's, its magics', and its launcher for clusters."""
    inside = [
        path
        for name in (system, *RELATED.get(system, ()))
        for path in (
            ROOT / "scheduler" / name,
            ROOT / "magics" / name,
            ROOT / "cluster" / f"{name}.py",
        )
    ]
    assert inside[0].exists()

    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in ROOT.rglob("*")
        if path.suffix in (".py", ".md", ".yaml", ".json")
        and not any(path.is_relative_to(place) for place in inside)
        for line in path.read_text().splitlines()
        if re.search(WORDS[system], line)
    ]

    assert [] == found
