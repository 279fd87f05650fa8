"""Drive one session over one pipe until the pipe breaks.

`Link` is an `asyncio.Protocol`: anything that offers a transport can carry a session
(a socket, a process's standard streams, an SSH channel). A link lives as long as its
pipe; the session and its mux live on and get the next link. Made by tunnel.tunnel at
the login end and by agent.endpoint in the job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from remote_kernels.wire.codes import Farewell
from remote_kernels.wire.events import Goodbye
from remote_kernels.wire.frames import LocalProtocolError, ProtocolError
from remote_kernels.wire.hello import Hello

from .mux import Mux

log = logging.getLogger(__name__)

HELLO_TIMEOUT = 10.0  # seconds
DEAD_AFTER = 15.0  # seconds of silence, after which the pipe is dead
PINGS = 2  # in that time: one in each half of it
ACK_DELAY = 0.02  # seconds
TICK = 0.01  # seconds, between two looks at the silence
BATCH = 256 * 1024  # bytes handed to the transport at once


class LinkLost(Exception):
    """The pipe is gone. The text says why; `farewell`: the session is over, too."""

    def __init__(self, reason: str, farewell: Farewell | None = None) -> None:
        super().__init__(reason)
        self.farewell = farewell


class Link(asyncio.Protocol):
    """One pipe.

    Parameters
    ----------
    hello : Hello
        Our part of the hello.
    attach : callable
        Called once the hello is done; returns the mux that this link serves.
    dead_after : float
        Seconds of silence after which the pipe is given up.
    hello_within : float
        Seconds that the other end has to answer at first.

    `ready` is done when frames may flow (or with the reason why not); `lost` is done,
    with the reason, when the pipe is gone. Neither is ever cancelled by us.
    """

    def __init__(
        self,
        hello: Hello,
        attach: Callable[[], Mux],
        *,
        dead_after: float = DEAD_AFTER,
        hello_within: float = HELLO_TIMEOUT,
    ) -> None:
        self._hello = hello
        self._hello_within = hello_within
        self._attach = attach
        self._ping_after = dead_after / PINGS
        self._dead_after = dead_after
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[LinkLost] = self._loop.create_future()
        # The transport is gone, all that was written has left.
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._mux: Mux | None = None
        self._paused = False
        self._flushing = False
        self._heard = self._loop.time()
        self._watch: asyncio.TimerHandle | None = None
        self._ack: asyncio.TimerHandle | None = None

    # The transport calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first part of the hello."""
        self._transport = cast(asyncio.Transport, transport)  # or what is like one
        self._transport.set_write_buffer_limits(high=BATCH)
        self._transport.write(self._hello.start())
        self._watch = self._loop.call_later(self._hello_within, self._hello_late)

    def data_received(self, data: bytes) -> None:
        """Take the hello, then frames; what breaks the rules closes the pipe."""
        if self.lost.done():
            return  # of a command's two pipes, close() closes only the input
        self._heard = self._loop.time()
        try:
            if self._mux is None:
                data = self._greet(data)
            if self._mux is not None and data:
                self._take(self._mux, data)
        except LocalProtocolError:
            raise  # a fault of ours: asyncio says where, and closes the pipe
        except ProtocolError as exc:
            self.close(str(exc), cause=exc)

    def eof_received(self) -> bool:
        """Close, as the other end has."""
        self.close("the other end closed the pipe")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the pipe is gone."""
        self.closed.set_result(None)
        self.close(f"the pipe broke: {exc}" if exc else "the pipe was closed")

    def pause_writing(self) -> None:
        """Send no more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send on."""
        self._paused = False
        self.flush()

    # Hello

    def _greet(self, data: bytes) -> bytes:
        """Feed the hello; returns what came behind it."""
        answer = self._hello.receive(data)
        if answer:
            self._answer(answer)
        if not self._hello.done:
            return b""
        self._mux = self._attach()
        if self._mux.link is not None:
            self._mux.link.close("a new pipe took its place")
        self._mux.session.connected(self._hello.peer_received)
        self._mux.link = self
        self._schedule_watch(self._ping_after)
        if not self.ready.done():
            self.ready.set_result(None)
        self.flush()
        return self._hello.rest

    def _answer(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)

    def _hello_late(self) -> None:
        said = getattr(self._hello, "banner", b"")
        heard = f"; it said {said!r}" if said else ""
        self.close(f"no hello within {self._hello_within:g} s{heard}")

    # Frames

    def _take(self, mux: Mux, data: bytes) -> None:
        for event in mux.session.receive(data):
            if isinstance(event, Goodbye):
                said = event.detail or event.code
                self.close(f"the other end said goodbye: {said}", farewell=event.code)
                mux.on_goodbye()
                return
            mux.handle(event)
        if self._ack is None and mux.session.ack_pending:
            self._ack = self._loop.call_later(ACK_DELAY, self._send_ack)
        self.flush_soon()

    def flush_soon(self) -> None:
        """Send what the session has, once for all that happens in this turn."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what the session has now."""
        self._flushing = False
        mux, transport = self._mux, self._transport
        while mux is not None and transport is not None and not self._paused:
            if transport.is_closing():
                return
            data, events = mux.session.data_to_send(BATCH)
            if not data:
                return
            transport.write(data)
            for event in events:
                mux.handle(event)

    def _send_ack(self) -> None:
        self._ack = None
        if self._mux is not None and self._mux.session.ack_pending:
            self._mux.session.ack()
            self.flush()

    # Silence

    @property
    def silence(self) -> float:
        """Seconds since anything was heard."""
        return self._loop.time() - self._heard

    def _schedule_watch(self, seconds: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self._loop.call_later(seconds, self._check_silence)

    def _check_silence(self) -> None:
        silent = self.silence
        if silent >= self._dead_after:
            self.close(f"nothing heard for {silent:.0f} s")
            if self._transport is not None:
                self._transport.abort()  # nobody takes what is still buffered
            return
        left = self._ping_after - silent
        if left <= 0:
            if self._mux is not None:
                self._mux.session.ping()
                self.flush()
            left = min(self._ping_after, self._dead_after - silent)
        self._schedule_watch(max(left, TICK))  # a timer may be early by its rounding

    # The end

    def say_goodbye(self, code: Farewell, detail: str) -> None:
        """Close on purpose: the other end does not wait for this session."""
        if self._mux is not None:
            self._mux.session.goodbye(code, detail)
            self.flush()
        self.close(detail or str(code))

    def close(
        self,
        reason: str,
        *,
        farewell: Farewell | None = None,
        cause: Exception | None = None,
    ) -> None:
        """Close the pipe; what was handed to the transport still goes out."""
        for timer in (self._watch, self._ack):
            if timer is not None:
                timer.cancel()
        mux, self._mux = self._mux, None
        if mux is not None and mux.link is self:
            mux.link = None
        if self._transport is not None:
            self._transport.close()
        lost = LinkLost(reason, farewell)
        lost.__cause__ = cause
        if not self.ready.done():
            self.ready.set_exception(lost)
            self.ready.exception()  # seen: whoever awaits it gets it all the same
        if not self.lost.done():
            log.debug("= link lost: %s", reason)
            self.lost.set_result(lost)
