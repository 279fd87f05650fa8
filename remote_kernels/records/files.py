"""Files that are the user's alone, outside and inside of the state directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from remote_kernels.relay import private
from remote_kernels.wire import objects
from remote_kernels.wire.frames import ProtocolError


def write_for_user(path: Path, text: str) -> None:
    """Write a 0600 file where the user wants it. Raises OSError."""
    private.write_beside(str(path), text.encode())


def write_private(path: Path, text: str) -> None:
    """Write a 0600 file in a directory of ours alone. Raises OSError."""
    with private.opened(str(path.parent)) as directory:
        private.write(directory, path.name, text.encode())


def read_private(path: Path) -> dict[str, Any]:
    """Return what is in such a file. Raises OSError, ValueError."""
    with private.opened(str(path.parent)) as directory:
        return parsed(private.read(directory, path.name))


def parsed(data: bytes) -> dict[str, Any]:
    """Return the JSON object that such a file holds. Raises ValueError."""
    try:
        return objects.decode(data, "it", private.LARGEST)
    except ProtocolError as exc:
        raise ValueError(str(exc)) from exc
