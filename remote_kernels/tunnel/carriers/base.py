"""What a carrier is. Called by tunnel.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from remote_kernels.errors import TunnelError

P = TypeVar("P", bound=asyncio.Protocol)


class CarrierError(TunnelError):
    """One carrier does not reach the agent. The text says why.

    `no_answer`: nobody answered at all, which is what a firewall does.
    """

    def __init__(self, text: str, *, no_answer: bool = False) -> None:
        super().__init__(text)
        self.no_answer = no_answer


class Pipe(Protocol):
    """A two-way byte pipe to the agent, and all that holds it up."""

    async def close(self) -> str:
        """Close it, wait (bounded) for what it was made of, and return what that said."""


class Carrier(Protocol):
    """One way to reach the agent.

    `name` is what the user calls it, as in the option 'carrier'.
    """

    name: str

    @property
    def slow(self) -> float:
        """Seconds that it may need before the agent can be heard of."""

    @property
    def answers(self) -> bool:
        """Whether the node was heard of in the attempt that is being made."""

    async def connect(self, make: Callable[[], P]) -> tuple[Pipe, P]:
        """Make a pipe and join it to a protocol from `make`. Raises CarrierError."""


class Adoption(Protocol):
    """What a node does with an ssh session besides running it.

    Some batch systems put it into a job of the user's, and end it with that job. Given
    to the ssh carrier by who knows the batch system; for sessions to one agent. By
    default the methods are those of a node that leaves sessions alone.
    """

    command: Sequence[str]
    """Run in each session, until the session's input ends; what it says tells."""

    async def turn(self) -> None:
        """Wait until a session may be begun."""
        return

    def is_told(self, said: bytes) -> bool:
        """Return whether this is what `command` says; a shell may say something first."""
        return False

    @property
    def in_doubt(self) -> bool:
        """Whether what a session says must be waited for, before it is used."""
        return False

    def keeps(self, said: bytes) -> bool:
        """Return whether the session that said so may stay."""
        return True

    def lost(self, said: bytes) -> None:
        """Learn that the node has ended the session that said so; empty: it said nothing."""
        return


class Unadopted(Adoption):
    """A node that leaves ssh sessions alone."""

    command = ("cat", "-")
