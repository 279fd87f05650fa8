"""What Slurm said, captured by capture.py; never invented."""

from __future__ import annotations

import json
from pathlib import Path

from remote_kernels.scheduler.base import Completed

DATA = Path(__file__).with_name("data") / "slurm-22.05"


def captured(name: str) -> Completed:
    """One command's argv, exit code and both streams."""
    body = json.loads((DATA / f"{name}.json").read_text())
    return Completed(
        tuple(body["argv"]), body["returncode"], body["stdout"], body["stderr"]
    )
