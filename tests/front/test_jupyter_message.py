"""front.jupyter_message: read what Jupyter made, make what Jupyter can read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import DELIM, Session

from remote_kernels.front.jupyter_message import Head, read

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


JUNK = {
    "empty": b"",
    "half": b"{",
    "list": b"[]",
    "null": b"null",
    "bytes": b"\xff",
    "deep": b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}",
    "half of a pair": b'{"msg_id": "\\ud800"}',
    "half of a pair in a key": b'{"\\ud800": 1}',
    "digits": b'{"a": ' + b"9" * 5000 + b"}",
    "NaN": b'{"a": NaN}',
    "too large a number": b'{"a": 1e999}',
    "megabytes": b'{"a": "' + b"x" * 2**20 + b'"}',
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK.keys())
def test_what_cannot_be_read(junk: bytes) -> None:
    """Such a header, or parent, is passed on unread; such a content is empty."""
    good = b'{"msg_id": "m"}'

    assert read([DELIM, b"", junk, b"{}", b"{}", b"{}"]) is None
    assert read([DELIM, b"", good, junk, b"{}", b"{}"]) is None
    if len(junk) < 2**20:
        assert {} == head([DELIM, b"", good, b"{}", b"{}", junk]).content()


@pytest.mark.parametrize("good", [b'{"a": 1, "a": 2}', b'{"msg_id": "\\u0000"}'])
def test_what_is_odd_and_can_be_read(good: bytes) -> None:
    """Of a key that is there twice the last counts, as for Python."""
    assert json.loads(good) == head([DELIM, b"", good, good, b"{}", good]).header


@given(st.lists(st.one_of(st.just(DELIM), st.binary(max_size=20)), max_size=9))
def test_no_bytes_are_an_error(parts: list[bytes]) -> None:
    """Whatever a kernel says."""
    found = read(parts)

    if found is not None:
        found.content()
