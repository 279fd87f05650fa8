"""What a program loads of ours before it starts one of our kernels."""

from __future__ import annotations

import subprocess
import sys

OURS = {"config", "front", "kernel", "relay", "scheduler", "tunnel", "wire"}
OTHERS = {"asyncssh", "click", "jupyter_server", "platformdirs", "rich", "yaml"}


def loaded(first: str, then: str) -> set[str]:
    """The modules that `then` loads in a new interpreter, beyond those of `first`."""
    code = (
        f"import sys, {first}; before = set(sys.modules); import {then}; "
        "print(*set(sys.modules) - before)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    return set(said.stdout.split())


def test_the_provisioner_loads_what_it_starts_with_the_first_kernel() -> None:
    """Who has our kernelspecs, and starts other kernels, does not wait for ours."""
    found = loaded("jupyter_client", "remote_kernels.jupyter.provisioner")

    assert set() == found & (OTHERS | {f"remote_kernels.{part}" for part in OURS})
