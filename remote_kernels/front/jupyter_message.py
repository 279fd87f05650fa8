"""The Jupyter message protocol, as far as the front must read and speak it.

Source: https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from jupyter_client.session import DELIM

from remote_kernels.wire import objects
from remote_kernels.wire.frames import ProtocolError

HEADER_BYTES = 1024 * 1024  # more than that is no header
CONTENT_BYTES = 256 * 1024 * 1024
RUN, ASK = "execute_request", "kernel_info_request"

Header = dict[str, Any]


class Head(NamedTuple):
    """What a message says of itself. Headers are dicts, empty where there is none."""

    identities: list[bytes]  # or, on iopub, the topic
    header: Header
    parent: Header  # the header of the request that it answers
    body: list[bytes]  # metadata, content, buffers
    id: str  # these are of `header`
    type: str
    session: str
    parent_id: str
    parent_session: str
    header_data: bytes  # `header` as it came

    @property
    def is_of_client(self) -> bool:
        """Whether a client sent it.

        The notebook server's own requests carry no identity of a client's.
        """
        own = [self.session.encode()]
        return bool(self.session) and self.identities[:1] == own

    def content(self) -> dict[str, Any]:
        """Return the content as JSON; empty where it cannot be read."""
        if len(self.body) < 2:
            return {}
        return _object_or_none(self.body[1])

    def metadata(self) -> dict[str, Any]:
        """Return the metadata as JSON; empty where they cannot be read."""
        return _object_or_none(self.body[0]) if self.body else {}


def read(parts: Sequence[bytes]) -> Head | None:
    """Return the head of a message.

    None for what is no message (an iopub_welcome is none), and for one that cannot be
    read: it is for whoever gets the message to say so.
    """
    try:
        delimiter = parts.index(DELIM)
        _, header_data, parent_data, *body = parts[delimiter + 1 :]  # signature first
        header = _object(header_data, limit=HEADER_BYTES)
        parent, parent_id, parent_session = _parent(parent_data)
    except (ValueError, ProtocolError):
        return None
    if len(body) < 2:
        return None
    return Head(
        [*parts[:delimiter]],
        header,
        parent,
        body,
        str(header.get("msg_id", "")),
        str(header.get("msg_type", "")),
        str(header.get("session", "")),
        parent_id,
        parent_session,
        header_data,
    )


def _object_or_none(data: bytes) -> dict[str, Any]:
    """Return an object; an empty one where it cannot be read."""
    try:
        return _object(data, limit=CONTENT_BYTES)
    except ProtocolError:
        return {}


_object = functools.partial(objects.decode, what="a part of a message", errors="strict")


@functools.lru_cache(maxsize=16)  # all that a kernel says of one cell has the same
def _parent(data: bytes) -> tuple[Header, str, str]:
    """Return a header that nobody changes, with its msg_id and session."""
    header = _object(data, limit=HEADER_BYTES)
    return header, str(header.get("msg_id", "")), str(header.get("session", ""))
