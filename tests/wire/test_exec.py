"""wire.exec: frames of a process, whole again however they are cut."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_kernels.wire import exec as wire
from remote_kernels.wire.exec import ExecDecoder, FrameKind, Request
from remote_kernels.wire.frames import LocalProtocolError, RemoteProtocolError

NUMBERS = (FrameKind.RESIZE, FrameKind.SIGNAL, FrameKind.CREDIT, FrameKind.EXIT)
FRAMES = st.lists(st.tuples(st.sampled_from(FrameKind), st.binary(max_size=50)))


@given(FRAMES, st.integers(1, 20))
def test_frames_cut_anywhere(frames: list[tuple[FrameKind, bytes]], size: int) -> None:
    data = b"".join(wire.encode(kind, payload) for kind, payload in frames)
    decoder = ExecDecoder()
    pieces = [data[n : n + size] for n in range(0, len(data), size)]
    assert frames == [frame for piece in pieces for frame in decoder.feed(piece)]


@pytest.mark.parametrize(
    "request_",
    [
        Request("exec", ("sh", "-c", "é \udcff"), terminal=(24, 80)),
        Request("top", options={"interval": 2.0}, env={"TERM": "xterm"}),
    ],
)
def test_a_request(request_: Request) -> None:
    """Also with words that are not UTF-8."""
    ((kind, payload),) = ExecDecoder().feed(request_.encode())
    assert (FrameKind.REQUEST, request_) == (kind, wire.decode_request(payload))


USUAL: dict[str, Any] = {
    "program": "exec",
    "command": ["ls"],
    "options": {},
    "env": {},
    "terminal": None,
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"program": "rm"},
        {"program": ["exec"]},
        {"command": []},
        {"command": "ls"},
        {"command": [1]},
        {"options": 3},
        {"options": [["interval", 1]]},
        {"env": {"A": 1}},
        {"env": [["A", "1"]]},
        {"terminal": [1]},
        {"terminal": [1, 2, 3]},
        {"terminal": [1, -1]},
        {"terminal": [1, True]},
        {"terminal": "xy"},
    ],
)
def test_a_request_that_is_none(wrong: dict[str, Any]) -> None:
    wire.decode_request(json.dumps(USUAL).encode())
    with pytest.raises(
        RemoteProtocolError, match="a request for a process that is none"
    ):
        wire.decode_request(json.dumps({**USUAL, **wrong}).encode())


def test_a_request_that_is_too_large() -> None:
    with pytest.raises(LocalProtocolError, match="at most"):
        Request("exec", ["x" * wire.LARGEST]).encode()


@given(st.binary(max_size=200))
def test_rubbish(data: bytes) -> None:
    """It is frames, or a protocol error, and nothing else."""
    decoders: list[Callable[[bytes], object]] = [
        wire.decode_request,
        *(functools.partial(wire.decode_numbers, kind) for kind in NUMBERS),
        lambda data: list(ExecDecoder().feed(data)),
    ]
    for decode in decoders:
        with contextlib.suppress(RemoteProtocolError):
            decode(data)
