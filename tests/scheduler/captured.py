"""What Slurm said, captured by capture.py; never invented.

Refusals by limits of accounts, of QOS and of closed partitions (sbatch-qos-*,
sbatch-a*, sbatch-*-over, sbatch-partition-*) are of the same cluster with a slurmdbd
22.05.8 beside it and AccountingStorageEnforce=associations,limits,qos,safe; there the
QOS had DenyOnLimit.
"""

from __future__ import annotations

import json
from pathlib import Path

from remote_kernels.scheduler.job import Completed

DATA = Path(__file__).with_name("data") / "slurm-22.05"


def captured(name: str) -> Completed:
    """One command's argv, exit code and both streams."""
    body = json.loads((DATA / f"{name}.json").read_text())
    return Completed(
        tuple(body["argv"]), body["returncode"], body["stdout"], body["stderr"]
    )
