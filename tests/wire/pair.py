"""Two sessions back to back over pipes that break where a test wants them to."""

from __future__ import annotations

from remote_kernels.wire.events import Data, Event, Finished, Opened
from remote_kernels.wire.session import Session

HIGH_WATER = 1 << 20


def idle(session: Session) -> bool:
    """Whether nothing waits for the pipe, or for an acknowledgement."""
    waiting = session._first or session._turn or session._unnumbered
    return not (waiting or session._out.kept_bytes)


class Pair:
    """A login end and an agent end, joined in memory.

    `deliver()` carries bytes across; `cut()` loses what is under way and connects
    anew, as a hello would.
    """

    def __init__(self) -> None:
        self.login = Session("s", 1, HIGH_WATER)
        self.agent = Session("s", 2, HIGH_WATER)
        self.events: dict[str, list[Event]] = {"login": [], "agent": []}
        self.cuts = 0
        self._under_way = {"login": b"", "agent": b""}  # to that end

    def deliver(self, limit: int | None = None) -> int:
        """Move at most `limit` bytes (all if None) to each end; returns how many."""
        moved = 0
        for to, end, other in (
            ("agent", self.agent, self.login),
            ("login", self.login, self.agent),
        ):
            data, _ = other.data_to_send(1 << 18)
            waiting = self._under_way[to] + data
            take = len(waiting) if limit is None else limit
            self._under_way[to] = waiting[take:]
            self.events[to] += end.receive(waiting[:take])
            moved += len(waiting[:take])
        return moved

    def settle(self) -> None:
        """Deliver until nothing moves any more."""
        while self.deliver():
            for end in (self.login, self.agent):
                if end.ack_pending:
                    end.ack()

    def cut(self) -> None:
        """The pipe breaks: bytes under way are gone; a new pipe takes its place."""
        self.cuts += 1
        self._under_way = {"login": b"", "agent": b""}
        login, agent = self.login.received, self.agent.received
        self.login.connected(agent)
        self.agent.connected(login)

    def received(self, end: str, channel: int) -> bytes:
        """All data that came out at `end` of `channel`."""
        return b"".join(
            event.data
            for event in self.events[end]
            if isinstance(event, Data) and event.channel == channel
        )

    def opened(self, end: str) -> list[Opened]:
        return [event for event in self.events[end] if isinstance(event, Opened)]

    def finished(self, end: str) -> list[int]:
        return [e.channel for e in self.events[end] if isinstance(e, Finished)]
