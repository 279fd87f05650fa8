"""What a carrier is. Called by tunnel.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from remote_kernels.errors import TunnelError

P = TypeVar("P", bound=asyncio.Protocol)


class CarrierError(TunnelError):
    """This carrier does not reach the agent. The text says why.

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

    `name` is what the user calls it, such as ssh.
    """

    name: str

    @property
    def answers(self) -> bool:
        """Whether the node was heard of in the attempt that is being made."""

    async def connect(self, make: Callable[[], P]) -> tuple[Pipe, P]:
        """Make a pipe and join it to a protocol from `make`. Raises CarrierError."""
