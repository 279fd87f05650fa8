"""The Jupyter message protocol, as far as the front must read and speak it.

Source: https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from jupyter_client.session import DELIM, Session

from remote_kernels.wire import objects
from remote_kernels.wire.frames import ProtocolError

HEADER_BYTES = 1024 * 1024  # more than that is no header
CONTENT_BYTES = 256 * 1024 * 1024


class Head(NamedTuple):
    """What a message says of itself. Headers are dicts, empty where there is none."""

    identities: list[bytes]  # or, on iopub, the topic
    header: dict[str, Any]
    parent: dict[str, Any]
    body: list[bytes]  # metadata, content, buffers

    @property
    def id(self) -> str:
        return str(self.header.get("msg_id", ""))

    @property
    def type(self) -> str:
        return str(self.header.get("msg_type", ""))

    @property
    def session(self) -> str:
        return str(self.header.get("session", ""))

    @property
    def is_of_client(self) -> bool:
        """The notebook server's own requests carry no identity of a client's."""
        own = [self.session.encode()]
        return bool(self.session) and self.identities[:1] == own

    @property
    def parent_id(self) -> str:
        return str(self.parent.get("msg_id", ""))

    @property
    def parent_session(self) -> str:
        return str(self.parent.get("session", ""))

    def content(self) -> dict[str, Any]:
        """Empty where it cannot be read."""
        content = _object(self.body[1], CONTENT_BYTES) if len(self.body) > 1 else None
        return content or {}


def read(parts: Sequence[bytes]) -> Head | None:
    """The head of a message, or None for what is none (an iopub_welcome is one).

    None, too, where it cannot be read: it is for whoever gets the message to say so.
    """
    try:
        delimiter = parts.index(DELIM)
    except ValueError:
        return None
    rest = [*parts[delimiter + 2 :]]  # behind the signature
    if len(rest) < 4:
        return None
    header, parent = _object(rest[0]), _parent(rest[1])
    if header is None or parent is None:
        return None
    return Head([*parts[:delimiter]], header, parent, rest[2:])


def _object(data: bytes, limit: int = HEADER_BYTES) -> dict[str, Any] | None:
    try:
        return objects.decode(data, "a part of a message", limit, "strict")
    except ProtocolError:
        return None


# All that a kernel says of one cell has the same; nobody changes it.
_parent = functools.lru_cache(maxsize=16)(_object)


class Speaker:
    """Makes messages that look as if the kernel had sent them.

    Parameters
    ----------
    key:
        The connection's HMAC key.
    """

    def __init__(self, key: bytes) -> None:
        self._session = Session(key=key, username="remote_kernels")

    def speak_as(self, session: str) -> None:
        """The kernel's session ID: JupyterLab drops messages of another one."""
        # Setting a trait costs more; jupyter_client (8.10) takes ASCII alone.
        if session != self._session.session and session.isascii():
            self._session.session = session

    def message(
        self,
        identities: Sequence[bytes],
        msg_type: str,
        content: dict[str, Any],
        parent: dict[str, Any],
    ) -> list[bytes]:
        """The frames of a message that answers the message with header `parent`."""
        message = self._session.msg(msg_type, content)
        message["parent_header"] = parent
        return self._session.serialize(message, ident=list(identities))

    def publication(
        self, msg_type: str, content: dict[str, Any], parent: dict[str, Any]
    ) -> list[bytes]:
        return self.message([msg_type.encode()], msg_type, content, parent)
