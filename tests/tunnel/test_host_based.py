"""tunnel.carriers.host_based: whether ssh(1) would let the host vouch for its users."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from remote_kernels.tunnel.carriers.host_based import enabled


@pytest.mark.parametrize(
    ("config", "is_so"),
    [
        ("HostbasedAuthentication yes\nEnableSSHKeysign yes\n", True),
        ("HostbasedAuthentication yes\n", False),
        ("EnableSSHKeysign yes\n", False),
        ("Host c2\nHostbasedAuthentication yes\nHost *\nEnableSSHKeysign yes\n", False),
        ("", False),
    ],
)
def test_what_ssh_goes_by(tmp_path: Path, config: str, is_so: bool) -> None:
    """Both options, for this host."""
    file = tmp_path / "config"
    file.write_text(config)
    said = subprocess.run(
        ["ssh", "-G", "-F", str(file), "c1"], capture_output=True, text=True, check=True
    ).stdout

    assert is_so == enabled(said)
