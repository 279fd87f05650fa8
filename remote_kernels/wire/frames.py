"""One frame to bytes and back. SPEC.md section 2.

Nothing here knows what the frames mean. The frames are used by session.py only.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

HEADER = struct.Struct(">BBHIIQ")
MAX_DATA = 64 * 1024  # bytes of payload in one DATA frame
MAX_PAYLOAD = 256 * 1024  # more than this is not our protocol


class ProtocolError(Exception):
    """What one end did is not allowed by the protocol."""


class RemoteProtocolError(ProtocolError):
    """The other end does not speak this protocol: the pipe to it must be closed."""


class LocalProtocolError(ProtocolError):
    """Our own end was to do what the protocol does not allow: nothing was sent."""


class Type(IntEnum):
    """The types of frames."""

    DATA = 1
    OPEN = 2
    FIN = 3
    RST = 4
    CREDIT = 5
    CONTROL = 6
    ACK = 16
    PING = 17
    PONG = 18
    GOODBYE = 19

    @property
    def numbered(self) -> bool:
        """Whether such frames have a number, and are sent again on a new pipe."""
        return self < Type.ACK


class Frame(NamedTuple):
    """One frame, as it came."""

    type: Type
    channel: int
    seq: int
    payload: bytes


def encode(
    type: Type, channel: int, seq: int, payload: bytes | memoryview = b""
) -> bytes:
    """Return one frame as bytes."""
    head = HEADER.pack(type, 0, 0, channel, len(payload), seq)
    return b"".join((head, payload))


class FrameDecoder:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self._rest = b""  # less than a frame

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes. Raises RemoteProtocolError."""
        if self._rest:
            data = self._rest + data
        frames: list[Frame] = []
        at = 0
        while len(data) - at >= HEADER.size:
            number, zero, zeros, channel, length, seq = HEADER.unpack_from(data, at)
            if length > MAX_PAYLOAD:
                msg = f"a frame of {length} bytes (at most {MAX_PAYLOAD})"
                raise RemoteProtocolError(msg)
            if zero or zeros:
                msg = f"a frame with {zero} and {zeros} where there are zeros"
                raise RemoteProtocolError(msg)
            begin = at + HEADER.size
            if begin + length > len(data):
                break
            at = begin + length
            kind = _TYPES.get(number)
            if kind is None:
                msg = f"a frame of unknown type {number}"
                raise RemoteProtocolError(msg)
            frames.append(Frame(kind, channel, seq, data[begin:at]))
        self._rest = data[at:]
        return frames


_TYPES = {int(type): type for type in Type}
