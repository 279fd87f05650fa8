"""The state of one channel: what each end may still say, queue, credit. SPEC.md section 3.

Used by session.py only. What may follow what is a table, and is decided nowhere
else. RST goes out where ABANDON leads to GONE, and behind the FIN that leads from
LEAVING there: the other end may still send, and that is not wanted.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

from .frames import MAX_DATA, LocalProtocolError, RemoteProtocolError

WINDOW = 4 * 1024 * 1024  # bytes that may be under way to one local socket


class ChannelPhase(Enum):
    """What has been said on a channel."""

    OPEN = auto()  # both ends may send
    FINISHING = auto()  # our FIN waits behind what is queued
    LEAVING = auto()  # so it does, and RST behind it
    FINISHED = auto()  # our FIN is out; the other end may still send
    PEER_FINISHED = auto()  # the other end's FIN came; we may still send
    CLOSING = auto()  # so it did, and our FIN waits behind what is queued
    GONE = auto()


class ChannelEvent(Enum):
    """What happens to a channel: first what this end does, then what the other did."""

    SEND = auto()
    FINISH = auto()
    ABANDON = auto()
    SENT_FIN = auto()
    RESET = auto()
    GOT_DATA = auto()
    GOT_FIN = auto()
    GOT_RST = auto()


THEIRS = {
    ChannelEvent.GOT_DATA: "data on a channel after its end",
    ChannelEvent.GOT_FIN: "a second end of a channel",
    ChannelEvent.GOT_RST: "a reset of a channel that is gone",
}

# "=": stays; "-": is not done, or not allowed. RST of either end leads from each state
# to GONE, which nothing follows; CREDIT changes none.
_TABLE = """
                 SEND  FINISH     ABANDON  SENT_FIN  GOT_DATA  GOT_FIN
OPEN             =     FINISHING  LEAVING  -         =         PEER_FINISHED
FINISHING        -     =          LEAVING  FINISHED  =         CLOSING
LEAVING          -     =          =        GONE      =         CLOSING
FINISHED         -     =          GONE     -         =         GONE
PEER_FINISHED    =     CLOSING    CLOSING  -         -         -
CLOSING          -     =          =        GONE      -         -
"""


def _table(text: str) -> dict[ChannelPhase, dict[ChannelEvent, ChannelPhase]]:
    head, *rows = [line.split() for line in text.split("\n") if line]
    table: dict[ChannelPhase, dict[ChannelEvent, ChannelPhase]] = {
        ChannelPhase.GONE: {}
    }
    for name, *cells in rows:
        state = table[ChannelPhase[name]] = {
            ChannelEvent.RESET: ChannelPhase.GONE,
            ChannelEvent.GOT_RST: ChannelPhase.GONE,
        }
        for step, to in zip(head, cells):
            if to != "-":
                state[ChannelEvent[step]] = ChannelPhase[name if to == "=" else to]
    return table


TABLE = _table(_TABLE)


def _that_allow(step: ChannelEvent) -> tuple[ChannelPhase, ...]:
    return tuple(state for state in ChannelPhase if step in TABLE[state])


# Looked at with each piece of data: a tuple, because an Enum is slow to hash.
SPEAKS, HEARS, OWES_FIN = map(
    _that_allow, (ChannelEvent.SEND, ChannelEvent.GOT_DATA, ChannelEvent.SENT_FIN)
)


class ChannelState:
    """One channel at one end.

    Parameters
    ----------
    id : int
        Its number.
    kernel, target : str
        What its OPEN names.
    high_water : int
        Bytes queued above which to read no further.
    """

    def __init__(self, id: int, kernel: str, target: str, high_water: int) -> None:
        self.id = id
        self.kernel = kernel
        self.target = target
        self.high_water = high_water
        self.state = ChannelPhase.OPEN
        self.unwanted = ""  # why nothing more is wanted from the other end
        self.queued = 0  # bytes waiting to be framed
        self._queue: deque[bytes | memoryview] = deque()
        self._credit = WINDOW  # bytes that we may send
        self._window = WINDOW  # bytes that the other end may send
        self._to_grant = 0

    def __repr__(self) -> str:
        kernel, state = self.kernel[:8], self.state.name
        return f"<ChannelState {self.id} {self.target} of {kernel} {state}>"

    def step(self, step: ChannelEvent) -> None:
        """Go where TABLE leads.

        Raises RemoteProtocolError for what the other end may not do, and
        LocalProtocolError for what we may not.
        """
        to = TABLE[self.state].get(step)
        if to is None:
            if step in THEIRS:
                raise RemoteProtocolError(THEIRS[step])
            msg = f"{step.name} on {self!r}"
            raise LocalProtocolError(msg)
        self.state = to

    def push(self, data: bytes) -> None:
        """Queue data, if we may still send."""
        if self.state in SPEAKS:
            self._queue.append(data)
            self.queued += len(data)

    def credit(self, count: int) -> None:
        """Learn that the other end has taken so many bytes. Raises RemoteProtocolError."""
        self._credit += count
        if self._credit > WINDOW:
            msg = f"credit for {self._credit} bytes on a channel (at most {WINDOW})"
            raise RemoteProtocolError(msg)

    def came(self, count: int) -> None:
        """Count bytes of the other end's that came. Raises RemoteProtocolError."""
        self._window -= count
        if self._window < 0:
            msg = "data on a channel beyond its credit"
            raise RemoteProtocolError(msg)
        if self.state not in HEARS:
            self.step(ChannelEvent.GOT_DATA)

    def take(self) -> bytes | memoryview:
        """Return the next payload that credit allows; empty if there is none."""
        allowed = min(self._credit, MAX_DATA)
        if not self._queue or allowed <= 0:
            return b""
        parts, size = [], 0
        while self._queue and size < allowed:
            data = self._queue[0]
            room = allowed - size
            if len(data) <= room:
                self._queue.popleft()
            else:
                view = memoryview(data)  # what is left is not copied
                self._queue[0], data = view[room:], view[:room]
            parts.append(data)
            size += len(data)
        self.queued -= size
        self._credit -= size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def owes_fin(self) -> bool:
        """Whether FIN is due now: all data is out."""
        return self.state in OWES_FIN and not self._queue

    def consumed(self, count: int) -> int:
        """Return how many bytes to grant, as `count` more have left for the local socket.

        Raises LocalProtocolError if so many have not come.
        """
        self._to_grant += count
        if self._to_grant < WINDOW // 4:
            return 0
        grant, self._to_grant = self._to_grant, 0
        self._window += grant
        if self._window > WINDOW:
            msg = f"more was consumed than has come on {self!r}"
            raise LocalProtocolError(msg)
        return grant
