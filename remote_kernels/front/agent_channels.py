"""The channels to the kernel's sockets, by which requests go and messages come.

Knows nothing of what they carry. Requests wait here until the agent is reached for the
first time; a channel that was given up is opened again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from remote_kernels.relay.message_channel import MessageChannel
from remote_kernels.wire.kernel_sockets import KEPT
from remote_kernels.wire.messages import encode

from .inbox import Inbox
from .interfaces import OpenChannel

EARLY = 1_000  # requests kept for an agent that is not reached yet
EARLY_BYTES = 16 * 1024 * 1024  # of them; one may be larger
AGAIN = 1.0  # seconds until a channel that was given up is opened again


class AgentChannels:
    """One channel for each socket whose messages the agent keeps.

    Parameters
    ----------
    inbox:
        Takes what the kernel says.
    on_room:
        Called with the name of a socket for which requests can be sent again.
    """

    def __init__(self, inbox: Inbox, on_room: Callable[[str], None]) -> None:
        self._inbox = inbox
        self._on_room = on_room
        self._channels: dict[str, MessageChannel] = {}
        self._early: list[tuple[str, bytes]] = []
        self._early_bytes = 0
        self._reopening: dict[str, asyncio.TimerHandle] = {}

    def connect(self, open_channel: OpenChannel) -> None:
        """Open all of them in a new session with the agent: what it kept comes first."""
        self.close()
        self._inbox.reset()
        for target in KEPT:
            self._open(open_channel, target)
        early, self._early, self._early_bytes = self._early, [], 0
        for target, data in early:
            self._channels[target].send(data)
        for target in KEPT:
            self._on_room(target)

    def _open(self, open_channel: OpenChannel, target: str) -> None:
        self._channels[target] = open_channel(
            target,
            partial(self._inbox.receive, target),
            partial(self._on_room, target),
            partial(self._broken, open_channel, target),
        )

    def _broken(self, open_channel: OpenChannel, target: str) -> None:
        """Open it again later; the agent then repeats what it keeps."""
        self._inbox.interrupted(target)
        loop = asyncio.get_running_loop()
        later = loop.call_later(AGAIN, self._reopen, open_channel, target)
        self._reopening[target] = later

    def _reopen(self, open_channel: OpenChannel, target: str) -> None:
        del self._reopening[target]
        self._open(open_channel, target)
        self._on_room(target)

    def send(self, target: str, parts: list[bytes]) -> bool:
        """Send a request to the kernel, and tell whether there is room for another."""
        data = encode(parts)
        channel = self._channels.get(target)
        if channel is not None:
            channel.send(data)
            return not channel.full
        self._early.append((target, data))
        self._early_bytes += len(data)
        return len(self._early) < EARLY and self._early_bytes < EARLY_BYTES

    def close(self) -> None:
        """Open no channel any more."""
        for later in self._reopening.values():
            later.cancel()
        self._reopening.clear()
