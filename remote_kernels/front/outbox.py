"""The kernel's messages on their way to its clients: at once, or when theirs is back.

What an earlier server has delivered is not sent again, but for the cell of a client
that comes back: that is cleared, and told again from its start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from remote_kernels.relay.spool import Spool

from . import jupyter_message
from .delivery import DeliveryReports
from .inbox import KernelMessage
from .interfaces import LargeMessage
from .jupyter_message import RUN
from .listener import Broadcast
from .notices import Notices
from .presence import Presence
from .transcript import KEPT
from .voice import Voice

DISK_BYTES = 512 * 1024 * 1024  # beyond that the oldest are dropped
HELD_TIME = 86400.0  # seconds; a laptop may sleep for a night, a closed tab for ever


class Outbox:
    """Hands on what the kernel says.

    Parameters
    ----------
    voice:
        Speaks to clients.
    presence:
        Knows which clients are there.
    notices:
        What we say to people ourselves.
    reports:
        Told of each message's fate.
    directory:
        A private directory, for what is held.
    """

    def __init__(
        self,
        voice: Voice,
        presence: Presence,
        notices: Notices,
        reports: DeliveryReports,
        directory: Path,
    ) -> None:
        self._voice = voice
        self._presence = presence
        self._notices = notices
        self._reports = reports
        self._held = HeldMessages(directory, self._handed_on)
        self.move = self._held.move
        self._retold: set[str] = set()  # cells of an earlier server, begun anew here
        self._for_all: set[str] = set()  # of these, who shows them is not who asked

    def put(self, message: KernelMessage, parts: list[bytes]) -> bool:
        """Deliver a message, or hold it; returns whether it was delivered."""
        if message.is_repeated and message.target != "iopub":
            self._handed_on(message)  # a reply that is here for transcripts alone
            return True
        if self._is_for_later(message):
            self._reports.held(message.target, message.number)
            self._held.add(message, parts)
            return False
        self._deliver(message, parts)
        return True

    def _is_for_later(self, message: KernelMessage) -> bool:
        for_all = message.target == "iopub" and self.is_for_all(message.cell)
        return not for_all and self._presence.is_away(message.cell, message.session)

    def _deliver(self, message: KernelMessage, parts: list[bytes]) -> None:
        if message.begins and not self._presence.has_asked(message.cell):
            if message.parent.get("msg_type") == RUN:
                self._voice.clear(message.parent)
            self._retold.add(message.cell)
        if message.lost:
            self._notices.lost(message.lost, message.parent)
        sockets = self._voice.sockets
        if sockets is not None and self._is_wanted(message) and parts:
            sockets.send(message.target, parts)
        self._handed_on(message)

    def _is_wanted(self, message: KernelMessage) -> bool:
        return not message.is_repeated or message.cell in self._retold

    def begin(
        self, message: KernelMessage, parts: list[bytes], left: int
    ) -> LargeMessage | None:
        """Publish a large message as it comes.

        Returns where its rest goes; None if it must be put together first, because its
        client is away, or because what was lost before it is to be told.
        """
        sockets = self._voice.sockets
        if sockets is None or self._is_for_later(message) or message.lost:
            return None
        if self._is_wanted(message):
            return sockets.begin(parts, left)
        return Broadcast([], left, lambda: None)  # to nobody

    def hand_on(self, session: str) -> None:
        """Deliver what was held for a client, in order: it is back."""
        lost = 0
        for message, parts in self._held.take(lambda held: held.session == session):
            if parts is None:
                lost += message.lost + (not message.is_repeated)
                self._handed_on(message)
            else:
                self._deliver(message._replace(lost=message.lost + lost), parts)
                lost = 0

    # For pages that fill in their cells by themselves, from transcripts

    def is_for_all(self, request: str) -> bool:
        """Whether what is published of a request waits for nobody."""
        return request in self._for_all

    def tell_all(self, request: str) -> None:
        """Publish what comes of a request from now on, whether who asked is there.

        What was held of it is in the transcript, but for what pages learn by this way
        alone. Replies, and questions, are still for who asked.
        """
        if request in self._for_all or self._presence.has_asked(request):
            return
        self._for_all.add(request)
        self._retold.add(request)
        held = self._held.take(
            lambda held: held.cell == request and held.target == "iopub"
        )
        for message, parts in held:
            head = jupyter_message.read(parts or [])
            shown = head is None or head.type in KEPT or message.is_repeated
            if self._voice.sockets is not None and parts and not shown:
                self._voice.sockets.send(message.target, parts)
            self._handed_on(message)

    def ended_before(self, request: str) -> None:
        """Note that an earlier server has delivered a request's end: it has all of it."""
        held = self._held.take(lambda held: held.cell == request and held.is_repeated)
        for message, _ in held:
            self._handed_on(message)

    def _handed_on(self, message: KernelMessage) -> None:
        self._reports.handed_on(message.target, message.number)

    def close(self) -> None:
        """Forget what is held: the agent has it for the next server."""
        self._held.close()


class HeldMessages:
    """Messages for clients that are away, in the order in which they came.

    Parameters
    ----------
    directory:
        A private directory, for what does not stay in memory.
    on_forgotten:
        Called with each message whose client has been away for too long.
    """

    def __init__(
        self, directory: Path, on_forgotten: Callable[[KernelMessage], None]
    ) -> None:
        self._on_forgotten = on_forgotten
        self._spool = Spool(str(directory), DISK_BYTES)
        self._held: list[tuple[int, KernelMessage]] = []  # with places in the spool
        self._forgetter: asyncio.TimerHandle | None = None

    def add(self, message: KernelMessage, parts: list[bytes]) -> None:
        """Hold a message."""
        self._held.append((self._spool.append(parts), message))
        if self._forgetter is None:
            loop = asyncio.get_running_loop()
            self._forgetter = loop.call_later(HELD_TIME, self._forget)

    def take(
        self, is_meant: Callable[[KernelMessage], bool]
    ) -> Iterator[tuple[KernelMessage, list[bytes] | None]]:
        """Yield some of the messages, in order; None for what was dropped."""
        held, self._held = self._held, []
        self._held = [entry for entry in held if not is_meant(entry[1])]
        for place, message in held:
            if is_meant(message):
                yield message, self._spool.read_one(place)
                self._spool.remove(place)
        if not self._held:
            self._spool.forget_all()

    def _forget(self) -> None:
        """Whoever has been away for so long does not come back."""
        self._forgetter = None
        held, self._held = self._held, []
        self._spool.forget_all()
        for _, message in held:
            self._on_forgotten(message)

    def move(self, directory: Path) -> None:
        """Hold in another directory what comes from now on."""
        self._spool.move(str(directory))

    def close(self) -> None:
        """Forget all of it here; the agent keeps it."""
        if self._forgetter is not None:
            self._forgetter.cancel()
        self._spool.close()
