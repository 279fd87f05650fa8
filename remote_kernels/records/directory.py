"""A private directory with JSON files: a kernel's record, or a shared job's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from remote_kernels import shapes
from remote_kernels.errors import RecordError
from remote_kernels.relay import private
from remote_kernels.worker import Worker

from . import logs
from .files import parsed
from .trouble import cannot


class Directory:
    """One of them.

    Parameters
    ----------
    base:
        The state directory.
    kind:
        The directory there that holds all of its kind.
    name:
        Its own.
    """

    def __init__(self, base: Path, kind: str, name: str) -> None:
        self.base = base
        self.below = kind, name  # as seen from the state directory
        self.path = base / kind / name
        self.job_log = self.path / "job.log"
        self._logs = [self.job_log]
        self.worker = Worker()  # for who must not wait for a stalled file server

    def make(self, *below: str) -> None:
        """Make a directory in it, and what is above. Raises OSError if unsafe."""
        private.make(str(self.base), *self.below, *below)
        if not is_default(self.base):
            private.check_above(str(self.base))

    def make_anew(self, what: str) -> None:
        """Make a directory that is not there, to keep `what` in. Raises RecordError."""
        above, name = self.below
        try:
            private.make(str(self.base), above)
            with private.opened(str(self.base), above) as directory:
                private.make_new(name, directory)
            self.make()
        except OSError as exc:
            tried = f"keep {what} in {self.path}"
            raise cannot(tried, self.base, exc) from exc

    def write(self, name: str, body: dict[str, Any]) -> None:
        """Write one of the JSON files. Raises RecordError."""
        self._put(private.write, name, json.dumps(body, indent=1))

    def append(self, name: str, body: dict[str, Any]) -> None:
        """Add an object to a file that is there. Raises RecordError."""
        self._put(private.append, name, f"\n{json.dumps(body)}")

    def _put(
        self, put: Callable[[int, str, bytes], None], name: str, text: str
    ) -> None:
        try:
            with self.opened(name) as (directory, file):
                put(directory, file, text.encode())
        except OSError as exc:
            what = f"write {self.path / name}"
            raise cannot(what, self.base, exc) from exc

    def read(self, name: str) -> dict[str, Any] | None:
        """Return what is in one of the JSON files; None when it is not there yet.

        With defaults for what is not in it. Raises RecordError, also where it has not
        the shape of such a file (see shapes.py).
        """
        data = self.data(name)
        try:
            return None if data is None else shapes.shaped(name, parsed(data))
        except ValueError as exc:
            msg = f"Cannot read {self.path / name}: {exc}"
            raise RecordError(msg) from exc

    def data(self, name: str) -> bytes | None:
        """Return what is in a file, or None when there is none. Raises RecordError."""
        try:
            with self.opened(name) as (directory, file):
                # Listing makes an NFS client look again (its attribute cache holds
                # 3-60 s).
                os.listdir(directory)  # noqa: PTH208
                return private.read(directory, file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            msg = f"Cannot read {self.path / name}: {exc}"
            raise RecordError(msg) from exc

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield the directory that a file is in, open, and its name there."""
        *below, file = name.split("/")
        with private.opened(str(self.base), *self.below, *below) as directory:
            yield directory, file

    def has(self, name: str) -> bool:
        """Return whether that file is there."""
        try:
            return name in os.listdir(self.path)  # noqa: PTH208 - see `read`
        except OSError:
            return False

    def logs(self) -> str:
        """Return the ends of its logs, for an error's text."""
        return logs.tails(self._logs)

    def remove(self) -> None:
        """Remove the directory, or whatever is there in its place."""
        with contextlib.suppress(OSError):
            if not stat.S_ISDIR(self.path.lstat().st_mode):
                self.path.unlink()
        for _ in range(5):  # the job, which is ending, may write to it meanwhile
            shutil.rmtree(self.path, ignore_errors=True)
            if not os.path.lexists(self.path):
                return


def is_default(base: Path) -> bool:
    """Return whether it is in the home directory, above which nobody has a say."""
    return base == Path.home() / ".local/state/remote_kernels"
