"""The kernelspecs under test: one for each way to a kernel."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ARGV = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]

# Name: the kernelspec's config.
KERNELS: dict[str, dict[str, Any]] = {
    "t-local": {"scheduler": "local"},
    "t-local-tcp": {"scheduler": "local", "transport": "tcp"},
    "t-ssh": {"scheduler": "slurm", "carrier": "ssh", "time": 10},
    "t-srun": {"scheduler": "slurm", "carrier": "srun", "time": 10},
    "t-tcp": {"scheduler": "slurm", "transport": "tcp", "time": 10},
    "t-curve": {"scheduler": "slurm", "transport": "tcp", "time": 10},
}
METADATA = {"t-curve": {"supported_encryption": ["curve"]}}


def on_cluster(name: str) -> bool:
    return bool(KERNELS[name]["scheduler"] == "slurm")


def params(*names: str) -> list[Any]:
    """The same test body for each of these kernels."""
    return [
        pytest.param(name, marks=pytest.mark.cluster) if on_cluster(name) else name
        for name in names
    ]


EVERY_CARRIER = params("t-local", "t-ssh", "t-srun")


def write_spec(
    name: str,
    config: dict[str, Any],
    argv: list[str] | None = None,
    **more: Any,
) -> None:
    """Write a kernelspec into $JUPYTER_DATA_DIR."""
    directory = Path(os.environ["JUPYTER_DATA_DIR"]) / "kernels" / name
    directory.mkdir(parents=True, exist_ok=True)
    metadata = {
        "debugger": True,
        "kernel_provisioner": {"provisioner_name": "remote-kernels", "config": config},
        **more.pop("metadata", {}),
    }
    spec = {
        "argv": argv or ARGV,
        "display_name": name,
        "language": "python",
        "metadata": metadata,
        **more,
    }
    (directory / "kernel.json").write_text(json.dumps(spec))
