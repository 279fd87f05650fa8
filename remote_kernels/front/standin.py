"""Answers for a kernel that is not there yet, because its job waits.

Knows the kernel by what it said of itself at an earlier start, or by a probe, else by
its kernelspec's language. Says "starting"; has empty answers for what cannot be known;
holds everything else, in order, for the kernel. Below the first cell that each client runs it shows how the job
stands, and clears that away when the kernel takes over: the cell then runs as if
it had not waited. Called by kernel/ and by the front's sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from jupyter_client._version import protocol_version

from remote_kernels import harmless
from remote_kernels.wrapping import WIDTH, wrapped

from . import jupyter_message
from .clients import Sockets
from .jupyter_message import Head, Speaker

log = harmless.logger(__name__)

HELD_BYTES = 64 * 1024 * 1024  # of requests; then clients must wait
RUN, ASK = "execute_request", "kernel_info_request"
# Seconds for which "idle" is seen after a kernel_info_reply: jupyter_server lets no
# message through to a page before it has found another state than "starting", for
# which it looks each 0.05 s (2.21, connection/channels.py, nudge).
SEEN = 0.2
CONNECTS = 0.1  # seconds between two looks whether a client can be asked
# Seconds in which a page's question what kernel this is may wait for the kernel's own
# answer, or a probe's: the page writes it into the notebook.
PATIENCE = 5.0
# What a page goes by until the kernel itself answers; of other languages, the name.
LANGUAGES = {"python": {"mimetype": "text/x-python", "file_extension": ".py"}}

Request = tuple[str, list[bytes]]  # to which of the kernel's sockets, and its frames


class Cancellable(Protocol):
    """A call to come."""

    def cancel(self) -> None: ...


Later = Callable[[float, Callable[[], None]], Cancellable]


def _later(seconds: float, call: Callable[[], None]) -> Cancellable:
    return asyncio.get_running_loop().call_later(seconds, call)


class StandIn:
    """Speaks to clients for one kernel.

    Parameters
    ----------
    key:
        The connection's HMAC key.
    on_shutdown:
        Called when a client wants the kernel to end.
    on_told:
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
        on_told: Callable[[], None] = lambda: None,
        on_held: Callable[[list[Request], int], None] = lambda held, known: None,
        later: Later = _later,
        language: str = "",
    ) -> None:
        self._speaker = Speaker(key)
        self._on_shutdown = on_shutdown
        self._on_told = on_told
        self._on_held = on_held
        self._later = later
        self._sockets: Sockets | None = None
        self._info: dict[str, Any] | None = None
        self._least = least_info(language)
        self._failure = ""
        self._question = ""
        self._prompt = ""
        self._on_answer: Callable[[str], None] = lambda answer: None
        self._held: list[Request] = []
        self._held_bytes = 0
        self._cells: dict[str, Head] = {}  # held requests to run code, by msg_id
        self._shown: dict[str, tuple[str, Head]] = {}  # by session: text, its cell
        self._soon: Cancellable | None = None
        self._at_last: Cancellable | None = None  # for pages that ask who this is
        self.topics: set[bytes] = set()  # subscribed to
        self.sessions: set[str] = set()  # of clients that have spoken
        self.restored: set[str] = set()  # requests that an earlier server held

    # Called by the front

    def serve(self, sockets: Sockets | None) -> None:
        self._sockets = sockets
        self._say_no_state()

    def full(self, target: str) -> bool:
        """Whether to take no more requests for now."""
        return self._held_bytes > HELD_BYTES and target in ("shell", "stdin")

    def subscribed(self, topic: bytes) -> None:
        self.topics.add(topic)
        self.say_state()

    def request(self, target: str, parts: list[bytes]) -> None:
        """A client's message for the kernel."""
        if target == "hb":
            self._send(target, parts)
            return
        head = jupyter_message.read(parts)
        if head is not None and head.is_of_client:
            self.sessions.add(head.session)
        if self._question and head is not None and head.type == "input_reply":
            self._on_answer(str(head.content().get("value", "")))
            return
        answer = _ANSWERS.get(head.type) if head is not None else None
        if head is not None and answer is not None and target in ("shell", "control"):
            answer(self, target, head, parts)
        else:
            self._hold(target, parts)

    def _hold(self, target: str, parts: list[bytes]) -> None:
        self._held.append((target, parts))
        self._held_bytes += sum(map(len, parts))
        self._on_held(self._held, len(self._held) - 1)

    # Answers

    def _run(self, target: str, head: Head, parts: list[bytes]) -> None:
        if self._failure:
            self._refuse(target, head, "RemoteKernelError", self._failure)
            self._on_told()
            return
        if self._question and not head.content().get("allow_stdin"):
            self._refuse(target, head, "RemoteKernelError", self._question)
            return
        self._hold(target, parts)
        self._cells[head.id] = head
        if self._question and head is self._first_cells()[head.session]:
            self._put_question(head)

    def _tell_info(self, target: str, head: Head, parts: list[bytes]) -> None:
        """At once to the notebook server, which opens no websocket before (2.21)."""
        if self._info is not None or self._failure or not head.is_of_client:
            self._answer_info(target, head)
            return
        self._hold(target, parts)
        if self._at_last is None:
            self._at_last = self._later(PATIENCE, self._tell_who_asked)

    def _answer_info(self, target: str, head: Head) -> None:
        """As a kernel does: without "busy" and "idle" the server asks again."""
        self._status("busy", head)
        self._reply(target, head, self._info or self._least)
        self._status("idle", head)
        self._say_no_state()
        self._soon = self._later(SEEN, self.say_state)

    def _complete(self, target: str, head: Head, parts: list[bytes]) -> None:
        at = head.content().get("cursor_pos", 0)
        none = {"matches": [], "cursor_start": at, "cursor_end": at, "metadata": {}}
        self._reply(target, head, none)

    def _inspect(self, target: str, head: Head, parts: list[bytes]) -> None:
        self._reply(target, head, {"found": False, "data": {}, "metadata": {}})

    def _history(self, target: str, head: Head, parts: list[bytes]) -> None:
        self._reply(target, head, {"history": []})

    def _is_complete(self, target: str, head: Head, parts: list[bytes]) -> None:
        self._reply(target, head, {"status": "unknown"})

    def _comms(self, target: str, head: Head, parts: list[bytes]) -> None:
        self._reply(target, head, {"comms": {}})

    def _interrupt(self, target: str, head: Head, parts: list[bytes]) -> None:
        self._reply(target, head, {})
        self.interrupt()

    def _shut_down(self, target: str, head: Head, parts: list[bytes]) -> None:
        restart = bool(head.content().get("restart"))
        self._reply(target, head, {"restart": restart})
        self._on_shutdown()

    # Called by kernel/

    def introduce(self, info: dict[str, Any]) -> None:
        """The kernel's kernel_info_reply is known now; who asked for it gets it."""
        self._info = info
        self._tell_who_asked()

    def _tell_who_asked(self) -> None:
        self._wait_no_more()
        rest = []
        for target, parts in self._held:
            head = jupyter_message.read(parts)
            if head is not None and head.type == ASK:
                self._answer_info(target, head)
            else:
                rest.append((target, parts))
        if len(rest) < len(self._held):
            self._set_held(rest)

    def _wait_no_more(self) -> None:
        if self._at_last is not None:
            self._at_last.cancel()
            self._at_last = None

    @property
    def is_known(self) -> bool:
        """Whether it speaks as the kernel already."""
        return self._info is not None

    def say_state(self) -> None:
        """Again and again: the server may cull a kernel that says nothing.

        Of one that failed "idle", so that somebody runs a cell, and hears why.
        """
        state = "idle" if self._failure else "starting"
        self._publish("status", {"execution_state": state}, {})

    def _say_no_state(self) -> None:
        if self._soon is not None:
            self._soon.cancel()

    def show(self, text: str) -> None:
        """How the job stands; nothing is sent where it is shown already."""
        for session, head in self._first_cells().items():
            shown = self._shown.get(session)
            if shown is None or shown != (text, head):
                self._publish("clear_output", {"wait": True}, head.header)
                content = {"name": "stdout", "text": f"{harmless.text(text)}\n"}
                self._publish("stream", content, head.header)
                self._shown[session] = text, head

    def _first_cells(self) -> dict[str, Head]:
        """By session: the first that waits."""
        first: dict[str, Head] = {}
        for head in self._cells.values():
            first.setdefault(head.session, head)
        return first

    def ask(self, question: str, prompt: str, on_answer: Callable[[str], None]) -> None:
        """Below the first cell of each client, now and later, until `ask_no_more`.

        Parameters
        ----------
        question:
            What is asked; also the error of a cell whose client cannot be asked.
        prompt:
            Its last line, before the field for the answer.
        on_answer:
            Called with each answer, of whomever.
        """
        self._question, self._prompt, self._on_answer = question, prompt, on_answer
        for head in self._first_cells().values():
            self._put_question(head)

    def _put_question(self, head: Head) -> None:
        """As soon as the client's socket for that is there: the others may be first.

        All of it in the prompt: output that comes after that would take the field away
        (JupyterLab 4.6).
        """
        if not self._question or head.id not in self._cells or self._sockets is None:
            return
        if not head.identities:  # nobody's: read from a file
            return
        if not self._sockets.reaches("stdin", head.identities[0]):
            self._later(CONNECTS, lambda: self._put_question(head))
            return
        self._shown[head.session] = self._question, head  # and cleared in the end
        prompt = harmless.text(f"{self._question}\n{self._prompt} ")
        content = {"prompt": prompt, "password": False}
        kind = "input_request"
        parts = self._speaker.message(head.identities, kind, content, head.header)
        self._send("stdin", parts)

    def ask_no_more(self) -> None:
        self._question = ""

    def interrupt(self) -> None:
        """Cancel the cells that wait; the job goes on waiting."""
        name, why = "KeyboardInterrupt", "cancelled while the job waited"
        self._drop_cells(name, why)

    def restart(self) -> None:
        """A new kernel is wanted: what was for the old one is dropped."""
        self._failure = ""  # before the state is told
        self.interrupt()
        self._set_held([])

    def restore(self, held: list[Request]) -> None:
        """What clients asked an earlier server."""
        for _, parts in held:
            head = jupyter_message.read(parts)
            if head is not None:
                self.restored.add(head.id)
                if head.type == RUN:
                    self._cells[head.id] = head
        self._set_held([*self._held, *held])

    def _set_held(self, held: list[Request]) -> None:
        self._held = held
        self._held_bytes = sum(len(part) for _, parts in held for part in parts)
        self._on_held(held, 0)

    def fail(self, why: str) -> None:
        """There will be no kernel: say so below the cells, now and later."""
        told = bool(self._cells)
        self._failure = why
        self._tell_who_asked()  # no page runs a cell before
        self._drop_cells("RemoteKernelError", why)
        if told:
            self._on_told()

    def hand_over(self, speak_as: Speaker) -> list[Request]:
        """The kernel is there: clear what we showed; what it must be asked, in order.

        Parameters
        ----------
        speak_as:
            With the kernel's session ID: JupyterLab drops messages of another one
            that come just before the kernel's.
        """
        self._speaker = speak_as
        self._say_no_state()
        self._wait_no_more()
        for _, head in self._shown.values():
            self._clear(head)
        self._shown.clear()
        self._cells.clear()
        held = self._held
        self._set_held([])
        return held

    # To clients

    def _drop_cells(self, name: str, why: str) -> None:
        """The first of each client's cells fails, those behind it are aborted."""
        cells, self._cells = self._cells, {}
        rest = [
            (target, parts)
            for target, parts in self._held
            if (head := jupyter_message.read(parts)) is None or head.id not in cells
        ]
        self._set_held(rest)
        failed: set[str] = set()
        for head in cells.values():
            if head.session not in failed:
                self._refuse("shell", head, name, why)
                failed.add(head.session)
            else:
                self._status("busy", head)
                self._reply("shell", head, {"status": "aborted"})
                self._status("idle", head)
        self._shown.clear()
        self.say_state()

    def _refuse(self, target: str, head: Head, name: str, why: str) -> None:
        """A cell that fails."""
        why = harmless.text(why)
        lines = wrapped(f"\x1b[31m{name}\x1b[0m: {why}", WIDTH).split("\n")
        error = {"ename": name, "evalue": why, "traceback": lines}
        self._status("busy", head)
        if any(shown is head for _, shown in self._shown.values()):
            self._clear(head)
        self._publish("error", error, head.header)
        content = {"status": "error", "execution_count": None, **error}
        self._reply(target, head, content)
        self._status("idle", head)

    def _clear(self, head: Head) -> None:
        self._publish("clear_output", {"wait": False}, head.header)

    def _status(self, state: str, head: Head) -> None:
        self._publish("status", {"execution_state": state}, head.header)

    def _reply(self, target: str, head: Head, content: dict[str, Any]) -> None:
        kind = head.type.replace("_request", "_reply")
        body = {"status": "ok", **content}
        parts = self._speaker.message(head.identities, kind, body, head.header)
        self._send(target, parts)

    def _publish(
        self, kind: str, content: dict[str, Any], parent: dict[str, Any]
    ) -> None:
        self._send("iopub", self._speaker.publication(kind, content, parent))

    def _send(self, target: str, parts: list[bytes]) -> None:
        if self._sockets is not None:
            self._sockets.send(target, parts)


def least_info(language: str) -> dict[str, Any]:
    """A kernel_info_reply's content for a kernel of which nothing more is known."""
    known = LANGUAGES.get(language.lower(), {})
    return {
        "protocol_version": protocol_version,
        "implementation": "remote_kernels",
        "implementation_version": "",
        "language_info": {
            "name": language,
            "version": "",
            "mimetype": "",
            "file_extension": "",
            **known,
        },
        "banner": "This kernel is not there yet; its job was submitted.",
        "help_links": [],
    }


_Answer = Callable[[StandIn, str, Head, list[bytes]], None]
_ANSWERS: dict[str, _Answer] = {
    RUN: StandIn._run,
    ASK: StandIn._tell_info,
    "complete_request": StandIn._complete,
    "inspect_request": StandIn._inspect,
    "history_request": StandIn._history,
    "is_complete_request": StandIn._is_complete,
    "comm_info_request": StandIn._comms,
    "interrupt_request": StandIn._interrupt,
    "shutdown_request": StandIn._shut_down,
}
