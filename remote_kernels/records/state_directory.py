"""A state directory, and what is in it: records, and what is beside them."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import platformdirs

from remote_kernels.errors import RecordError
from remote_kernels.relay import private

from .job_record import JobRecord
from .record import Record
from .trouble import tell_once

# What is in a state directory beside records, and what it is for.
_BESIDE = {
    "carriers.json": "which carriers worked",
    "kernel_info": "what kernels said of themselves",
    "allocations": "jobs that kernels share",
    "jobs": "jobs of your own",
}


def state_dir(configured: str | None) -> Path:
    """Return where records are: as configured, else the XDG state directory."""
    if configured:
        return Path(configured).expanduser()
    return platformdirs.user_state_path("remote_kernels")


def every_record(base: Path) -> list[Record]:
    """Return every record in a state directory."""
    return [Record(base, name) for name in names(base, "kernels")]


def every_job(base: Path) -> list[JobRecord]:
    """Return the record of every job of the user's own in a state directory."""
    return [JobRecord(base, name) for name in names(base, "jobs")]


def names(base: Path, kind: str) -> list[str]:
    """Return what is in a directory of the state directory, as far as it is ours.

    A name that is no text is nothing of ours.
    """
    try:
        with private.opened(str(base), kind) as directory:
            return sorted(filter(str.isprintable, os.listdir(directory)))  # noqa: PTH208
    except private.NotPrivateError as exc:
        tell_once(RecordError(str(exc)))
    except OSError:
        pass
    return []


def left(base: Path) -> list[str]:
    """Return what a state directory holds beside records, for people."""
    found = []
    for name, what in _BESIDE.items():
        path = base / name
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            found.append(f"{what} ({name})")
    return found


def forget(base: Path) -> None:
    """Remove a state directory without kernels, but for what is not ours in it."""
    (base / "carriers.json").unlink(missing_ok=True)
    shutil.rmtree(base / "kernel_info", ignore_errors=True)
    for path in (base / "kernels", base / "allocations", base / "jobs", base):
        with contextlib.suppress(OSError):
            path.rmdir()
