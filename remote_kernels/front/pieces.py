"""Messages that come in pieces, because their last frame is large.

A client that is there gets each piece as it comes; for one that is away, and for what
must be told first, the whole is put together.
"""

from __future__ import annotations

from collections.abc import Callable

from remote_kernels.wire.frames import ProtocolError
from remote_kernels.wire.messages import Message

from .interfaces import LargeMessage


class Pieces:
    """The pieces of one message after the other."""

    def __init__(self) -> None:
        self._published: LargeMessage | None = None
        self._gathered: list[Message] = []
        self._due = 0  # bytes to come

    def begin(self, piece: Message, publish: Callable[[], LargeMessage | None]) -> None:
        """Take the first piece of a message.

        Parameters
        ----------
        piece:
            The frames before the last one, and the beginning of that.
        publish:
            Publishes it, and returns where the rest goes; None to put the whole
            together.

        Raises
        ------
        ProtocolError
            It has no frame.
        """
        if not piece.parts:
            msg = "a large message begins without a frame"
            raise ProtocolError(msg)
        self.abort()
        self._published = publish()
        self._gathered = [piece] if self._published is None else []
        self._due = piece.left

    def add(self, piece: Message) -> Message | None:
        """Take the next piece of the message that has begun.

        Returns
        -------
        Message | None
            The whole, once all of it is there, if it was not published meanwhile.

        Raises
        ------
        ProtocolError
            It is not the piece that was due.
        """
        sizes = [len(part) for part in piece.parts]
        if sizes and [self._due - piece.left] != sizes:
            msg = f"a piece at {piece.offset} of {sizes} bytes, {self._due} were due"
            raise ProtocolError(msg)
        if not sizes:
            self.abort()
        elif self._published is not None:
            self._published.write(piece.parts[0])
        elif self._gathered:
            self._gathered.append(piece)
        self._due = piece.left
        return None if piece.left else self._end(piece.number)

    def _end(self, number: int) -> Message | None:
        gathered, self._gathered, self._published = self._gathered, [], None
        if not gathered:
            return None
        first, *later = gathered
        *before, last = first.parts
        last = b"".join([last, *(piece.parts[0] for piece in later)])
        return Message(number, [*before, last], first.lost)

    def abort(self) -> None:
        """Forget the message that has begun: its rest will not come."""
        if self._published is not None:
            self._published.abort()
        self._published, self._gathered, self._due = None, [], 0
