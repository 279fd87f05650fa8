"""What a batch system said, captured by capture.py and its siblings; never invented.

22.05.8 is Debian 12's, 24.11.5 Debian 13's, 26.05.5 Debian unstable's.

Slurm's refusals by limits of accounts, of QOS and of closed partitions (sbatch-qos-*,
sbatch-a*, sbatch-*-over, sbatch-partition-*) are of the same cluster with a slurmdbd
22.05.8 beside it and AccountingStorageEnforce=associations,limits,qos,safe; there the
QOS had DenyOnLimit. So it was for 24.11 and 26.05, where what sacct knows (sacct-*, but
for sacct-disabled) was asked there, too.
"""

from __future__ import annotations

import json
from pathlib import Path

from remote_kernels.scheduler.job import Completed

DATA = Path(__file__).with_name("data")
VERSIONS = ("22.05", "24.11", "26.05")


def captured(name: str, of: str = "22.05") -> Completed:
    """One command's argv, exit code and both streams; of a version of Slurm's, or all."""
    folder = f"slurm-{of}" if of in VERSIONS else of
    body = json.loads((DATA / folder / f"{name}.json").read_text())
    return Completed(
        tuple(body["argv"]), body["returncode"], body["stdout"], body["stderr"]
    )
