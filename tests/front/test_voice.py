"""front.voice: what we say looks as if the kernel had said it."""

from __future__ import annotations

import pytest
from jupyter_client.session import DELIM, Session

from front.reception import Reception
from front.world import KEY, Parts
from remote_kernels.front import jupyter_message
from remote_kernels.front.voice import Voice

PARENT = {"msg_id": "p1", "session": "s1", "msg_type": "execute_request"}


def published(voice: Voice, kind: str, content: dict[str, str]) -> Parts:
    """What clients get of it, all of it on iopub."""
    voice.sockets = reception = Reception()
    voice.publish(kind, content, PARENT)
    ((target, parts),) = reception.sent
    assert "iopub" == target
    return parts


def test_what_we_say_has_a_signature_that_jupyter_accepts() -> None:
    """And topic, parent and content are there."""
    content = {"name": "stderr", "text": "ä"}

    parts = published(Voice(KEY), "stream", content)

    session = Session(key=KEY)
    identities, rest = session.feed_identities(parts)
    msg = session.deserialize(rest)
    assert [b"stream"] == identities
    assert ("stream", content) == (msg["msg_type"], msg["content"])
    assert PARENT == msg["parent_header"]


def test_what_another_key_has_signed() -> None:
    """Jupyter would not accept it."""
    parts = published(Voice(b"x" * 32), "stream", {})

    session = Session(key=KEY)
    with pytest.raises(ValueError, match="Invalid Signature"):
        session.deserialize(session.feed_identities(parts)[1])


def test_an_answer_goes_to_who_asked() -> None:
    """By the identities of the request."""
    parts = Voice(KEY).message([b"a", b"b"], "kernel_info_reply", {}, PARENT)

    assert [b"a", b"b", DELIM] == parts[:3]


def test_we_speak_in_the_kernel_s_name() -> None:
    """As soon as we know its session; each message has an id of its own."""
    voice = Voice(KEY)
    voice.speak_as("kernel")

    heads = [jupyter_message.read(published(voice, "status", {})) for _ in range(2)]

    first, second = (head.header for head in heads if head is not None)
    assert "kernel" == first["session"] == second["session"]
    assert first["msg_id"] != second["msg_id"]
