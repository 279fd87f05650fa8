"""Files and directories with exactly the modes that they are to have."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """A file with exactly this mode, whatever the umask is."""
    path.write_text(text)
    path.chmod(mode)


def directory(path: Path, mode: int = 0o755, owner: tuple[int, int] = (0, 0)) -> None:
    """A directory with this mode, of this user's and group's."""
    path.mkdir()
    os.chown(path, *owner)
    path.chmod(mode)
