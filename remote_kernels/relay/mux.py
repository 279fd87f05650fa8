"""The channels of one session, and what its events mean to them.

Both ends use it: the login end opens channels, the agent is asked for them and
connects each to what it names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from remote_kernels.wire import control, events
from remote_kernels.wire.codes import Farewell
from remote_kernels.wire.frames import ProtocolError
from remote_kernels.wire.session import Session

from .channel import Channel

if TYPE_CHECKING:
    from .link import Link

# How the agent reaches what an OPEN names (kernel, target): it joins the local end to the
# channel, or raises OSError.
Connect = Callable[[str, str, Channel], Awaitable[object]]


class Mux:
    """The channels of one session.

    Parameters
    ----------
    session : Session
        It outlives the links that carry it.
    on_control : Callable
        Called with each control message.
    connect : Connect or None
        How to reach what the other end opens a channel to; None refuses all.
    on_goodbye : Callable
        Called when the other end has said that it does not come back.

    Attributes
    ----------
    link : Link or None
        What carries the session now.
    closed : bool
        Whether the session is over.
    channels : dict of int to Channel
        Those that have a local end, or will.
    """

    def __init__(
        self,
        session: Session,
        on_control: Callable[[control.Message], None],
        connect: Connect | None = None,
        on_goodbye: Callable[[], None] = lambda: None,
    ) -> None:
        self.session = session
        self.link: Link | None = None
        self.closed = False
        self.channels: dict[int, Channel] = {}
        self._on_control = on_control
        self._connect = connect
        self.on_goodbye = on_goodbye
        self._connecting: set[asyncio.Task[None]] = set()

    def flush_soon(self) -> None:
        """Have what the session wants to send sent in this turn of the loop."""
        if self.link is not None:
            self.link.flush_soon()

    def channel(self, kernel: str, target: str) -> Channel:
        """Return a channel to `target` of `kernel`; joining a local end opens it."""
        return Channel(self, kernel, target)

    # Called by whoever owns the session

    def control(self, message: control.Message) -> None:
        """Send a control message."""
        self.session.control(message)
        self.flush_soon()

    def close(self, code: Farewell, detail: str = "") -> None:
        """End the session: all local ends are closed."""
        self.closed = True
        if self.link is not None:
            self.link.say_goodbye(code, detail)
        for task in self._connecting:
            task.cancel()
        channels = list(self.channels.values())
        self.channels.clear()
        for channel in channels:
            channel.closed("the session with the agent is over")

    # Called by the link

    def handle(self, event: events.Event) -> None:
        """Take an event of the session. Raises ProtocolError."""
        if isinstance(event, events.Data):
            channel = self.channels.get(event.channel)
            if channel is not None:
                channel.receive(event.data)
            else:  # the local end is gone; keep the channel's credit flowing
                self.session.consumed(event.channel, len(event.data))
        elif isinstance(event, events.Controlled):
            self._on_control(event.message)
        elif isinstance(event, events.Opened):
            self._opened(event)
        elif isinstance(event, (events.Finished, events.Reset, events.Drained)):
            channel = self.channels.get(event.channel)
            if channel is None:
                return
            if isinstance(event, events.Finished):
                channel.finished()
            elif isinstance(event, events.Drained):
                channel.drained()
            else:
                del self.channels[event.channel]
                channel.closed(event.reason)

    def _opened(self, event: events.Opened) -> None:
        channel = self.channels[event.channel] = Channel(self, number=event.channel)
        task = asyncio.ensure_future(self._reach(event, channel))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _reach(self, event: events.Opened, channel: Channel) -> None:
        try:
            if self._connect is None:
                msg = "this end opens no sockets"
                raise OSError(msg)
            await self._connect(event.kernel, event.target, channel)
        except (OSError, ValueError, ProtocolError) as exc:  # ValueError: of a NUL
            channel.reset(str(exc))
