"""Pack what runs in the job into one zipped application, agent.pyz.

The package list below is the agent's declaration of dependencies: nothing else of
ours is there in the job. Called by kernel/.
"""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PARTS = ("wire", "relay", "agent")

MAIN = """\
import sys
from remote_kernels.agent.__main__ import main
sys.exit(main(sys.argv[1:]))
"""

# A cleaner of /tmp may have removed the directory, and another user made it anew. What
# is ours, in a directory of ours to which nobody else may write, stays ours.
# A line without "!", which csh might read.
_RUN = (
    "import os, runpy, sys; del sys.argv[0]; pyz = sys.argv[0]; "
    "stats = [os.lstat(path) for path in (os.path.dirname(pyz), pyz)]; "
    "ours = all(s.st_uid == os.geteuid() and s.st_mode & 0o22 == 0 for s in stats); "
    "ours or sys.exit(pyz + ' may be written by another user, so it is not run.'); "
    "runpy.run_path(pyz, run_name='__main__')"
)


def argv(agent: Mapping[str, Any], *rest: str) -> list[str]:
    """Return a command that runs agent.pyz on its node, if it is still ours there.

    Parameters
    ----------
    agent : mapping
        What the agent wrote of its node (agent.json).
    rest : str
        Which of its commands, with its arguments.
    """
    return [str(agent["python"]), "-I", "-S", "-c", _RUN, str(agent["pyz"]), *rest]


@functools.cache
def agent_pyz() -> bytes:
    """Return the zip file's bytes; the same bytes for the same code."""
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
