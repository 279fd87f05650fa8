"""One channel of a session, and the local end that is joined to it.

A `Channel` is what the local end calls, a `ChannelHandler` is what the channel calls.
Adapters make a handler of a socket (`socket_channel.py`) and of a stream of whole
messages (`message_channel.py`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .mux import Mux

log = logging.getLogger(__name__)


class ChannelHandler(Protocol):
    """The local end of a channel: the calls that a `Channel` makes."""

    def receive(self, data: bytes) -> None:
        """Take what the other end sent.

        Returning gives credit back for it, unless the channel is paused by then.
        """

    def finished(self) -> None:
        """Learn that the other end sends no more; it may still receive."""

    def drained(self) -> None:
        """Learn that a channel whose `send` returned True takes more again."""

    def closed(self, reason: str) -> None:
        """Learn that the other end gave the channel up, or that the session is over.

        Never called for a channel that this end has closed or reset itself.
        """


class Channel:
    """One channel of a session.

    What arrives before `join` is kept; the channel's credit bounds it.

    Parameters
    ----------
    mux : Mux
        What holds the session's channels.
    kernel, target : str
        What to ask for when the channel is opened, which `join` does.
    number : int
        The channel's number, if the other end has opened it; 0 else.
    """

    def __init__(
        self, mux: Mux, kernel: str = "", target: str = "", number: int = 0
    ) -> None:
        self.number = number  # 0: not open yet, or no more; the session knows no such
        self.has_finished = False  # the other end sends no more
        self._mux = mux
        self._kernel = kernel
        self._target = target
        self._end: ChannelHandler | None = None
        self._early: list[bytes] = []
        self._paused = False
        self._unconsumed = 0
        self._closed: str | None = None  # why the other end gave it up

    def __repr__(self) -> str:
        return f"<Channel {self.number} to {self._target}>"

    # Called by the local end

    def join(self, end: ChannelHandler) -> None:
        """Let `end` have what has arrived and what will; open the channel if need be."""
        self._end = end
        if self._mux.closed:
            end.closed("the session is over")
            return
        if self._closed is None and not self.number:
            self.number = self._mux.session.open(self._kernel, self._target)
            self._mux.channels[self.number] = self
            self._mux.flush_soon()
        early, self._early = self._early, []
        if self._closed is None or self.has_finished:
            for data in early:
                self.receive(data)
        if self.has_finished:
            end.finished()
        if self._closed is not None:
            end.closed(self._closed)
        elif early:
            self._mux.flush_soon()

    def limit(self, high_water: int) -> None:
        """Set how many bytes may be queued before `send` returns True."""
        self._mux.session.limit(self.number, high_water)

    def send(self, data: bytes) -> bool:
        """Queue bytes for the other end.

        Returns
        -------
        bool
            Whether the queue is full: send no more until `ChannelHandler.drained` is called.
        """
        session = self._mux.session
        session.send(self.number, data)
        self._mux.flush_soon()
        return session.is_full(self.number)

    def finish(self) -> None:
        """Send no more; what is queued still leaves, and the other end may go on."""
        self._mux.session.finish(self.number)
        self._mux.flush_soon()

    def pause(self) -> None:
        """Give no more credit: the other end stops once it has used up what it has."""
        self._paused = True

    def resume(self) -> None:
        """Give the credit that was held back."""
        self._paused = False
        if self._unconsumed:
            count, self._unconsumed = self._unconsumed, 0
            self._mux.session.consumed(self.number, count)
            self._mux.flush_soon()

    def close(self, broken: str = "") -> None:
        """Finish, and drop whatever still arrives.

        Parameters
        ----------
        broken : str
            Why the local end broke, if it did: the other end is told to stop.
        """
        self.resume()
        number = self._forget()
        if broken:
            self._mux.session.abandon(number, broken)
        else:
            self._mux.session.finish(number)
        self._mux.flush_soon()

    def reset(self, reason: str) -> None:
        """Give the channel up: what is queued for it is dropped."""
        self._mux.session.reset(self._forget(), reason)
        self._mux.flush_soon()

    def _forget(self) -> int:
        number, self.number = self.number, 0
        self._mux.channels.pop(number, None)
        return number

    @property
    def session_is_over(self) -> bool:
        """Whether no channel of this session can be opened any more."""
        return self._mux.closed

    # Called by the mux

    def receive(self, data: bytes) -> None:
        """Pass on what the other end sent. Raises what `ChannelHandler.receive` raises."""
        if self._end is None:
            self._early.append(data)
            return
        self._end.receive(data)
        self._unconsumed += len(data)
        if not self._paused:
            count, self._unconsumed = self._unconsumed, 0
            self._mux.session.consumed(self.number, count)

    def finished(self) -> None:
        """Pass on that the other end sends no more."""
        self.has_finished = True
        if self._end is not None:
            self._end.finished()

    def drained(self) -> None:
        """Pass on that there is room for more."""
        if self._end is not None:
            self._end.drained()

    def closed(self, reason: str) -> None:
        """Pass on that the channel is gone."""
        log.debug("= channel %s is gone: %s", self.number, reason)
        self.number = 0
        self._closed = reason
        if self._end is not None:
            self._end.closed(reason)
