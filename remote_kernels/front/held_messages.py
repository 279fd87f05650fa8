"""The kernel's messages for clients that are away, until these are back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from remote_kernels.relay.spool import Spool

from .inbox import KernelMessage

DISK_BYTES = 512 * 1024 * 1024  # beyond that the oldest are dropped
HELD_TIME = 86400.0  # seconds; a laptop may sleep for a night, a closed tab for ever


class HeldMessages:
    """In the order in which they came.

    Parameters
    ----------
    directory:
        A private directory, for what does not stay in memory.
    on_forgotten:
        Called with each message whose client has been away for too long.
    """

    def __init__(
        self, directory: Path, on_forgotten: Callable[[KernelMessage], None]
    ) -> None:
        self._on_forgotten = on_forgotten
        self._spool = Spool(str(directory), DISK_BYTES)
        self._held: list[tuple[int, KernelMessage]] = []  # with places in the spool
        self._forgetter: asyncio.TimerHandle | None = None

    def add(self, message: KernelMessage, parts: list[bytes]) -> None:
        """Hold a message."""
        self._held.append((self._spool.append(parts), message))
        if self._forgetter is None:
            loop = asyncio.get_running_loop()
            self._forgetter = loop.call_later(HELD_TIME, self._forget)

    def take(self, session: str) -> Iterator[tuple[KernelMessage, list[bytes] | None]]:
        """Yield the messages of a client, in order; None for what was dropped."""
        held, self._held = self._held, []
        self._held = [entry for entry in held if entry[1].session != session]
        for place, message in held:
            if message.session == session:
                yield message, self._spool.read_one(place)
        if not self._held:
            self._spool.forget_all()

    def _forget(self) -> None:
        """Whoever has been away for so long does not come back."""
        self._forgetter = None
        held, self._held = self._held, []
        self._spool.forget_all()
        for _, message in held:
            self._on_forgotten(message)

    def move(self, directory: Path) -> None:
        """Hold in another directory what comes from now on."""
        self._spool.move(str(directory))

    def close(self) -> None:
        """Forget all of it here; the agent keeps it."""
        if self._forgetter is not None:
            self._forgetter.cancel()
        self._spool.close()
