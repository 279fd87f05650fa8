"""Which carrier worked, so that the next kernel tries it first."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from remote_kernels import harmless, shapes

from .files import read_private, write_private

log = harmless.logger(__name__)

CARRIER = 3600.0  # seconds


class CarrierCache:
    """Which carrier worked, per kind of node, in one small file.

    Losing it costs only a second or two. It is forgotten after an hour, so that one bad
    moment of the better carrier does not last.
    """

    def __init__(self, base: Path) -> None:
        self._path = base / "carriers.json"

    def carrier(self, kind: str) -> str | None:
        """Return the carrier's name, or None when none is known."""
        known = self._load().get(kind)
        if known is None or not 0 <= time.time() - known["time"] <= CARRIER:
            return None
        return str(known["carrier"])

    def remember(self, kind: str, carrier: str) -> None:
        """Keep which carrier worked."""
        if self.carrier(kind) == carrier:
            return
        known = {**self._load(), kind: {"carrier": carrier, "time": time.time()}}
        try:
            write_private(self._path, json.dumps(known))
        except OSError as exc:
            log.info("cannot remember the carrier: %s", exc)

    def _load(self) -> dict[str, Any]:
        try:
            return shapes.shaped("carriers.json", read_private(self._path))
        except (OSError, ValueError):
            return {}
