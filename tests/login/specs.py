"""The kernelspecs under test: one for each way to a kernel."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from testbed.layout import default_scheduler
from testbed.systems import named

ARGV = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]

BATCH = named(default_scheduler())
SCHEDULER = BATCH.scheduler
CONFIG: dict[str, Any] = {"scheduler": SCHEDULER, "time": "0:10:00"}
"""Of a kernel in a job."""

# Name: the kernelspec's config.
KERNELS: dict[str, dict[str, Any]] = {
    "t-local": {"scheduler": "local"},
    "t-local-tcp": {"scheduler": "local", "transport": "tcp"},
    "t-ssh": {**CONFIG, "carrier": "ssh"},
    "t-own": {**CONFIG, **BATCH.inside, "carrier": BATCH.carrier},
    "t-tcp": {**CONFIG, "transport": "tcp"},
    "t-curve": {**CONFIG, "transport": "tcp"},
}
METADATA = {"t-curve": {"supported_encryption": ["curve"]}}


def on_cluster(name: str) -> bool:
    return bool(KERNELS[name]["scheduler"] != "local")


def params(*names: str) -> list[Any]:
    """The same test body for each of these kernels."""
    return [
        pytest.param(name, marks=pytest.mark.cluster) if on_cluster(name) else name
        for name in names
    ]


EVERY_CARRIER = params("t-local", "t-ssh", "t-own")


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
