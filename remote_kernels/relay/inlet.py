"""The local end of a channel that is no socket: whole messages, to and from our code.

`Stream` takes an `Inlet` for its transport. The agent's keeper and the login end's
front both stand behind one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from remote_kernels.wire.frames import ProtocolError
from remote_kernels.wire.messages import Decoder, Message

from .forward import Stream

log = logging.getLogger(__name__)

QUEUE_BYTES = 4 * 1024 * 1024  # handed to the channel at once; the rest waits here


class Inlet(asyncio.Transport):
    """One channel of messages.

    Parameters
    ----------
    stream:
        The channel's stream.
    on_message:
        Called with each message from the other end.
    on_room:
        Called when `paused` has turned false.
    on_broken:
        Called when the channel was given up, by either end, while the session goes on.
    """

    def __init__(
        self,
        stream: Stream,
        on_message: Callable[[Message], None],
        on_room: Callable[[], None] = lambda: None,
        on_broken: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._stream = stream
        self._on_message = on_message
        self._on_room = on_room
        self._on_broken = on_broken
        self._decoder = Decoder()
        self._closed = False
        self.paused = False  # the channel is full: send no more
        stream.connection_made(self)
        stream.limit(QUEUE_BYTES)

    def send(self, encoded: bytes) -> None:
        """To the other end; what `messages.encode` made."""
        if not self._closed:
            self._stream.data_received(encoded)

    def hold(self) -> None:
        """Whoever takes the messages is behind: give no more credit."""
        self._stream.pause_writing()

    def go_on(self) -> None:
        self._stream.resume_writing()

    # The stream calls these

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closed:
            return
        try:
            for message in self._decoder.feed(bytes(data)):
                self._handle(message)
        except ProtocolError as exc:
            log.warning("a channel of messages is given up: %s", exc)
            self._stream.break_off(str(exc))
            raise  # this end does not know what else came wrong

    def _handle(self, message: Message) -> None:
        """What is wrong with one message is no harm to those behind it."""
        try:
            self._on_message(message)
        except ProtocolError:
            raise
        except Exception:
            log.exception("message %d of a channel was not taken", message.number)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        if not self._closed:
            self._on_room()

    def is_closing(self) -> bool:
        return self._closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().call_soon(self._stream.connection_lost, None)

    def abort(self) -> None:
        if not self._closed and self._stream.session_goes_on:
            self.paused = True
            asyncio.get_running_loop().call_soon(self._on_broken)
        self.close()
