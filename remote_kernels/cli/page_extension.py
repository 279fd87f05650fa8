"""Whether JupyterLab and Notebook load our extension. Called by `doctor`.

What `jupyter labextension list` goes by is read here, as JupyterLab may be installed
for another Python than ours, or not at all.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_config_path, jupyter_path

from remote_kernels.cli.trial import WARNING, Problem

NAME = "@remote-kernels/ui"
_ENABLE = f"`jupyter labextension enable {NAME}`, and reload the page."


def found() -> str:
    """Return where it is. Raises Problem if pages of JupyterLab go without it."""
    folders = [Path(path, NAME) for path in jupyter_path("labextensions")]
    here = next((path for path in folders if (path / "package.json").is_file()), None)
    if here is None:
        text = f"{NAME} is not installed: kernels work, and pages do not show them"
        if not any(map(importlib.util.find_spec, ("jupyterlab", "notebook"))):
            return text
        advice = (
            "Wheels bring it, unless they were built without Node.js: see what `pip "
            "install -v --force-reinstall --no-deps remote-kernels` says."
        )
        raise Problem(text, advice, WARNING)
    version = _read(here / "package.json").get("version", "of unknown version")
    text = f"{NAME} {version} in {here}"
    for file in _page_configs():
        for name, why in _disabled(file):
            if name == NAME or name.startswith(f"{NAME}:"):
                if not why:
                    return text  # who is asked first has enabled it
                msg = f"{name} is disabled by {file}"
                raise Problem(msg, _ENABLE, WARNING)
    return text


def _page_configs() -> Iterator[Path]:
    """Yield the files that may disable it; what the first one says counts."""
    for path in jupyter_config_path():
        yield Path(path, "labconfig", "page_config.json")
    yield Path(sys.prefix, "share/jupyter/lab/settings/page_config.json")


def _disabled(file: Path) -> list[tuple[str, bool]]:
    """Return what a file says of extensions; it may be a list, as before JupyterLab 4."""
    said = _read(file).get("disabledExtensions", {})
    if isinstance(said, dict):
        return [(str(name), bool(value)) for name, value in said.items()]
    return [(str(name), True) for name in said] if isinstance(said, list) else []


def _read(file: Path) -> dict[str, Any]:
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
