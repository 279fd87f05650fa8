"""The extension of ui/, as the wheel has installed it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(sys.prefix) / "share/jupyter/labextensions/@remote-kernels/ui"
MOST = 150_000  # bytes: a page loads them all

pytestmark = pytest.mark.skipif(
    os.environ.get("REMOTE_KERNELS_UI") == "no",
    reason="REMOTE_KERNELS_UI=no: the wheel was built without it",
)


def test_lab_has_it_enabled(tmp_path: Path) -> None:
    """`jupyter labextension list` shows it with our version, and who installed it."""
    import remote_kernels

    listed = subprocess.run(
        [sys.executable, "-m", "jupyterlab.labextensions", "list"],
        env={**os.environ, "HOME": str(tmp_path), "JUPYTER_NO_CONFIG": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    said = re.sub(r"\x1b\[\d+m", "", listed.stdout + listed.stderr)
    version = remote_kernels.__version__
    expected = f"@remote-kernels/ui v{version} enabled OK (python, remote-kernels)"
    assert expected in said


def test_all_that_a_page_loads_is_small() -> None:
    """Everything that Lab has, it shares; none of it is bundled again."""
    assets = [*(HERE / "static").glob("*.js")]

    assert assets
    assert sum(asset.stat().st_size for asset in assets) < MOST


def test_each_settings_schema_is_of_a_plugin() -> None:
    """A plugin's settings are in schemas/ by the name behind the colon of its ID."""
    code = "".join(path.read_text() for path in (HERE / "static").glob("*.js"))
    name = json.loads((HERE / "package.json").read_text())["name"]
    schemas = [*(HERE / "schemas" / name).glob("*.json")]

    assert schemas
    for schema in schemas:
        assert f"{name}:{schema.stem}" in code
