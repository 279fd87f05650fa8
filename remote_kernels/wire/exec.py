"""What an `exec` channel carries: a process's streams, size, signals and end.

SPEC.md section 7. Pure: bytes in, frames out. Used by agent/exec.py and, at the login
end, by kernel/remote_process.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from . import objects
from .frames import RemoteProtocolError

TARGET = "exec"
WINDOW = 256 * 1024  # bytes of standard input that may be under way at first
LARGEST = 2 * 1024 * 1024  # bytes of a payload
PROGRAMS = ("exec", "listening", "stack", "top")
_HEAD = struct.Struct(">BI")
HEAD_BYTES = _HEAD.size
LARGEST_SIZE = 65535  # rows or columns


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
    EXIT = 19  # a return code as in `subprocess`, below 0 for a signal
    FAILED = 20


# What is in a payload that is numbers.
_NUMBERS = {
    FrameKind.RESIZE: struct.Struct(">HH"),  # rows, columns
    FrameKind.SIGNAL: struct.Struct(">B"),
    FrameKind.CREDIT: struct.Struct(">I"),
    FrameKind.EXIT: struct.Struct(">i"),
}


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
    terminal : sequence of int, or None
        Rows and columns; None for a process without a terminal.
    """

    program: str
    command: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    terminal: Sequence[int] | None = None

    def encode(self) -> bytes:
        """Return it as a frame. Raises LocalProtocolError for what is too large."""
        return encode(
            FrameKind.REQUEST, objects.encode(vars(self), "a command", LARGEST)
        )


def encode(kind: FrameKind, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return _HEAD.pack(kind, len(payload)) + payload


def encode_numbers(kind: FrameKind, *numbers: int) -> bytes:
    """Return a frame of numbers: RESIZE, SIGNAL, CREDIT or EXIT."""
    return encode(kind, _NUMBERS[kind].pack(*numbers))


def decode_numbers(kind: FrameKind, payload: bytes) -> tuple[int, ...]:
    """Return what is in such a frame. Raises RemoteProtocolError."""
    form = _NUMBERS[kind]
    if len(payload) != form.size:
        msg = f"a frame {kind.name} of {len(payload)} bytes"
        raise RemoteProtocolError(msg)
    return form.unpack(payload)


def decode_request(payload: bytes) -> Request:
    """Return what a REQUEST asks for. Raises RemoteProtocolError."""
    what = "a request for a process"
    request = objects.build(Request, objects.decode(payload, what, LARGEST), what)
    size = request.terminal
    if (
        request.program not in PROGRAMS
        or (request.program == "exec" and not request.command)
        or (size is not None and (len(size) != 2 or max(size) > LARGEST_SIZE))
    ):
        msg = f"{what} that is none: {payload[:200]!r}"
        raise RemoteProtocolError(msg)
    return replace(
        request, command=tuple(request.command), terminal=size and tuple(size)
    )


class ExecDecoder:
    """Makes frames of a channel's bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[FrameKind, bytes]]:
        """Yield each whole frame: its kind, its payload. Raises RemoteProtocolError."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEAD.size:
            number, length = _HEAD.unpack_from(buffer)
            if length > LARGEST or number not in _KINDS:
                msg = f"no frame of a process: {bytes(buffer[:40])!r}"
                raise RemoteProtocolError(msg)
            end = _HEAD.size + length
            if len(buffer) < end:
                return
            payload = bytes(buffer[_HEAD.size : end])
            del buffer[:end]
            yield FrameKind(number), payload


_KINDS = frozenset(FrameKind)
