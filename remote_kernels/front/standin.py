"""Answers for a kernel that is not there yet, because its job waits.

Says "starting"; has empty answers for what cannot be known; holds everything else, in
order, for the kernel. Below the first cell that each client runs it shows how the job
stands, and clears that away when the kernel takes over: the cell then runs as if it
had not waited. Called by kernel/ and by the front's sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from . import jupyter_message, usage
from .cell_display import CellDisplay
from .early_info import EarlyInfo
from .held_requests import LIMITED, HeldRequests
from .interfaces import Cancellable, ClientSockets, Later, Request
from .jupyter_message import ASK, RUN, Head
from .marking import cell_of, marked
from .question import Question
from .transcript import CellState, Transcribed, encode
from .voice import Voice

ERROR = "RemoteKernelError"
# Where nothing can be known: a page that waits for an answer seems to hang.
_EMPTY: dict[str, dict[str, Any]] = {
    "complete_request": {"matches": [], "metadata": {}},
    "inspect_request": {"found": False, "data": {}, "metadata": {}},
    "history_request": {"history": []},
    "is_complete_request": {"status": "unknown"},  # a console then decides by itself
    "comm_info_request": {"comms": {}},
    usage.ASK: usage.content({}),
}


def _later(seconds: float, call: Callable[[], None]) -> Cancellable:
    return asyncio.get_running_loop().call_later(seconds, call)


def _empty_answer(request: Head) -> dict[str, Any]:
    answer = _EMPTY[request.type]
    if request.type == "complete_request":
        at = request.content().get("cursor_pos", 0)
        return {**answer, "cursor_start": at, "cursor_end": at}
    return answer


class StandIn:
    """Speaks to clients for one kernel.

    Parameters
    ----------
    key:
        The connection's HMAC key.
    on_shutdown:
        Called when a client wants the kernel to end.
    on_failure_told:
        Called once a client has heard why there will be no kernel (see `fail`).
    on_held:
        Called with all that is held whenever that changes, so that a server which
        comes after this one can `restore` it; and with how many of them, from the
        first on, are those of the call before.
    later:
        Calls something after some seconds.
    language:
        The kernelspec's.
    """

    def __init__(
        self,
        key: bytes,
        on_shutdown: Callable[[], None] = lambda: None,
        on_failure_told: Callable[[], None] = lambda: None,
        on_held: Callable[[list[Request], int], None] = lambda held, known: None,
        later: Later = _later,
        language: str = "",
    ) -> None:
        self._on_shutdown = on_shutdown
        self._on_failure_told = on_failure_told
        self._failure = ""
        self._voice = voice = Voice(key)
        self._held = held = HeldRequests(on_held)
        self._display = CellDisplay(voice, held)
        self._question = Question(voice, held, self._display, later)
        self._info = EarlyInfo(voice, held, language, self.say_state, later)
        self.introduce, self.show = self._info.introduce, self._display.show
        self.ask, self.stop_asking = self._question.ask, self._question.stop
        self.restore, self.all_said = held.restore, self._display.all_said
        self.topics: set[bytes] = set()  # subscribed to
        self.sessions: set[str] = set()  # of clients that have spoken
        self.is_holding = False  # pages fill in their cells by themselves

    # Called by the front

    def serve(self, sockets: ClientSockets | None) -> None:
        """Answer at these sockets from now on; None: at none."""
        self._voice.sockets = sockets
        self._info.say_no_state()

    def subscribed(self, topic: bytes) -> bool:
        """Tell the state to a new subscriber."""
        self.topics.add(topic)
        self.say_state()
        return True

    def request(self, target: str, parts: list[bytes]) -> bool:
        """Answer a client's message, or hold it; tell whether another one may follow."""
        if target == "hb":
            self._voice.send(target, parts)
            return True
        head = jupyter_message.read(parts)
        if head is not None and head.is_of_client:
            self.sessions.add(head.session)
        if head is not None and self.is_holding:
            parts = marked(head, parts, self._voice.sign)
        if head is None or not self._is_answered(target, head, parts):
            self._held.add(target, parts)
        return self._held.has_room(target)

    def _is_answered(self, target: str, request: Head, parts: list[bytes]) -> bool:
        """Answer a request, or hold it as what it is; False if it is to be held."""
        if self._question.answer(request):
            return True
        if target not in ("shell", "control"):
            return False
        if request.type in _EMPTY:
            self._voice.reply(target, request, _empty_answer(request))
        elif request.type == RUN:
            self._run(target, request, parts)
        elif request.type == ASK:
            at_once = bool(self._failure)
            self._info.ask(target, request, parts, at_once=at_once)
        elif request.type == "interrupt_request":
            self._voice.reply(target, request, {})
            self.interrupt()
        elif request.type == "shutdown_request":
            restart = bool(request.content().get("restart"))
            self._voice.reply(target, request, {"restart": restart})
            self._on_shutdown()
        else:
            return False
        return True

    def _run(self, target: str, cell: Head, parts: list[bytes]) -> None:
        if self._failure:
            self._display.fail(target, cell, ERROR, self._failure)
            self._on_failure_told()
        elif self._question.text and not cell.content().get("allow_stdin"):
            self._display.fail(target, cell, ERROR, self._question.text)
        else:
            self._held.add_cell(target, cell, parts)
            self._question.cell_came(cell)

    # Called by kernel/, as are introduce, show, ask, stop_asking, restore and all_said

    @property
    def is_known(self) -> bool:
        """Whether it speaks as the kernel already."""
        return self._info.is_known

    @property
    def restored(self) -> set[str]:
        """The requests, by ID, that an earlier server held."""
        return self._held.restored

    def cells(self) -> list[Transcribed]:
        """Return the cells that wait, with what they show, for pages that come back."""
        self.is_holding = True
        return [self._as_held(head) for head in self._held.cells() if cell_of(head)]

    def _as_held(self, cell: Head) -> Transcribed:
        said = b"".join(map(encode, self._display.said(cell.id)[-2:]))  # clear, text
        state, who = CellState.WAITING, (cell.id, cell_of(cell), cell.session)
        return Transcribed(*who, state, asked=encode(cell), said=(said,))

    def say_state(self) -> None:
        """Tell the state; again and again, as servers cull who says nothing.

        Of a kernel that failed "idle", so that somebody runs a cell, and hears why.
        """
        self._voice.status("idle" if self._failure else "starting", {})

    def interrupt(self) -> None:
        """Cancel the cells that wait; the job goes on waiting."""
        self._drop_cells("KeyboardInterrupt", "cancelled while the job waited")

    def restart(self) -> None:
        """Drop what was for the old kernel: a new one is wanted."""
        self._failure = ""  # before the state is told
        self.interrupt()
        self._held.take_all()
        self._resume()

    def fail(self, why: str) -> None:
        """Say below the cells, now and later, why there will be no kernel."""
        told = self._held.has_cells()
        self._failure = why
        self._info.answer_held()  # no page runs a cell before
        self._drop_cells(ERROR, why)
        if told:
            self._on_failure_told()

    def _drop_cells(self, name: str, why: str) -> None:
        self._display.drop_cells(name, why)
        self.say_state()
        self._resume()

    def _resume(self) -> None:
        """Let those go on who had to wait, if there is room for them now."""
        for target in LIMITED:
            if self._voice.sockets is not None and self._held.has_room(target):
                self._voice.sockets.resume(target)

    def hand_over(self, session: str = "") -> list[Request]:
        """Give way to the kernel, which is there.

        What was shown is cleared.

        Parameters
        ----------
        session:
            The kernel's session ID, if it is known: JupyterLab drops messages of
            another one that come just before the kernel's. Without, nobody can know
            whether the kernel works, and it counts as idle.

        Returns
        -------
        list[Request]
            What the kernel must be asked, in order.
        """
        if session:
            self._voice.speak_as(session)
        self._info.stop()
        self._display.clear()
        if not session:
            self._voice.status("idle", {})
        return self._held.take_all()
