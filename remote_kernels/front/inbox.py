"""The kernel's messages as the agent hands them on: each once, whole, with its head.

On a new channel the agent first tells how far the messages were delivered by an earlier
server, then repeats all that it keeps. `Outbox` is the other half of the way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from remote_kernels.wire import objects
from remote_kernels.wire.frames import ProtocolError
from remote_kernels.wire.kernel_sockets import KEPT
from remote_kernels.wire.messages import Message

from . import jupyter_message
from .interfaces import LargeMessage
from .jupyter_message import Head, Header

FIRST_BYTES = 1024  # of a channel's first message


class KernelMessage(NamedTuple):
    """What is known of a message of the kernel; its frames are elsewhere."""

    target: str
    number: int
    parent: Header  # the header of the request that it answers
    cell: str  # that request's ID, and the session of the client that sent it
    session: str
    lost: int  # dropped right before it, and in no client's hands
    is_repeated: bool  # an earlier server has delivered it
    begins: bool = False  # the kernel begins here with that request


Take = Callable[[KernelMessage, Head | None, list[bytes]], None]
Begin = Callable[[KernelMessage, list[bytes], int], LargeMessage | None]


class Inbox:
    """What comes on the channels of one kernel.

    Parameters
    ----------
    take:
        Called with each message, its head (None: it cannot be read) and its frames.
    begin:
        Called when a large message begins: see Outbox.begin.
    on_published:
        Called when such a message, published piece by piece, has come to its end.
    """

    def __init__(
        self, take: Take, begin: Begin, on_published: Callable[[str, int], None]
    ) -> None:
        self._take = take
        self._begin = begin
        self._on_published = on_published
        self._pieces = Pieces()
        self._newest = dict.fromkeys(KEPT, 0)  # that came in this session
        self._delivered = dict.fromkeys(KEPT, 0)  # by an earlier server

    def reset(self) -> None:
        """Begin anew: the agent repeats all that it keeps."""
        self._pieces.abort()
        self._newest = dict.fromkeys(KEPT, 0)

    def interrupted(self, target: str) -> None:
        """Take note that the channel ended, perhaps within a message."""
        if target == "iopub":
            self._pieces.abort()

    def receive(self, target: str, message: Message) -> None:
        """Take a message from the agent. Raises ProtocolError."""
        number = message.number
        if number == 0:
            self._opened(target, message)
            return
        if number <= self._newest[target]:
            return  # on a channel that was opened again
        if message.offset or message.left:
            whole = self._gather(target, message)
            if whole is None:
                return
            message = whole
        head = jupyter_message.read(message.parts)
        about = self._describe(target, message, head)
        self._newest[target] = number
        self._take(about, head, message.parts)

    def _opened(self, target: str, message: Message) -> None:
        what = "a channel's first message"
        body = objects.decode(b"".join(message.parts), what, FIRST_BYTES)
        delivered = body.get("delivered")
        if not isinstance(delivered, int):
            msg = f"{what} is {body!r}"
            raise ProtocolError(msg)
        if not self._newest[target]:
            self._delivered[target] = delivered

    def _describe(
        self, target: str, message: Message, head: Head | None
    ) -> KernelMessage:
        number, delivered = message.number, self._delivered[target]
        lost = message.lost
        if lost:
            before = max(delivered, self._newest[target])
            lost = max(min(lost, number - 1 - before), 0)
        repeated = number <= delivered
        asker: tuple[Header, str, str] = {}, "", ""
        if head is not None:
            asker = head.parent, head.parent_id, head.parent_session
        return KernelMessage(target, number, *asker, lost, repeated)

    def _gather(self, target: str, piece: Message) -> Message | None:
        """Return a large message once it is whole, unless it was published meanwhile."""
        if piece.offset:
            whole = self._pieces.add(piece)
            if whole is None and not piece.left:
                self._newest[target] = piece.number
                self._on_published(target, piece.number)
            return whole
        about = self._describe(target, piece, jupyter_message.read(piece.parts))
        self._pieces.begin(piece, partial(self._begin, about, piece.parts, piece.left))
        return None


class Pieces:
    """The pieces of messages whose last frame is large: of one after the other.

    A client that is there gets each piece as it comes; for one that is away, and for
    what must be told first, the whole is put together.
    """

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
