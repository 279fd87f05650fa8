"""Which requests the kernel is working on, above all cells; and the state it shows.

A client that is away has asked through an earlier server: see presence.py.
"""

from __future__ import annotations

from collections.abc import Callable

from .jupyter_message import RUN, Head, Header
from .voice import Voice

REMEMBERED = 10_000  # requests whose end never came


class Cells:
    """The requests that are under way.

    Parameters
    ----------
    is_away:
        Tells whether the client is away that made a request, by its ID and session.
    on_start, on_end:
        Called with the ID of a request, and the number of the message on iopub with
        which the kernel begins or ends it.
    is_for_all:
        Tells whether others show the output of that request than who made it.
    """

    def __init__(
        self,
        is_away: Callable[[str, str], bool],
        on_start: Callable[[str, int], None],
        on_end: Callable[[str, int], None],
        is_for_all: Callable[[str], bool] = lambda request: False,
    ) -> None:
        self._is_away = is_away
        self._is_for_all = is_for_all
        self._on_start = on_start
        self._on_end = on_end
        self._running: dict[str, Header] = {}  # by request

    def requested(self, request: Head) -> None:
        """Note a request: its "busy" is lost if it kills the kernel before that."""
        if request.type == RUN:
            self._running[request.id] = request.header
            if len(self._running) > REMEMBERED:
                del self._running[next(iter(self._running))]

    def follow(self, head: Head, number: int) -> bool:
        """Note what a message on iopub says of a request.

        Returns whether the kernel begins with one here.
        """
        if head.type != "status":
            return False
        state, request = head.content().get("execution_state"), head.parent_id
        if state == "starting":  # a new process, of no cell; the old cells are over
            for old in self._running:
                self._on_end(old, number)
            self._running.clear()
        elif not request:
            return False
        elif state == "busy":
            self._running[request] = head.parent
            self._on_start(request, number)
        elif state == "idle":
            self._running.pop(request, None)
            self._on_end(request, number)
        return state == "busy"

    @property
    def any_running(self) -> bool:
        """Whether any request is under way."""
        return bool(self._running)

    @property
    def any_of_away(self) -> bool:
        """Whether one is under way whose client is away."""
        return any(map(self._is_of_away, self._running.values()))

    def _is_of_away(self, header: Header) -> bool:
        return self._is_away(
            str(header.get("msg_id", "")), str(header.get("session", ""))
        )

    def visible(self) -> Header | None:
        """Return the header of the running cell, if somebody shows it."""
        for header in self._running.values():
            if header.get("msg_type") == RUN:
                shown = not self._is_of_away(header) or self._is_for_all(
                    str(header.get("msg_id", ""))
                )
                return header if shown else None
        return None


class ShownState:
    """Says in the kernel's place what pages do not hear, or do not count.

    While a cell of a client that is away runs, "busy": the kernel's own word of it is
    held, with the output of the cell. And "idle" after "starting": the kernel says so
    of what it was asked, and neither JupyterLab (4.6) nor the notebook server (2.21,
    untracked_message_types) counts that where it was asked what it is, as each is who
    comes; the page would show "starting" until somebody ran a cell.
    """

    def __init__(self, voice: Voice, cells: Cells) -> None:
        self._voice = voice
        self._cells = cells
        self._said_busy = False
        self._is_starting = False  # as far as pages know

    def starting(self) -> None:
        """Note that pages were told "starting", by a stand-in or by the kernel."""
        self._is_starting = True

    def is_there(self) -> None:
        """Tell those who were told "starting" that the kernel has answered."""
        if self._is_starting and self._voice.sockets and not self._cells.any_running:
            self._is_starting = False
            self._say("idle")

    def subscribed(self) -> None:
        """Tell the state to a client that has come."""
        if self._cells.any_of_away:
            self._say("busy")

    def held(self) -> None:
        """Tell the state if what was held is the end of the last such cell."""
        if self._said_busy and not self._cells.any_of_away:
            self._say("idle")

    def answered(self) -> None:
        """Correct the "idle" that went with an answer of ours."""
        if self._cells.any_running:
            said = self._said_busy
            self._say("busy")
            self._said_busy = said or self._cells.any_of_away

    def _say(self, state: str) -> None:
        self._said_busy = state == "busy"
        self._voice.status(state, {})
