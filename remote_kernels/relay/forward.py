"""Local sockets ⇄ channels of a session.

A `Stream` is one local socket joined to one channel; a `Mux` holds the streams of one
session. Both ends use both: the login end accepts local connections and opens
channels, the agent is asked for a channel and connects to the kernel's socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from remote_kernels.wire import control
from remote_kernels.wire.codes import Farewell
from remote_kernels.wire.frames import ProtocolError
from remote_kernels.wire.session import (
    Controlled,
    Data,
    Drained,
    Event,
    Finished,
    Opened,
    Reset,
    Session,
)

if TYPE_CHECKING:
    from .pump import Link

log = logging.getLogger(__name__)


class Connect(Protocol):
    """How the agent reaches what an OPEN names. Raises OSError."""

    def __call__(
        self, kernel: str, target: str, stream: Callable[[], Stream]
    ) -> Awaitable[object]: ...


class Stream(asyncio.Protocol):
    """One local socket joined to one channel.

    Parameters
    ----------
    mux:
        Where the channel's session is.
    channel:
        The channel's number, or None: opened when the local socket is there.
    kernel, target:
        What to ask for when opening.
    """

    def __init__(
        self, mux: Mux, channel: int | None = None, kernel: str = "", target: str = ""
    ) -> None:
        self._mux = mux
        self._channel = channel
        self._kernel = kernel
        self._target = target
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []  # arrived before the local socket was there
        self._paused = False
        self._unconsumed = 0
        self._finished = False
        self._ended = False  # the local end sends no more
        self._unwanted = False  # the other end wants no more from here
        self._over = False  # the channel is gone

    def limit(self, high_water: int) -> None:
        """Bytes queued for the other end above which the local end is paused."""
        if self._channel is not None:
            self._mux.session.limit(self._channel, high_water)

    # The local socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._mux.closed or self._over:
            transport.abort()
            return
        if self._channel is None and not self._unwanted:
            self._channel = self._mux.open(self, self._kernel, self._target)
        early, self._early = self._early, []
        for data in early:
            self.write(data)
        if self._finished:
            self.finished()
        if self._unwanted:
            transport.close()

    def data_received(self, data: bytes) -> None:
        assert self._channel is not None
        if self._mux.send(self._channel, data) and self._transport is not None:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._consume(0)

    def eof_received(self) -> bool:
        self._ended = True
        if self._channel is not None:
            self._mux.finish(self._channel)
        # Half-close: what comes from the other end is still wanted, if anything does.
        return not self._finished

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._channel is not None:
            self._mux.stream_closed(self._channel, "" if exc is None else str(exc))

    # The channel

    def write(self, data: bytes) -> None:
        if self._transport is None:
            self._early.append(data)  # bounded by the channel's credit
            return
        self._transport.write(data)
        self._consume(len(data))

    def _consume(self, count: int) -> None:
        self._unconsumed += count
        if not self._paused and self._unconsumed and self._channel is not None:
            count, self._unconsumed = self._unconsumed, 0
            self._mux.consumed(self._channel, count)

    def read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def finished(self) -> None:
        """The other end sends no more. ZMQ knows no half-close: it closes, too."""
        self._finished = True
        if self._transport is not None and self._ended:
            self._transport.close()  # asyncio (3.11) keeps it when both ends have ended
        elif self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def reset(self, reason: str) -> None:
        """The other end gave the channel up; what it sent before its end is written."""
        log.debug("= channel %s reset: %s", self._channel, reason)
        if not self._finished:
            self.abort()
            return
        self._channel, self._unwanted = None, True
        if self._transport is not None:
            self._transport.close()

    @property
    def session_goes_on(self) -> bool:
        """Whether another channel may be opened."""
        return not self._mux.closed

    def break_off(self, reason: str) -> None:
        """What comes on the channel makes no sense: no more of it, either way."""
        if self._channel is not None:
            self._mux.reset(self._channel, reason)
        self.abort()

    def abort(self) -> None:
        self._channel = None
        self._over = True
        if self._transport is not None:
            self._transport.abort()


class Mux:
    """The streams of one session.

    Parameters
    ----------
    session:
        The session; it outlives the links that carry it.
    on_control:
        Called with each control message.
    connect:
        How to reach what the other end opens a channel to; None refuses all.
    """

    def __init__(
        self,
        session: Session,
        on_control: Callable[[control.Message], None],
        connect: Connect | None = None,
    ) -> None:
        self.session = session
        self.link: Link | None = None
        self.closed = False
        self._on_control = on_control
        self._connect = connect
        self._streams: dict[int, Stream] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    def _changed(self) -> None:
        if self.link is not None:
            self.link.flush_soon()

    # Called by streams

    def open(self, stream: Stream, kernel: str, target: str) -> int:
        channel = self.session.open(kernel, target)
        self._streams[channel] = stream
        self._changed()
        return channel

    def send(self, channel: int, data: bytes) -> bool:
        """Queue data; returns whether to stop reading for now."""
        self.session.send(channel, data)
        self._changed()
        return self.session.is_full(channel)

    def finish(self, channel: int) -> None:
        self.session.finish(channel)
        self._changed()

    def consumed(self, channel: int, count: int) -> None:
        self.session.consumed(channel, count)
        self._changed()

    def stream_closed(self, channel: int, broken: str = "") -> None:
        """The local socket is gone: data for it is dropped from now on.

        `broken`: why, if it did not end by itself; then the other end is told to stop.
        """
        self._streams.pop(channel, None)
        if broken:
            self.session.abandon(channel, broken)
            self._changed()
        else:
            self.finish(channel)

    def reset(self, channel: int, reason: str) -> None:
        """Give the channel up: what is queued for it is dropped."""
        self._streams.pop(channel, None)
        self.session.reset(channel, reason)
        self._changed()

    # Called by whoever owns the session

    def control(self, message: control.Message) -> None:
        self.session.control(message)
        self._changed()

    def close(self, code: Farewell, detail: str = "") -> None:
        """End the session: all local sockets are closed."""
        self.closed = True
        if self.link is not None:
            self.link.say_goodbye(code, detail)
        for task in self._connecting:
            task.cancel()
        for stream in list(self._streams.values()):
            stream.abort()
        self._streams.clear()

    # Called by the link

    def handle(self, event: Event) -> None:
        if isinstance(event, Data):
            self._data(event)
        elif isinstance(event, Controlled):
            self._on_control(event.message)
        elif isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, Finished):
            stream = self._streams.get(event.channel)
            if stream is not None:
                stream.finished()
        elif isinstance(event, Reset):
            stream = self._streams.pop(event.channel, None)
            if stream is not None:
                stream.reset(event.reason)
        elif isinstance(event, Drained):
            stream = self._streams.get(event.channel)
            if stream is not None:
                stream.read_on()

    def _data(self, event: Data) -> None:
        stream = self._streams.get(event.channel)
        if stream is not None:
            stream.write(event.data)
        else:  # the local socket is gone; keep the channel's credit flowing
            self.consumed(event.channel, len(event.data))

    def _opened(self, event: Opened) -> None:
        stream = Stream(self, event.channel)
        self._streams[event.channel] = stream
        task = asyncio.ensure_future(self._reach(event, stream))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _reach(self, event: Opened, stream: Stream) -> None:
        try:
            if self._connect is None:
                msg = "this end opens no sockets"
                raise OSError(msg)
            await self._connect(event.kernel, event.target, lambda: stream)
        except (OSError, ValueError, ProtocolError) as exc:  # ValueError: of a NUL
            self.reset(event.channel, str(exc))
