"""Which of a kernel's clients are there.

A client is away when it asked through an earlier server and has not spoken since: the
notebook server drops what no browser listens to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .interfaces import ClientSockets
from .jupyter_message import Head

REMEMBERED = 10_000  # requests
SUBSCRIBE_TIME = 1.0  # seconds; a client that speaks subscribes at the same time


class Presence:
    """The clients of one kernel, by session, and what they asked through this server.

    Parameters
    ----------
    on_present:
        Called with the session of a client that is there from now on.
    """

    def __init__(self, on_present: Callable[[str], None]) -> None:
        self._on_present = on_present
        self._asked: dict[str, None] = {}  # requests, by ID
        self._adopted: set[str] = set()  # requests made through an earlier server
        self._present: set[str] = set()
        self._subscribing: dict[str, asyncio.TimerHandle] = {}  # sessions that spoke

    def adopt(self, requests: set[str]) -> None:
        """Expect requests that clients made through an earlier server."""
        self._adopted |= requests

    def note(self, request: Head) -> bool:
        """Note a request, and return whether it was made through this server."""
        if request.id in self._adopted:
            return False  # its client may not have come back yet
        self._asked[request.id] = None
        if len(self._asked) > REMEMBERED:
            del self._asked[next(iter(self._asked))]
        return True

    def has_asked(self, request: str) -> bool:
        """Whether that request was made through this server."""
        return request in self._asked

    def is_away(self, request: str, session: str) -> bool:
        """Whether the client that made this request is away; not if nobody made it."""
        present = request in self._asked or session in self._present
        return bool(request) and not present

    def attach(self, session: str, sockets: ClientSockets | None) -> None:
        """Count a client that has spoken as there, once it has subscribed.

        A notebook server (jupyter_server 2.21) that holds the kernel for busy passes
        on what a page says without waiting for that.
        """
        if session in self._present or session in self._subscribing:
            return
        if sockets is not None and sockets.awaits_subscriptions():
            loop = asyncio.get_running_loop()
            late = loop.call_later(SUBSCRIBE_TIME, self._attached, session)
            self._subscribing[session] = late
        else:
            self._attached(session)

    def all_subscribed(self) -> None:
        """Count all that have spoken as there."""
        for session in [*self._subscribing]:
            self._attached(session)

    def _attached(self, session: str) -> None:
        if session in self._subscribing:
            self._subscribing.pop(session).cancel()
        self._present.add(session)
        self._on_present(session)

    def close(self) -> None:
        """Stop waiting for subscriptions."""
        for late in self._subscribing.values():
            late.cancel()
