"""front.jupyter_message: read what Jupyter made, make what Jupyter can read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import DELIM, Session

from remote_kernels.front.jupyter_message import Head, Speaker, read

KEY = b"k" * 32
PARENT = {"msg_id": "p1", "session": "s1", "msg_type": "execute_request"}


def message(**content: object) -> list[bytes]:
    """A kernel's answer to `PARENT`."""
    session = Session(key=KEY, session="kernel")
    msg = session.msg("status", content, parent={"header": PARENT})
    return session.serialize(msg, ident=[b"one", b"two"])


def head(parts: list[bytes]) -> Head:
    found = read(parts)
    assert found is not None
    return found


def test_the_head_of_a_message() -> None:
    """Who it is from, what it is, and what it answers."""
    found = head(message())

    assert [b"one", b"two"] == found.identities
    assert ("status", "kernel") == (found.type, found.header["session"])
    assert ("p1", "s1") == (found.parent_id, found.parent_session)


def test_the_content_of_a_message() -> None:
    """Decoded when asked for."""
    assert {"execution_state": "busy"} == head(
        message(execution_state="busy")
    ).content()


def test_buffers_are_part_of_the_body() -> None:
    """They come after the content and change nothing."""
    found = head([*message(a=1), b"buffer"])

    assert {"a": 1} == found.content()
    assert b"buffer" == found.body[-1]


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"topic"],
        [DELIM],
        [b"topic", DELIM, b"signature", b"{}", b"{}", b"{}"],
    ],
)
def test_what_is_no_message(parts: list[bytes]) -> None:
    """No delimiter, or too few parts after it."""
    assert read(parts) is None


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_header_that_is_no_object(junk: bytes) -> None:
    """Nothing is known of such a message."""
    found = head([DELIM, b"", junk, junk, b"{}", junk])

    assert ("", "", "") == (found.id, found.type, found.parent_id)
    assert {} == found.content()


@given(st.lists(st.one_of(st.just(DELIM), st.binary(max_size=20)), max_size=9))
def test_no_bytes_are_an_error(parts: list[bytes]) -> None:
    """Whatever a kernel says."""
    found = read(parts)

    if found is not None:
        found.content()


def test_what_we_say_has_a_signature_that_jupyter_accepts() -> None:
    """And topic, parent and content are there."""
    content = {"name": "stderr", "text": "ä"}

    parts = Speaker(KEY).publication("stream", content, PARENT)

    session = Session(key=KEY)
    identities, rest = session.feed_identities(parts)
    msg = session.deserialize(rest)
    assert [b"stream"] == identities
    assert ("stream", content) == (msg["msg_type"], msg["content"])
    assert PARENT == msg["parent_header"]


def test_what_another_key_has_signed() -> None:
    """Jupyter would not accept it."""
    parts = Speaker(b"x" * 32).publication("stream", {}, PARENT)

    session = Session(key=KEY)
    with pytest.raises(ValueError, match="Invalid Signature"):
        session.deserialize(session.feed_identities(parts)[1])


def test_an_answer_goes_to_who_asked() -> None:
    """By the identities of the request."""
    parts = Speaker(KEY).message([b"a", b"b"], "kernel_info_reply", {}, PARENT)

    assert [b"a", b"b", DELIM] == parts[:3]


def test_we_speak_in_the_kernel_s_name() -> None:
    """As soon as we know its session; each message has an id of its own."""
    speaker = Speaker(KEY)
    speaker.speak_as("kernel")

    heads = [head(speaker.publication("status", {}, {})) for _ in range(2)]

    assert ["kernel"] * 2 == [found.header["session"] for found in heads]
    assert heads[0].id != heads[1].id
