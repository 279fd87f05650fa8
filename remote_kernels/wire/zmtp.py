"""ZMTP 3.0 with the NULL mechanism, as far as a kernel and its clients need it.

Source: ZeroMQ RFC 23 (https://rfc.zeromq.org/spec/23/). We say 3.0, so that a libzmq
on the other end takes subscriptions as messages and sends no heartbeats. No I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .frames import RemoteProtocolError

MORE, LONG, COMMAND = 1, 2, 4
_SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
_GREETING = _SIGNATURE + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
SUBSCRIBE_ALL = b"\x01"


def frame(body: bytes, flags: int = 0) -> bytes:
    """Encode one frame."""
    return _head(len(body), flags) + body


def _head(size: int, flags: int) -> bytes:
    if size < 256:
        return bytes((flags, size))
    return bytes((flags | LONG,)) + size.to_bytes(8, "big")


def message(parts: Sequence[bytes], left: int = 0) -> bytes:
    """Encode one message of at least one frame, of whose last one `left` bytes follow."""
    pieces: list[bytes] = []
    for part in parts[:-1]:
        pieces += (_head(len(part), MORE), part)
    pieces += (_head(len(parts[-1]) + left, 0), parts[-1])
    return b"".join(pieces)


class Piece(NamedTuple):
    """A message, or a piece of one whose last frame is large.

    Of that frame `offset` bytes came before, and `left` come after this piece. Only
    the first one has the frames before it.
    """

    parts: list[bytes]
    offset: int = 0
    left: int = 0


def _property(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + len(value).to_bytes(4, "big") + value


def _properties(data: bytes) -> dict[bytes, bytes]:
    """By name, in lower case: their case does not matter."""
    found, at = {}, 0
    while at < len(data):
        end = at + 1 + data[at]
        name, size = data[at + 1 : end], int.from_bytes(data[end : end + 4], "big")
        at = end + 4 + size
        found[name.lower()] = data[end + 4 : at]
    return found


class Peer:
    """One connection to a kernel's socket.

    Parameters
    ----------
    socket_type : str
        Ours.
    identity : bytes
        Ours: what a ROUTER knows us by.
    piece : int or None
        Bytes of a last frame above which what has come of it is given out.

    `ready` is true once the other end has said READY; then `identity` is what it wants
    to be known by. Write `greeting` first.
    """

    greeting = _GREETING

    def __init__(
        self, socket_type: str, identity: bytes = b"", piece: int | None = None
    ) -> None:
        self._piece = piece
        self._offset = self._left = 0  # of a large last frame
        self._handshake = frame(
            b"\x05READY"
            + _property(b"Socket-Type", socket_type.encode())
            + _property(b"Identity", identity),
            COMMAND,
        )
        self._buffer = bytearray()
        self._greeted = False
        self._parts: list[bytes] = []
        self.ready = False
        self.identity = b""

    def feed(self, data: bytes) -> tuple[bytes, list[Piece]]:
        """Take bytes; return what to answer, and what came. Raises RemoteProtocolError."""
        self._buffer += data
        answer = b""
        if not self._greeted:
            if len(self._buffer) < len(_GREETING):
                return b"", []
            self._check(bytes(self._buffer[: len(_GREETING)]))
            del self._buffer[: len(_GREETING)]
            self._greeted = True
            answer = self._handshake
        return answer, self._messages()

    def _check(self, greeting: bytes) -> None:
        mechanism = greeting[12:32].rstrip(b"\0")
        if greeting[:1] != b"\xff" or greeting[9:10] != b"\x7f" or greeting[10] < 3:
            msg = f"this is no ZMTP 3: {greeting!r}"
            raise RemoteProtocolError(msg)
        if mechanism != b"NULL":
            msg = f"the kernel's socket wants {mechanism!r}"
            raise RemoteProtocolError(msg)

    def _messages(self) -> list[Piece]:
        messages = []
        begin, buffer = 0, self._buffer
        while len(buffer) - begin >= (1 if self._left else 2):
            if self._left:
                size = min(self._left, len(buffer) - begin)
                if size < min(self._left, self._piece or 0):
                    break
                messages.append(self._next_piece(begin, size))
                begin += size
                continue
            flags, head = buffer[begin], begin + 2
            size = buffer[begin + 1]
            if flags & LONG:
                head = begin + 9
                if len(buffer) < head:
                    break
                size = int.from_bytes(buffer[begin + 1 : head], "big")
            if self._piece and size > self._piece and not flags & (MORE | COMMAND):
                begin, self._offset, self._left = head, 0, size
                continue
            if len(buffer) < head + size:
                break
            body = self._bytes(head, size)
            begin = head + size
            if flags & COMMAND:
                self._command(body)
                continue
            self._parts.append(body)
            if not flags & MORE:
                messages.append(Piece(self._parts))
                self._parts = []
        if begin:
            del buffer[:begin]
        return messages

    def _next_piece(self, begin: int, size: int) -> Piece:
        parts, self._parts = [*self._parts, self._bytes(begin, size)], []
        offset, self._offset = self._offset, self._offset + size
        self._left -= size
        return Piece(parts, offset, self._left)

    def _bytes(self, begin: int, size: int) -> bytes:
        with memoryview(self._buffer) as view:
            return bytes(view[begin : begin + size])

    def _command(self, body: bytes) -> None:
        name = body[1 : 1 + body[0]] if body else b""
        if name == b"READY":
            self.identity = _properties(body[6:]).get(b"identity", b"")
            self.ready = True
        elif name == b"ERROR":
            msg = f"the kernel's socket refused us: {body[7:].decode(errors='replace')}"
            raise RemoteProtocolError(msg)
