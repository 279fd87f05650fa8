"""A kernel's heartbeat, answered by the kernel itself: a DEALER at the end of a channel.

Not a socket of libzmq's, which would need four descriptors for each kernel. A beat that
meets no kernel is lost, as clients send another one. Made by proxy.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from remote_kernels import harmless
from remote_kernels.relay.forward import Stream
from remote_kernels.wire import zmtp
from remote_kernels.wire.frames import ProtocolError

from .listener import Listener

log = harmless.logger(__name__)


class _Channel(asyncio.Transport):
    """The local end of a stream, which is not a socket."""

    def __init__(self, stream: Stream, take: Callable[[list[bytes]], None]) -> None:
        super().__init__()
        self._stream = stream
        self._take = take
        self._peer = zmtp.Peer("DEALER")
        self._early: list[bytes] = []  # until the kernel has greeted us
        self._closed = False
        stream.connection_made(self)
        self._say(self._peer.greeting)

    def send(self, parts: list[bytes]) -> None:
        """To the kernel."""
        if self._peer.ready:
            self._say(zmtp.message(parts))
        else:
            self._early.append(zmtp.message(parts))

    def _say(self, data: bytes) -> None:
        if not self._closed:
            self._stream.data_received(data)

    # The stream calls these

    def write(self, data: Any) -> None:
        try:
            answer, pieces = self._peer.feed(bytes(data))
        except ProtocolError as exc:
            log.debug("= a kernel's heartbeat: %s", exc)
            self.close()
            return
        if answer:
            self._say(answer)
        if self._peer.ready:
            early, self._early = self._early, []
            for message in early:
                self._say(message)
        for piece in pieces:
            self._take(piece.parts)

    def pause_reading(self) -> None:
        pass  # beats are few

    def resume_reading(self) -> None:
        pass

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
        self.close()


class Heartbeat:
    """From the front's socket to the kernel's, and back.

    Parameters
    ----------
    front:
        Where clients' beats come from.
    stream:
        Makes a stream to the kernel's socket; None while there is no way to it.
    """

    def __init__(self, front: Listener, stream: Callable[[], Stream | None]) -> None:
        self._front = front
        self._stream = stream
        self._channel: _Channel | None = None

    def send(self, parts: list[bytes]) -> None:
        """To the kernel; after its restart over a new channel."""
        if self._channel is None or self._channel.is_closing():
            stream = self._stream()
            if stream is None:
                return
            self._channel = _Channel(stream, self._front.send)
        self._channel.send(parts)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
