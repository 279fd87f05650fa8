"""A channel whose local end is a socket."""

from __future__ import annotations

import asyncio

from .channel import Channel


class SocketChannel(asyncio.Protocol):
    """Joins a local socket to a channel: the protocol of the one, the end of the other.

    Parameters
    ----------
    channel : Channel
        Opened when the socket is there, if it is not open yet.
    high_water : int or None
        Bytes queued for the other end above which the socket is not read. The
        session's own limit if not given.
    """

    def __init__(self, channel: Channel, high_water: int | None = None) -> None:
        self.channel = channel
        self._high_water = high_water
        self._ended = False  # the socket sends no more

    # Called by the socket's transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the channel, which opens it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.channel.join(self)
        if self._high_water is not None:
            self.channel.limit(self._high_water)

    def data_received(self, data: bytes) -> None:
        """Send what the socket says; read no more of it while the queue is full."""
        if self.channel.send(data):
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Let the other end wait for the socket."""
        self.channel.pause()

    def resume_writing(self) -> None:
        """Let the other end go on."""
        self.channel.resume()

    def eof_received(self) -> bool:
        """Finish the channel; keep the socket while the other end may send."""
        self._ended = True
        self.channel.finish()
        # Half-close: what comes from the other end is still wanted, if anything does.
        return not self.channel.has_finished

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the channel."""
        self.channel.close("" if exc is None else str(exc))

    # Called by the channel

    def receive(self, data: bytes) -> None:
        """Write to the socket what the other end sent."""
        self._transport.write(data)

    def finished(self) -> None:
        """Pass the half-close on, to a socket that knows one."""
        if self._ended:
            self._transport.close()  # asyncio (3.11) keeps it when both ends have ended
        elif self._transport.can_write_eof():
            self._transport.write_eof()

    def drained(self) -> None:
        """Read on from the socket."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def closed(self, reason: str) -> None:
        """Close the socket; what came before the other end's FIN is still written."""
        if self.channel.has_finished and not self.channel.session_is_over:
            self._transport.close()
        else:
            self._transport.abort()
