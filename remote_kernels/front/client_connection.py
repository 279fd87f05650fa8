"""One client's connection to a socket of the front, in ZMTP."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING

from remote_kernels import harmless
from remote_kernels.wire import zmtp
from remote_kernels.wire.frames import ProtocolError

if TYPE_CHECKING:
    from .listener import Listener

log = harmless.logger(__name__)

# Bytes queued for one client that does not read; what comes then is dropped for it,
# because one stopped client must not hold up the others. libzmq would count messages.
CLIENT_BYTES = 256 * 1024 * 1024


class ClientConnection(asyncio.Protocol):
    """A connection that a client has made.

    Parameters
    ----------
    hub:
        Told what becomes of it.
    kind:
        Our socket's type: "ROUTER" or "XPUB".
    """

    def __init__(self, hub: Listener, kind: str) -> None:
        self.identity = b""
        self.topics: tuple[bytes, ...] = ()
        self.transport: asyncio.Transport | None = None
        self._hub = hub
        self._peer = zmtp.Peer(kind)
        # What the socket does not take yet. The transport's own buffer would be copied
        # as a whole whenever it grows (before Python 3.12), so at most one is in that.
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # of those
        self._full = False

    # Called by the front

    @property
    def is_behind(self) -> bool:
        """Whether it reads so slowly that what comes now is dropped."""
        return self._bytes >= CLIENT_BYTES

    def send(self, data: bytes) -> None:
        """Send a message, unless the client is too far behind."""
        if not self._full and self.transport is not None:
            self.transport.write(data)
        elif not self.is_behind:
            self.write(data)

    def write(self, data: bytes) -> None:
        """Send bytes, however far the client is behind."""
        if self._full:
            self._waiting.append(data)
            self._bytes += len(data)
        elif self.transport is not None:
            self.transport.write(data)

    def subscribe(self, topic: bytes) -> None:
        """Note a subscription."""
        self.topics += (topic,)

    def unsubscribe(self, topic: bytes) -> None:
        """Undo one subscription to this topic, if there is one."""
        topics = [*self.topics]
        if topic in topics:
            topics.remove(topic)
        self.topics = (*topics,)

    def pause(self) -> None:
        """Take nothing from the client for now."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume(self) -> None:
        """Take what the client says again."""
        if self.transport is not None:
            self.transport.resume_reading()

    def close(self) -> None:
        """Close it after what is to be sent."""
        if self.transport is not None:
            self.transport.writelines(self._waiting)
            self._waiting.clear()
            self.transport.close()

    def abort(self) -> None:
        """Close it at once."""
        if self.transport is not None:
            self.transport.abort()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)
        self.write(self._peer.greeting)
        self._hub.connected(self)

    def data_received(self, data: bytes) -> None:
        """Take what the client says."""
        if self.transport is None:
            return
        try:
            answer, messages = self._peer.feed(data)
        except ProtocolError as exc:
            log.debug("= a client's connection: %s", exc)
            self.transport.abort()
            return
        if answer:
            self.write(answer)
        if self._peer.ready and not self.identity:
            # One of five bytes with a zero first is what libzmq makes up.
            self.identity = self._peer.identity or b"\0" + os.urandom(4)
            self._hub.identified(self)
        for message in messages:
            self._hub.received(self, message.parts)

    def pause_writing(self) -> None:
        """Keep here what is to be sent: the socket takes no more."""
        self._full = True

    def resume_writing(self) -> None:
        """Send what was kept here, as far as the socket takes it."""
        self._full = False
        while self._waiting and not self._full and self.transport is not None:
            data = self._waiting.popleft()
            self._bytes -= len(data)
            self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what the client has not got."""
        self.transport = None
        self._waiting.clear()
        self._full = False
        self._hub.disconnected(self)
