"""What kernels said of themselves at earlier starts (kernel_info_reply), by command.

    STATE_DIR/kernel_info/HASH.json

Losing it costs a probe. Called by startup.py and supervision.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remote_kernels import harmless
from remote_kernels.config import Settings
from remote_kernels.records import read_private, write_private
from remote_kernels.relay import private

log = harmless.logger(__name__)


class KernelInfoCache:
    """The memory for one kernel's command.

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
        self._path = base / "kernel_info" / f"{name}.json"

    @classmethod
    def of(cls, base: Path, settings: Settings, argv: Sequence[str]) -> KernelInfoCache:
        """Return the memory for a kernel that is started so."""
        return cls(base, [*settings.prologue, *argv])

    def recall(self) -> dict[str, Any] | None:
        """Return the kernel_info_reply of an earlier start, if there was one."""
        try:
            return read_private(self._path) or None
        except (OSError, ValueError):
            return None

    def remember(self, info: dict[str, Any]) -> None:
        """Keep what a kernel said of itself."""
        if self.recall() == info:
            return
        try:
            base, kind = self._path.parent.parent, self._path.parent.name
            private.make(str(base), kind)
            write_private(self._path, json.dumps(info))
        except OSError as exc:
            log.info("cannot remember what the kernel said of itself: %s", exc)
