"""Whole messages of several frames on a channel. SPEC.md section 5.

`encode` at the end that sends, a `MessageDecoder` for each channel at the end that receives.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from .frames import LocalProtocolError, RemoteProtocolError

MAX_MESSAGE = 2**32 - 1  # bytes; the length is a u32
# Bytes that follow the first field, number, lost; of the last frame: offset and left.
_HEAD = struct.Struct(">IQIII")
_FRAME = struct.Struct(">I")


class Message(NamedTuple):
    """One message of a channel, or a piece of one whose last frame is large.

    `number` counts the kernel's messages from 1 (0: not one of the kernel's), `lost`
    how many right before this one were dropped because the spool was full. Of the last
    frame `offset` bytes came in pieces before, and `left` come in pieces after this
    one. A piece without frames says that the rest will never come.
    """

    number: int
    parts: list[bytes]
    lost: int = 0
    offset: int = 0
    left: int = 0


def encode(
    parts: Sequence[bytes],
    number: int = 0,
    lost: int = 0,
    offset: int = 0,
    left: int = 0,
) -> bytes:
    """Encode one message or piece. Raises LocalProtocolError above 4 GiB."""
    size = _HEAD.size - 4 + sum(_FRAME.size + len(part) for part in parts)
    if size + offset + left > MAX_MESSAGE:
        msg = f"a message of {size + offset + left} bytes is more than {MAX_MESSAGE}"
        raise LocalProtocolError(msg)
    pieces = [_HEAD.pack(size, number, lost, offset, left)]
    for part in parts:
        pieces += (_FRAME.pack(len(part)), part)
    return b"".join(pieces)


def with_lost(data: bytes, lost: int) -> bytes:
    """Return the encoded message, `lost` set."""
    size, number, _, offset, left = _HEAD.unpack_from(data)
    return _HEAD.pack(size, number, lost, offset, left) + data[_HEAD.size :]


def goes_on(data: bytes) -> bool:
    """Return whether pieces follow the encoded one."""
    left: int = _HEAD.unpack_from(data)[4]
    return left > 0


class MessageDecoder:
    """Bytes of one direction of one channel in, messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._need = _HEAD.size

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that `data` completes. Raises RemoteProtocolError."""
        self._buffer += data
        messages = []
        begin = 0
        while len(self._buffer) - begin >= self._need:
            size, number, lost, *rest = _HEAD.unpack_from(self._buffer, begin)
            end = begin + 4 + size
            if len(self._buffer) < end:
                self._need = 4 + size
                break
            parts = self._parts(begin + _HEAD.size, end)
            messages.append(Message(number, parts, lost, *rest))
            begin, self._need = end, _HEAD.size
        if begin:
            del self._buffer[:begin]
        return messages

    def _parts(self, begin: int, end: int) -> list[bytes]:
        parts = []
        with memoryview(self._buffer) as view:
            while end - begin >= _FRAME.size:
                (size,) = _FRAME.unpack_from(view, begin)
                after = begin + _FRAME.size + size
                if after > end:
                    break
                parts.append(bytes(view[begin + _FRAME.size : after]))
                begin = after
        if begin != end:
            msg = "a message whose frames do not fit into it"
            raise RemoteProtocolError(msg)
        return parts
