"""What an `exec` channel carries: a process's streams, size, signals and end.

SPEC.md section 7. Pure: bytes in, frames out. Used by agent/exec.py and, at the login
end, by the command line.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any

from . import objects
from .frames import LocalProtocolError, RemoteProtocolError

TARGET = "exec"
WINDOW = 256 * 1024  # bytes of standard input that may be under way at first
LARGEST = 2 * 1024 * 1024  # bytes of a payload
PROGRAMS = ("exec", "stack", "top")
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
    terminal : tuple of int, or None
        Rows and columns; None for a process without a terminal.
    """

    program: str
    command: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    terminal: tuple[int, int] | None = None

    def encode(self) -> bytes:
        """Return it as a frame. Raises LocalProtocolError for what is too large."""
        body = {**self.__dict__, "command": list(self.command)}
        data = json.dumps(body).encode()  # words that are not UTF-8 are escaped
        if len(data) > LARGEST:
            msg = f"a command of {len(data)} bytes (at most {LARGEST})"
            raise LocalProtocolError(msg)
        return encode(FrameKind.REQUEST, data)


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
    body = objects.decode(payload, "a request for a process", LARGEST)
    values = [body.get(field.name) for field in fields(Request)]
    program, command, options, env, terminal = values
    if (
        program in PROGRAMS
        and isinstance(command, list)
        and (command or program != "exec")
        and isinstance(options, dict)
        and isinstance(env, dict)
        and all(isinstance(word, str) for word in (*command, *env.values()))
        and (terminal is None or _is_size(terminal))
    ):
        size = None if terminal is None else (terminal[0], terminal[1])
        return Request(program, tuple(command), options, env, size)
    msg = f"a request for a process that is none: {payload[:200]!r}"
    raise RemoteProtocolError(msg)


def _is_size(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(number) is int and 0 <= number <= LARGEST_SIZE for number in value)
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
