"""Sequence numbers, acknowledgement, and what is kept until acknowledged.

SPEC.md section 2, "Numbers". Used by session.py only.
"""

from __future__ import annotations

from collections import deque

from .frames import Frame, RemoteProtocolError, Type, encode

MAX_UNACKED = 32 * 1024 * 1024  # bytes kept for replay; beyond it no new frames


class Outbound:
    """Numbers our frames and keeps each until the other end has it."""

    def __init__(self) -> None:
        self.last = 0  # the highest number given so far
        self._kept: deque[tuple[int, bytes]] = deque()
        self.kept_bytes = 0  # for replay
        self._again: deque[bytes] = deque()  # to be sent again on a new pipe

    @property
    def full(self) -> bool:
        """Whether too much is kept to number another frame."""
        return self.kept_bytes >= MAX_UNACKED

    def number(
        self, type: Type, channel: int, payload: bytes | memoryview = b""
    ) -> bytes:
        """Encode a frame with the next number, and keep it."""
        self.last += 1
        data = encode(type, channel, self.last, payload)
        self._kept.append((self.last, data))
        self.kept_bytes += len(data)
        return data

    def acked(self, seq: int) -> None:
        """Learn that the other end has all up to `seq`. Raises RemoteProtocolError."""
        if seq > self.last:
            msg = f"frame {seq} acknowledged, {self.last} was the last one sent"
            raise RemoteProtocolError(msg)
        while self._kept and self._kept[0][0] <= seq:
            self.kept_bytes -= len(self._kept.popleft()[1])

    def can_resume(self, peer_received: int) -> bool:
        """Return whether all is kept that the other end has not received."""
        before_kept = self._kept[0][0] - 1 if self._kept else self.last
        return before_kept <= peer_received <= self.last

    def resume(self, peer_received: int) -> None:
        """Send all after `peer_received` again, on a new pipe.

        Raises RemoteProtocolError where that is not to be had.
        """
        if not self.can_resume(peer_received):
            msg = (
                f"cannot go on from {peer_received}, {self.last} was the last one sent"
            )
            raise RemoteProtocolError(msg)
        self.acked(peer_received)
        self._again = deque(data for _, data in self._kept)

    def again(self) -> bytes | None:
        """Return the next frame to be sent again; None: there are no more."""
        return self._again.popleft() if self._again else None


class Inbound:
    """Drops what was received before, notices gaps, knows what to acknowledge."""

    def __init__(self) -> None:
        self.received = 0
        self.unacked_bytes = 0
        self._acked = 0

    def is_new(self, frame: Frame) -> bool:
        """Return whether this frame takes effect. Raises RemoteProtocolError on a gap."""
        if frame.seq <= self.received:
            return False
        if frame.seq != self.received + 1:
            msg = f"frame {frame.seq} after {self.received}: frames are missing"
            raise RemoteProtocolError(msg)
        self.received = frame.seq
        self.unacked_bytes += len(frame.payload) + 20
        return True

    @property
    def ack_pending(self) -> bool:
        """Whether something was received that is not acknowledged."""
        return self._acked < self.received

    def ack(self) -> bytes:
        """Return an ACK of all that was received."""
        self._acked = self.received
        self.unacked_bytes = 0
        return encode(Type.ACK, 0, self.received)
