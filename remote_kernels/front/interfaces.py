"""What the front's sockets and those who answer at them know of each other.

A `Respondent` answers clients: the stand-in, or `Clients` for the kernel itself. The
front brings it their requests, and gives it `ClientSockets` to reach them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from remote_kernels.relay.message_channel import MessageChannel
from remote_kernels.wire.messages import Message

Request = tuple[str, list[bytes]]  # to which of the kernel's sockets, and its frames


class Cancellable(Protocol):
    """A call to come."""

    def cancel(self) -> None:
        """Call it off; without effect once it was made."""


Later = Callable[[float, Callable[[], None]], Cancellable]


class LargeMessage(Protocol):
    """A message that is being published, and whose rest is to come."""

    def write(self, data: bytes) -> None:
        """Publish the next bytes."""

    def abort(self) -> None:
        """Give the message up, because its rest will never come."""


class ClientSockets(Protocol):
    """The sockets to which clients are connected."""

    def send(self, target: str, parts: list[bytes]) -> None:
        """Send a message by identity, or on iopub by topic."""

    def begin(self, parts: list[bytes], left: int) -> LargeMessage:
        """Publish a message of whose last frame `left` bytes follow."""

    def resume(self, target: str) -> None:
        """Bring requests again: there is room for them."""

    def has_client(self, target: str, identity: bytes) -> bool:
        """Whether a client of that identity has connected to that socket."""

    def awaits_subscriptions(self) -> bool:
        """Whether a client of iopub has connected and not yet subscribed."""


class Respondent(Protocol):
    """Whoever answers clients."""

    def serve(self, sockets: ClientSockets | None) -> None:
        """Answer at these sockets from now on; None: at none."""

    def request(self, target: str, parts: list[bytes]) -> bool:
        """Take a client's message, and tell whether another one may follow.

        If not, `ClientSockets.resume` tells when.
        """

    def subscribed(self, topic: bytes) -> bool:
        """Take note of a new subscription on iopub, and tell the same."""


class OpenChannel(Protocol):
    """Opens a channel to one of the kernel's sockets."""

    def __call__(
        self,
        target: str,
        on_message: Callable[[Message], None],
        on_room: Callable[[], None],
        on_broken: Callable[[], None],
    ) -> MessageChannel:
        """Open it; for the last three see MessageChannel."""


class OnDelivered(Protocol):
    """Called with what has been delivered; see wire.control.Delivered."""

    def __call__(self, target: str, through: int, forget: int) -> None:
        """Learn how far one socket's messages are delivered, and not needed again."""
