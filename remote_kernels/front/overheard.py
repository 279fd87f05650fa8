"""A large message that is published piece by piece, and kept as a whole besides."""

from __future__ import annotations

from collections.abc import Callable

from .interfaces import LargeMessage


class Overheard:
    """Publishes as another does, and hands the whole on when it is there.

    Parameters
    ----------
    publishes:
        Where the pieces go.
    parts:
        The frames, and the beginning of the last one.
    left:
        Bytes of that which are to come.
    take:
        Called with all frames, once they are there.
    """

    def __init__(
        self,
        publishes: LargeMessage,
        parts: list[bytes],
        left: int,
        take: Callable[[list[bytes]], None],
    ) -> None:
        self._publishes = publishes
        self._before = parts[:-1]
        self._pieces = [parts[-1]]
        self._left = left
        self._take = take

    def write(self, data: bytes) -> None:
        """Publish the next bytes."""
        self._publishes.write(data)
        self._pieces.append(data)
        self._left -= len(data)
        if not self._left:
            self._take([*self._before, b"".join(self._pieces)])

    def abort(self) -> None:
        """Give the message up, because its rest will never come."""
        self._publishes.abort()
        self._pieces.clear()
