"""A channel that carries whole messages to and from our own code.

The agent's message buffer and the login end's front both hold one end of such channels.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from remote_kernels.wire.frames import ProtocolError
from remote_kernels.wire.messages import Message, MessageDecoder

from .channel import Channel

log = logging.getLogger(__name__)

QUEUE_BYTES = 4 * 1024 * 1024  # handed to the channel at once; the rest waits here


class MessageChannel:
    """One channel of messages (`wire/SPEC.md`, section 5).

    Parameters
    ----------
    channel : Channel
        Opened here, if it is not open yet.
    on_message : Callable
        Called with each message from the other end.
    on_room : Callable
        Called when `full` has turned false.
    on_broken : Callable
        Called when either end gave the channel up while the session goes on.
    """

    def __init__(
        self,
        channel: Channel,
        on_message: Callable[[Message], None],
        on_room: Callable[[], None] = lambda: None,
        on_broken: Callable[[], None] = lambda: None,
    ) -> None:
        self._channel = channel
        self._on_message = on_message
        self._on_room = on_room
        self._on_broken = on_broken
        self._decoder = MessageDecoder()
        self.full = False  # send no more for now
        self.is_closed = False
        channel.join(self)
        channel.limit(QUEUE_BYTES)

    def send(self, encoded: bytes) -> None:
        """Send what `messages.encode` made; without effect once closed."""
        if self._channel.send(encoded):
            self.full = True

    def pause(self) -> None:
        """Stop the other end: whoever takes the messages is behind."""
        self._channel.pause()

    def resume(self) -> None:
        """Let the other end go on."""
        self._channel.resume()

    def close(self) -> None:
        """Send what is queued, then no more; drop what still arrives."""
        if not self.is_closed:
            self.is_closed = True
            self._channel.close()

    # Called by the channel

    def receive(self, data: bytes) -> None:
        """Decode. Raises ProtocolError, and then the channel is given up."""
        if self.is_closed:
            return
        try:
            for message in self._decoder.feed(data):
                self._handle(message)
        except ProtocolError as exc:
            log.warning("a channel of messages is given up: %s", exc)
            self._channel.reset(str(exc))
            self.closed(str(exc))
            raise  # this end does not know what else came wrong

    def _handle(self, message: Message) -> None:
        """Hand a message on; what is wrong with it is no harm to those behind it."""
        try:
            self._on_message(message)
        except ProtocolError:
            raise
        except Exception:
            log.exception("message %d of a channel was not taken", message.number)

    def finished(self) -> None:
        """Close, as the other end sends no more."""
        self.close()

    def drained(self) -> None:
        """Tell that there is room again."""
        self.full = False
        if not self.is_closed:
            self._on_room()

    def closed(self, reason: str) -> None:
        """Tell that the channel broke, unless the session is over."""
        if self.is_closed:
            return
        self.is_closed = True
        if not self._channel.session_is_over:
            self.full = True
            asyncio.get_running_loop().call_soon(self._on_broken)
