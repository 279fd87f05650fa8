"""wire.messages: messages come out of a channel's bytes as they went in."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_kernels.wire.frames import LocalProtocolError, RemoteProtocolError
from remote_kernels.wire.messages import Message, MessageDecoder, encode, with_lost

HEAD = struct.Struct(">IQIII")

message = st.builds(
    Message,
    st.integers(0, 2**64 - 1),
    st.lists(st.binary(max_size=400), max_size=5),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**30),
    st.integers(0, 2**30),
)


def encoded(messages: list[Message]) -> bytes:
    return b"".join(encode(m.parts, m.number, *m[2:]) for m in messages)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data`, cut at `cuts` (taken modulo its length)."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.lists(message, max_size=8), st.lists(st.integers(0, 10_000), max_size=30))
def test_what_comes_out_equals_what_went_in(
    messages: list[Message], cuts: list[int]
) -> None:
    """However the bytes are cut."""
    decoder = MessageDecoder()

    pieces = in_pieces(encoded(messages), cuts)

    assert messages == [m for piece in pieces for m in decoder.feed(piece)]


def test_a_message_comes_with_its_last_byte() -> None:
    """Not before, and with nothing of the next one."""
    decoder = MessageDecoder()
    *head, last = encode([b"one", b"two"], 7)

    early = [decoder.feed(bytes([byte])) for byte in head]

    assert [] == [m for messages in early for m in messages]
    assert [Message(7, [b"one", b"two"])] == decoder.feed(bytes([last, 0]))


def test_a_message_may_have_no_frames() -> None:
    """And an empty frame is a frame."""
    data = encode([], 1) + encode([b""], 2)

    assert [Message(1, []), Message(2, [b""])] == MessageDecoder().feed(data)


def test_lost_is_set_on_an_encoded_message() -> None:
    """Nothing else of it changes."""
    data = with_lost(encode([b"one", b"two"], 7, 0, 3, 4), 5)

    assert [Message(7, [b"one", b"two"], 5, 3, 4)] == MessageDecoder().feed(data)


class Huge(bytes):
    """Claims 4 GiB that no test wants to hold."""

    def __len__(self) -> int:
        return 2**32


@pytest.mark.parametrize("parts", [[Huge()], [bytes(2**28)] * 16])
def test_a_message_above_the_limit_is_refused(parts: list[bytes]) -> None:
    """Its length would not fit, be it one frame's or that of all."""
    with pytest.raises(LocalProtocolError, match="is more than 4294967295"):
        encode(parts)


@pytest.mark.parametrize(
    ("size", "body"),
    [
        (0, b""),
        (HEAD.size - 5, b""),
        (HEAD.size - 4 + 3, b"\0\0\0"),
        (HEAD.size - 4 + 4, b"\0\0\0\2"),
        (HEAD.size - 4 + 6, b"\0\0\0\3ab"),
        (HEAD.size - 4 + 8, b"\0\0\0\2ab" + b"\0\0"),
    ],
    ids=["empty", "half a head", "half a length", "no frame", "half a frame", "rest"],
)
def test_frames_that_do_not_fill_their_message(size: int, body: bytes) -> None:
    """Neither too few bytes nor too many: the pipe must be closed."""
    with pytest.raises(RemoteProtocolError, match="do not fit"):
        MessageDecoder().feed(HEAD.pack(size, 1, 0, 0, 0) + body)
