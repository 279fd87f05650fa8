"""A kernel's heartbeat, answered by the kernel itself: a DEALER at the end of a channel.

Not a socket of libzmq's, which would need four descriptors for each kernel. A beat that
meets no kernel is lost, as clients send another one. Made by front.py.
"""

from __future__ import annotations

from collections.abc import Callable

from remote_kernels import harmless
from remote_kernels.relay.channel import Channel
from remote_kernels.wire import zmtp
from remote_kernels.wire.frames import ProtocolError

log = harmless.logger(__name__)


class _Dealer:
    """A DEALER at this end of a channel to the kernel's socket."""

    def __init__(self, channel: Channel, take: Callable[[list[bytes]], None]) -> None:
        self._channel = channel
        self._take = take
        self._peer = zmtp.Peer("DEALER")
        self._early: list[bytes] = []  # until the kernel has greeted us
        self.is_closed = False
        channel.join(self)
        channel.send(self._peer.greeting)

    def send(self, parts: list[bytes]) -> None:
        """To the kernel."""
        if self._peer.ready:
            self._channel.send(zmtp.message(parts))  # beats are few: it is never full
        else:
            self._early.append(zmtp.message(parts))

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._channel.close()

    # Called by the channel

    def receive(self, data: bytes) -> None:
        try:
            answer, pieces = self._peer.feed(data)
        except ProtocolError as exc:
            log.debug("= a kernel's heartbeat: %s", exc)
            self.close()
            return
        if answer:
            self._channel.send(answer)
        if self._peer.ready:
            early, self._early = self._early, []
            for message in early:
                self._channel.send(message)
        for piece in pieces:
            self._take(piece.parts)

    def finished(self) -> None:
        self.close()

    def drained(self) -> None:
        pass

    def closed(self, reason: str) -> None:
        self.is_closed = True


class Heartbeat:
    """Passes beats from the front's socket to the kernel's, and back.

    Parameters
    ----------
    take:
        Called with what the kernel says, for the client.
    channel:
        Makes a channel to the kernel's socket; None while there is no way to it.
    """

    def __init__(
        self,
        take: Callable[[list[bytes]], None],
        channel: Callable[[], Channel | None],
    ) -> None:
        self._take = take
        self._make = channel
        self._dealer: _Dealer | None = None

    def send(self, parts: list[bytes]) -> None:
        """Send a beat to the kernel; after its restart over a new channel."""
        if self._dealer is None or self._dealer.is_closed:
            channel = self._make()
            if channel is None:
                return
            self._dealer = _Dealer(channel, self._take)
        self._dealer.send(parts)

    def close(self) -> None:
        """Let go of the kernel."""
        if self._dealer is not None:
            self._dealer.close()
