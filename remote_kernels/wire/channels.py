"""The state of one channel: queue, credit, half-closes. SPEC.md section 3.

Used by session.py only.
"""

from __future__ import annotations

from collections import deque

from .frames import MAX_DATA, ProtocolError

WINDOW = 4 * 1024 * 1024  # bytes that may be under way to one local socket


class Channel:
    def __init__(self, id: int, kernel: str, target: str, high_water: int) -> None:
        self.id = id
        self.kernel = kernel
        self.target = target
        self.high_water = high_water  # bytes queued above which to read no further
        self.queued = 0  # bytes waiting to be framed
        self.fin_queued = False
        self.fin_sent = False
        self.fin_received = False
        self.unwanted = ""  # why nothing more is wanted from the other end
        self._queue: deque[bytes | memoryview] = deque()
        self._credit = WINDOW  # bytes that we may send
        self._window = WINDOW  # bytes that the other end may send
        self._to_grant = 0

    def __repr__(self) -> str:
        return f"<Channel {self.id} {self.target} of {self.kernel[:8]}>"

    @property
    def gone(self) -> bool:
        return self.fin_sent and self.fin_received

    def push(self, data: bytes) -> None:
        self._queue.append(data)
        self.queued += len(data)

    def credit(self, count: int) -> None:
        """The other end has taken so many bytes. Raises ProtocolError."""
        self._credit += count
        if self._credit > WINDOW:
            msg = f"credit for {self._credit} bytes on a channel (at most {WINDOW})"
            raise ProtocolError(msg)

    def came(self, count: int) -> None:
        """So many bytes of the other end's. Raises ProtocolError."""
        self._window -= count
        if self.fin_received or self._window < 0:
            why = "after its end" if self.fin_received else "beyond its credit"
            msg = f"data on a channel {why}"
            raise ProtocolError(msg)

    def take(self) -> bytes | memoryview:
        """The next payload that credit allows; empty if there is none."""
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

    def take_fin(self) -> bool:
        """Whether FIN is due now: all data is out."""
        if self.fin_queued and not self.fin_sent and not self._queue:
            self.fin_sent = True
            return True
        return False

    def consumed(self, count: int) -> int:
        """Bytes to grant now that `count` more have left for the local socket."""
        self._to_grant += count
        if self._to_grant < WINDOW // 4:
            return 0
        grant, self._to_grant = self._to_grant, 0
        self._window += grant
        return grant
