"""Pack what runs in the job into one zipped application, agent.pyz.

The package list below is the agent's declaration of dependencies: nothing else of
ours is there in the job. Called by kernel/.
"""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path

PARTS = ("wire", "relay", "agent")

MAIN = """\
import sys
from remote_kernels.agent.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@functools.cache
def agent_pyz() -> bytes:
    """The zip file's bytes; the same bytes for the same code."""
    root = Path(__file__).parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as pyz:
        _add(pyz, "__main__.py", MAIN)
        _add(pyz, "remote_kernels/__init__.py", (root / "__init__.py").read_text())
        for part in PARTS:
            for file in sorted((root / part).glob("*.py")):
                _add(pyz, f"remote_kernels/{part}/{file.name}", file.read_text())
    return buffer.getvalue()


def _add(pyz: zipfile.ZipFile, name: str, text: str) -> None:
    info = zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    pyz.writestr(info, text)
