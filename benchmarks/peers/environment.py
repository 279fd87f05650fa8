"""Environments for what is measured: made under /opt, which all hosts see, and removed.

Called by `run`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PYTHON = "/usr/bin/python3"  # the hosts' users cannot read another one
SECONDS = 600


class InstallError(Exception):
    """pip failed; the text ends with what it said."""


@contextmanager
def directory(kept: Path | None = None) -> Iterator[Path]:
    """A place for environments that the cluster's users can read."""
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    made = Path(tempfile.mkdtemp(prefix="remote_kernels-peers-", dir="/opt"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def install(path: Path, packages: Sequence[str]) -> None:
    """A virtual environment with these packages; one that is there is kept."""
    if (path / "installed").exists():
        return
    _call([PYTHON, "-m", "venv", str(path)])
    pip = [str(path / "bin/python"), "-m", "pip", "--disable-pip-version-check"]
    _call([*pip, "install", "--quiet", *packages])
    (path / "installed").touch()


def version(path: Path, distribution: str) -> str:
    """The version that is installed."""
    pip = [str(path / "bin/python"), "-m", "pip", "--disable-pip-version-check"]
    listed = json.loads(_call([*pip, "list", "--format=json"]))
    found = {entry["name"].replace("_", "-"): entry["version"] for entry in listed}
    return str(found[distribution])


def run_tool(path: Path, name: str, *arguments: str) -> None:
    """Run a program of the environment, as its owner."""
    _call([str(path / "bin" / name), *arguments])


def _call(command: list[str]) -> str:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=SECONDS
    )
    if done.returncode:
        text = f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}"
        raise InstallError(text)
    return done.stdout
