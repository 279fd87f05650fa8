"""What an `exec` channel carries: a process's streams, size, signals and end.

SPEC.md section 7. Pure: bytes in, frames out. Used by agent/exec.py and, at the login
end, by the command line.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from . import objects
from .frames import ProtocolError

TARGET = "exec"
WINDOW = 256 * 1024  # bytes of standard input that may be under way at first
LARGEST = 2 * 1024 * 1024  # bytes of a payload
PROGRAMS = ("exec", "stack", "top")
_HEAD = struct.Struct(">BI")
HEAD_BYTES = _HEAD.size
_SIZE = struct.Struct(">HH")
_CREDIT = struct.Struct(">I")
_EXIT = struct.Struct(">i")
_MOST = 65535  # rows or columns


class FrameKind(IntEnum):
    """The kinds of frames in an `exec` channel."""

    REQUEST = 1
    STDIN = 2
    STDIN_END = 3
    RESIZE = 4
    SIGNAL = 5
    STDOUT = 16
    STDERR = 17
    CREDIT = 18
    EXIT = 19
    FAILED = 20


@dataclass(frozen=True)
class Request:
    """What to start.

    Parameters
    ----------
    program : str
        One of `PROGRAMS`.
    command : sequence of str
        The words of a command, for `exec`.
    options : mapping
        What the program itself takes.
    env : mapping of str to str
        Variables that go over those of the kernel.
    terminal : tuple of int, or None
        Rows and columns; None for a process without a terminal.
    """

    program: str
    command: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    terminal: tuple[int, int] | None = None

    def encode(self) -> bytes:
        """Return it as a frame. Raises ProtocolError for what is too large."""
        body = {**self.__dict__, "command": list(self.command)}
        data = json.dumps(body).encode()  # words that are not UTF-8 are escaped
        if len(data) > LARGEST:
            msg = f"a command of {len(data)} bytes (at most {LARGEST})"
            raise ProtocolError(msg)
        return encode(FrameKind.REQUEST, data)


def encode(kind: FrameKind, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return _HEAD.pack(kind, len(payload)) + payload


def encode_resize(rows: int, columns: int) -> bytes:
    """Return a RESIZE frame."""
    return encode(FrameKind.RESIZE, _SIZE.pack(min(rows, _MOST), min(columns, _MOST)))


def encode_signal(signum: int) -> bytes:
    """Return a SIGNAL frame."""
    return encode(FrameKind.SIGNAL, bytes([signum]))


def encode_credit(count: int) -> bytes:
    """Return a CREDIT frame for so many bytes of standard input."""
    return encode(FrameKind.CREDIT, _CREDIT.pack(count))


def encode_exit(returncode: int) -> bytes:
    """Return an EXIT frame; `returncode` is as in `subprocess`, below 0 for a signal."""
    return encode(FrameKind.EXIT, _EXIT.pack(returncode))


def decode_request(payload: bytes) -> Request:
    """Return what a REQUEST asks for. Raises ProtocolError."""
    body = objects.decode(payload, "a request for a process", LARGEST)
    try:
        terminal = body["terminal"]
        request = Request(
            body["program"],
            tuple(body["command"]),
            dict(body["options"]),
            dict(body["env"]),
            None if terminal is None else (terminal[0], terminal[1]),
        )
        words = [*request.command, *request.env, *request.env.values()]
        sizes = request.terminal or ()
        if (
            request.program in PROGRAMS
            and isinstance(body["command"], list)
            and (request.command or request.program != "exec")
            and all(isinstance(word, str) for word in words)
            and all(type(size) is int and 0 <= size <= _MOST for size in sizes)
        ):
            return request
    except (KeyError, TypeError, ValueError, IndexError):
        pass
    msg = f"a request for a process that is none: {payload[:200]!r}"
    raise ProtocolError(msg)


def decode_resize(payload: bytes) -> tuple[int, int]:
    """Return rows and columns. Raises ProtocolError."""
    rows, columns = _unpacked(_SIZE, FrameKind.RESIZE, payload)
    return rows, columns


def decode_signal(payload: bytes) -> int:
    """Return the signal's number. Raises ProtocolError."""
    if len(payload) != 1:
        msg = f"a SIGNAL of {len(payload)} bytes"
        raise ProtocolError(msg)
    return payload[0]


def decode_credit(payload: bytes) -> int:
    """Return how many bytes more may be sent. Raises ProtocolError."""
    return _unpacked(_CREDIT, FrameKind.CREDIT, payload)[0]


def decode_exit(payload: bytes) -> int:
    """Return a return code as in `subprocess`. Raises ProtocolError."""
    return _unpacked(_EXIT, FrameKind.EXIT, payload)[0]


def _unpacked(form: struct.Struct, kind: FrameKind, payload: bytes) -> tuple[int, ...]:
    if len(payload) != form.size:
        msg = f"a frame {kind.name} of {len(payload)} bytes"
        raise ProtocolError(msg)
    return form.unpack(payload)


class ExecDecoder:
    """Makes frames of a channel's bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[FrameKind, bytes]]:
        """Yield each whole frame: its kind, its payload. Raises ProtocolError."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEAD.size:
            number, length = _HEAD.unpack_from(buffer)
            if length > LARGEST or number not in _KINDS:
                msg = f"no frame of a process: {bytes(buffer[:40])!r}"
                raise ProtocolError(msg)
            end = _HEAD.size + length
            if len(buffer) < end:
                return
            payload = bytes(buffer[_HEAD.size : end])
            del buffer[:end]
            yield FrameKind(number), payload


_KINDS = frozenset(FrameKind)
