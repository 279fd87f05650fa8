"""Speaks to a kernel's clients in its name, at whatever sockets there are for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jupyter_client.session import Session

from remote_kernels import harmless

from . import jupyter_message
from .interfaces import ClientSockets
from .jupyter_message import RUN, Head, Header
from .transcript import KEPT


class Voice:
    """Says what a kernel would say; nothing while no client can be connected.

    Parameters
    ----------
    key:
        The connection's HMAC key.
    """

    def __init__(self, key: bytes) -> None:
        self.sockets: ClientSockets | None = None
        self.on_said: Callable[[Head], None] = lambda head: None  # on iopub, of a cell
        self._session = Session(key=key, username="remote_kernels")

    @property
    def session(self) -> str:
        """The kernel's session ID, as far as it is known."""
        return str(self._session.session)

    def speak_as(self, session: str) -> None:
        """Use the kernel's session ID: JupyterLab drops messages of another one."""
        # Setting a trait costs more; jupyter_client (8.10) takes ASCII alone.
        if session != self._session.session and session.isascii():
            self._session.session = session

    def message(
        self,
        identities: Sequence[bytes],
        kind: str,
        content: dict[str, Any],
        parent: Header,
    ) -> list[bytes]:
        """Return the frames of a message that answers the one with header `parent`.

        It looks as if the kernel had sent it.
        """
        message = self._session.msg(kind, content)
        message["parent_header"] = parent
        return self._session.serialize(message, ident=list(identities))

    def send(self, target: str, parts: list[bytes]) -> None:
        """Send a message as it is."""
        if self.sockets is not None:
            self.sockets.send(target, parts)

    def publish(self, kind: str, content: dict[str, Any], parent: Header) -> None:
        """Publish a message on iopub; `parent` is the header of its request, or {}."""
        if self.sockets is not None:
            message = self.message([kind.encode()], kind, content, parent)
            self.sockets.send("iopub", message)
            head = jupyter_message.read(message) if kind in KEPT else None
            if head is not None and parent.get("msg_type") == RUN:
                self.on_said(head)

    def sign(self, frames: Sequence[bytes]) -> bytes:
        """Return the signature of a message's frames, from its header to its content."""
        signature: bytes = self._session.sign([*frames])
        return signature

    def status(self, state: str, parent: Header) -> None:
        """Publish the kernel's state."""
        self.publish("status", {"execution_state": state}, parent)

    def print(self, stream: str, text: str, parent: Header) -> None:
        """Publish a line below a cell, on "stdout" or "stderr"."""
        content = {"name": stream, "text": f"{harmless.text(text)}\n"}
        self.publish("stream", content, parent)

    def clear(self, parent: Header, *, wait: bool = False) -> None:
        """Clear a cell's output; if to `wait`, when the next one comes."""
        self.publish("clear_output", {"wait": wait}, parent)

    def reply(self, target: str, request: Head, content: dict[str, Any]) -> None:
        """Send a reply to whoever sent the request."""
        kind = request.type.replace("_request", "_reply")
        body = {"status": "ok", **content}
        self.ask(target, request, kind, body)

    def ask(
        self, target: str, request: Head, kind: str, content: dict[str, Any]
    ) -> None:
        """Send a message of any kind to whoever sent the request."""
        identities, parent = request.identities, request.header
        self.send(target, self.message(identities, kind, content, parent))

    def own_request(self, kind: str) -> list[bytes]:
        """Return a request of our own to the kernel."""
        return self.message([b"remote_kernels"], kind, {}, {})

    def answer(self, target: str, request: Head, content: dict[str, Any]) -> None:
        """Send a reply between "busy" and "idle", as a kernel does."""
        self.status("busy", request.header)
        self.reply(target, request, content)
        self.status("idle", request.header)
