"""The Jupyter message protocol, as far as the front must read and speak it.

Source: https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from jupyter_client.session import DELIM, Session


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
        return _object(self.body[1]) if len(self.body) > 1 else {}


def read(parts: Sequence[bytes]) -> Head | None:
    """The head of a message, or None for what is none (an iopub_welcome is one)."""
    try:
        delimiter = parts.index(DELIM)
    except ValueError:
        return None
    rest = [*parts[delimiter + 2 :]]  # behind the signature
    if len(rest) < 4:
        return None
    header, parent = _object(rest[0]), _parent(rest[1])
    return Head([*parts[:delimiter]], header, parent, rest[2:])


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data.decode())  # of bytes, it would guess the encoding first
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


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
        if session != self._session.session:  # setting a trait costs more
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
