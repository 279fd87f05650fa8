"""What a kernel says of itself: learnt from it, and told for one that cannot answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from remote_kernels.bounded import within

from . import jupyter_message
from .cells import Cells, ShownState
from .jupyter_message import ASK, Head
from .voice import Voice


class KernelInfo:
    """The content of a kernel's kernel_info_reply.

    Parameters
    ----------
    voice:
        Speaks to clients.
    cells:
        What the kernel is working on.
    state:
        The state that clients see.
    info:
        The content, if it is known.
    on_info:
        Called with the content when it becomes known.
    """

    def __init__(
        self,
        voice: Voice,
        cells: Cells,
        state: ShownState,
        info: dict[str, Any] | None,
        on_info: Callable[[dict[str, Any]], None],
    ) -> None:
        self._voice = voice
        self._cells = cells
        self._state = state
        self._info = info
        self._on_info = on_info
        self._asked = ""  # our own request, by ID
        self._answered = asyncio.Event()

    def answer(self, target: str, request: Head) -> bool:
        """Answer for a kernel that is busy, starts anew or is out of reach.

        Without an answer to its own question the notebook server (jupyter_server 2.21)
        opens no websocket for 60 s, and a page no other one meanwhile; a client that is
        away could not come back.

        Returns whether the request was such a question, and is answered.
        """
        if request.type != ASK or target != "shell" or self._info is None:
            return False
        if request.id == self._asked:
            return False
        if request.is_of_client and not self._cells.any_of_away:
            return False
        self._voice.answer(target, request, self._info)
        self._state.answered()
        return True

    @property
    def has_answered(self) -> bool:
        """Whether the kernel has answered our own request, if there was one."""
        return self._answered.is_set()

    def learn(self, reply: Head) -> None:
        """Note what the kernel says of itself."""
        self._voice.speak_as(reply.session)
        if reply.parent_id and reply.parent_id == self._asked:
            self._answered.set()
        info = reply.content()
        if self._info is None and info:
            self._info = info
            self._on_info(info)

    async def handshake(
        self, send: Callable[[str, list[bytes]], object], timeout: float
    ) -> str:
        """Ask the kernel what it is, and wait for its answer.

        Parameters
        ----------
        send:
            Sends a request to one of the kernel's sockets.
        timeout:
            Seconds after which a kernel that does not answer is left to its clients.

        Returns
        -------
        str
            The session ID by which we can speak in the kernel's name.
        """
        request = self._voice.own_request(ASK)
        head = jupyter_message.read(request)
        assert head is not None
        self._asked = head.id
        self._answered.clear()
        send("shell", request)
        with contextlib.suppress(asyncio.TimeoutError):
            await within(self._answered.wait(), timeout)
        return self._voice.session
