"""What is remembered to save time: small files whose loss costs a second or two."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remote_kernels import harmless, shapes
from remote_kernels.relay import private

from .files import read_private, write_private

log = harmless.logger(__name__)

CARRIER = 3600.0  # seconds


class Cache:
    """One of these files.

    Parameters
    ----------
    base:
        A directory of the user's.
    *names:
        Those of the directories in it, and the file's own.
    """

    def __init__(self, base: Path, *names: str) -> None:
        self._base, self._names = base, names
        self._path = base.joinpath(*names)

    def load(self) -> dict[str, Any]:
        """Return what is in it; nothing if that cannot be read."""
        try:
            return shapes.shaped(self._path.name, read_private(self._path))
        except (OSError, ValueError):
            return {}

    def keep(self, body: dict[str, Any]) -> None:
        """Write it anew, if that can be."""
        try:
            private.make(str(self._base), *self._names[:-1])
            write_private(self._path, json.dumps(body))
        except OSError as exc:
            log.info("cannot remember it in %s: %s", self._path, exc)


class CarrierCache(Cache):
    """Which carrier worked, per kind of node, so that the next kernel tries it first.

    It is forgotten after an hour, so that one bad moment of the better carrier does
    not last.

    Parameters
    ----------
    base:
        The state directory.
    """

    def __init__(self, base: Path) -> None:
        super().__init__(base, "carriers.json")

    def carrier(self, kind: str) -> str | None:
        """Return the carrier's name, or None when none is known."""
        known = self.load().get(kind)
        if known is None or not 0 <= time.time() - known["time"] <= CARRIER:
            return None
        return str(known["carrier"])

    def remember(self, kind: str, carrier: str) -> None:
        """Keep which carrier worked."""
        if self.carrier(kind) != carrier:
            found = {"carrier": carrier, "time": time.time()}
            self.keep({**self.load(), kind: found})


class KernelInfoCache(Cache):
    """What the kernel of one command said of itself at an earlier start.

    Parameters
    ----------
    base:
        The state directory.
    command:
        With what is around it: a container or a module may hide another kernel
        behind the same words.
    """

    def __init__(self, base: Path, command: Sequence[str]) -> None:
        name = hashlib.sha256(json.dumps(list(command)).encode()).hexdigest()[:32]
        super().__init__(base, "kernel_info", f"{name}.json")

    def recall(self) -> dict[str, Any] | None:
        """Return the kernel_info_reply of an earlier start, if there was one."""
        return self.load() or None

    def remember(self, info: dict[str, Any]) -> None:
        """Keep what a kernel said of itself."""
        if self.recall() != info:
            self.keep(info)
