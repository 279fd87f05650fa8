"""What a kernel's clients have asked, have got, and must still get.

It outlives the front's sockets (made anew at each launch) and this server's life: what
an earlier server did not pass on comes again from the agent. A client is away when it
asked through that earlier server and has not spoken since; what is for it is held
until it does, because the notebook server drops what no browser listens to. Its
running cell is then cleared and told again from the start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from remote_kernels import harmless
from remote_kernels.relay.message_channel import MessageChannel
from remote_kernels.relay.spool import Spool
from remote_kernels.wire import objects
from remote_kernels.wire.frames import ProtocolError
from remote_kernels.wire.kernel_sockets import KEPT
from remote_kernels.wire.messages import Message, encode

from . import jupyter_message
from .jupyter_message import Head, Speaker
from .reports import Reports, Told

log = harmless.logger(__name__)

ASKED = 10_000  # requests remembered
EARLY = 1_000  # requests kept for an agent that is not reached yet
EARLY_BYTES = 16 * 1024 * 1024  # of them; one may be larger
HELD_DISK = 512 * 1024 * 1024  # bytes for clients that are away
SUBSCRIBE_TIME = 1.0  # seconds; a client that speaks subscribes at the same time
AGAIN = 1.0  # seconds until a channel that was given up is opened again
ABOUT_BYTES = 1024  # of a channel's first message
HELD_TIME = 86400.0  # seconds; a laptop may sleep for a night, a closed tab for ever


_TOO_LARGE = (
    "[remote_kernels] A message of the kernel was dropped here, because it had more "
    "than 4 GiB."
)


class Open(Protocol):
    """How to open a channel to one of the kernel's sockets."""

    def __call__(
        self,
        target: str,
        on_message: Callable[[Message], None],
        on_room: Callable[[], None],
        on_broken: Callable[[], None],
    ) -> MessageChannel: ...


class Sockets(Protocol):
    """Where clients are connected: the front."""

    def send(self, target: str, parts: list[bytes]) -> None: ...

    def room(self, target: str) -> None: ...

    def reaches(self, target: str, identity: bytes) -> bool:
        """Whether such a client has connected to that socket."""

    def begin(self, parts: list[bytes], left: int) -> Sink:
        """Publish a message of whose last frame `left` bytes follow."""

    def subscribing(self) -> bool:
        """Whether a client of iopub has connected and not yet subscribed."""


class Sink(Protocol):
    """Where the rest of a large message goes."""

    def write(self, data: bytes) -> None: ...

    def cut(self) -> None:
        """It will never come."""


@dataclass
class _About:
    """A message of the kernel; its frames are elsewhere."""

    target: str
    number: int
    header: dict[str, Any]  # the cell's, for messages of ours
    begins: bool  # the cell begins here
    lost: int  # dropped right before it, and in no client's hands

    @property
    def cell(self) -> str:
        return str(self.header.get("msg_id", ""))

    @property
    def session(self) -> str:
        return str(self.header.get("session", ""))


class Clients:
    """The clients of one kernel.

    Parameters
    ----------
    key:
        The connection's HMAC key.
    directory:
        A private directory, for what is held.
    told:
        Called from time to time with what has been delivered.
    info:
        The content of the kernel's kernel_info_reply, if it is known.
    """

    def __init__(
        self,
        key: bytes,
        directory: Path,
        told: Told,
        info: dict[str, Any] | None = None,
        on_info: Callable[[dict[str, Any]], None] = lambda info: None,
    ) -> None:
        self._speaker = Speaker(key)
        self._reports = Reports(told)
        self._info = info
        self._on_info = on_info
        self.told_to_end = False  # the kernel's process, by one of them
        self._sockets: Sockets | None = None
        self._channels: dict[str, MessageChannel] = {}
        self._again: dict[str, asyncio.TimerHandle] = {}  # channels to be opened
        self._newest = dict.fromkeys(KEPT, 0)  # that came in this session
        self._early: list[tuple[str, bytes]] = []  # asked before the agent is reached
        self._before = dict.fromkeys(KEPT, 0)  # delivered by an earlier server
        self._asked: dict[str, None] = {}
        self._present: dict[str, None] = {}  # sessions
        self._coming: dict[str, asyncio.TimerHandle] = {}  # sessions that spoke
        self._running: dict[str, dict[str, Any]] = {}  # cells, by msg_id; their headers
        self._retold: set[str] = set()  # cells of an earlier server, begun anew here
        self._held: list[tuple[int, _About]] = []  # with places in the spool
        self._sink: Sink | None = None  # of a large message that is being published
        self._pieces: list[Message] = []  # of one whose client is away
        self._due = 0  # bytes to come of a large message
        self._spool = Spool(str(directory), HELD_DISK)
        self._notices: list[str] = []
        self._said_busy = False  # for an away client's cell
        self._inherited: set[str] = set()  # requests made through an earlier server
        self._meeting: tuple[str, asyncio.Future[None]] | None = None
        self._forgetter: asyncio.TimerHandle | None = None

    def connect(self, open: Open) -> None:
        """A new session with the agent: all that it kept comes first."""
        self._cut()
        self._open_no_more()
        self._newest = dict.fromkeys(KEPT, 0)
        for target in KEPT:
            self._join(open, target)
        early, self._early = self._early, []
        for target, data in early:
            self._channels[target].send(data)
        for target in KEPT:
            self._room(target)

    def _join(self, open: Open, target: str) -> None:
        self._again.pop(target, None)
        self._channels[target] = open(
            target,
            lambda message: self._came(target, message),
            lambda: self._room(target),
            lambda: self._broke(open, target),
        )

    def _broke(self, open: Open, target: str) -> None:
        """The channel was given up: the agent repeats what it keeps on another one."""
        if target == "iopub":
            self._cut()

        def again() -> None:
            self._join(open, target)
            self._room(target)

        loop = asyncio.get_running_loop()
        self._again[target] = loop.call_later(AGAIN, again)

    def _open_no_more(self) -> None:
        for later in self._again.values():
            later.cancel()
        self._again.clear()

    def serve(self, sockets: Sockets | None) -> None:
        """Clients are connected there from now on."""
        self._sockets = sockets

    def _room(self, target: str) -> None:
        if self._sockets is not None:
            self._sockets.room(target)

    def full(self, target: str) -> bool:
        """Whether to take no more requests for now."""
        if target not in self._channels:
            size = sum(len(data) for _, data in self._early)
            return len(self._early) >= EARLY or size >= EARLY_BYTES
        return self._channels[target].full

    def _pass_on(self, target: str, data: bytes) -> None:
        if target in self._channels:
            self._channels[target].send(data)
        else:
            self._early.append((target, data))

    def move(self, directory: Path) -> None:
        """What is held from now on is held there."""
        self._spool.move(str(directory))

    def close(self) -> None:
        self._open_no_more()
        self._reports.close()
        for late in self._coming.values():
            late.cancel()
        if self._forgetter is not None:
            self._forgetter.cancel()
        self._spool.close()

    # From clients

    def request(self, target: str, parts: list[bytes]) -> None:
        """A client's message for the kernel."""
        head = jupyter_message.read(parts)
        answered = False
        if head is not None:
            self._note(head)
            self.told_to_end |= head.type == "shutdown_request"
            answered = target == "shell" and self._answered_for_kernel(head)
        if not answered:
            self._pass_on(target, encode(parts))
        if head is None or head.id in self._inherited:
            return  # its client may not have come back yet
        if head.is_of_client:
            self._greet(head.session)

    def _greet(self, session: str) -> None:
        """To a client that was away, what is held, once it has subscribed.

        A notebook server (jupyter_server 2.21) that holds the kernel for busy passes
        on what a page says without waiting for that.
        """
        if session in self._present or session in self._coming:
            return
        if self._sockets is not None and self._sockets.subscribing():
            loop = asyncio.get_running_loop()
            late = loop.call_later(SUBSCRIBE_TIME, self._hand_on, session)
            self._coming[session] = late
        else:
            self._hand_on(session)

    def inherit(self, requests: set[str]) -> None:
        """What clients asked an earlier server, and will be asked of the kernel."""
        self._inherited |= requests

    def welcome(self, sessions: set[str]) -> None:
        """Those have spoken to who was here before us."""
        for session in sessions:
            self._greet(session)

    def _note(self, head: Head) -> None:
        if head.id in self._inherited:
            return
        self._asked[head.id] = None
        if head.type == "execute_request":  # its "busy" is lost if it kills the kernel
            self._running[head.id] = head.header
        if len(self._asked) > ASKED:
            oldest = next(iter(self._asked))
            del self._asked[oldest]
            self._running.pop(oldest, None)

    def subscribed(self, topic: bytes) -> None:
        """A client subscribed: the kernel may want to welcome it (JEP 65)."""
        self._pass_on("iopub", encode([topic]))
        if self._sockets is not None and not self._sockets.subscribing():
            for session in [*self._coming]:
                self._hand_on(session)
        if self._away_runs():
            self._say_state("busy")

    def _away_runs(self) -> bool:
        """Whether a cell runs whose client is away."""
        return any(self._is_away(cell, head) for cell, head in self._running.items())

    def _say_state(self, state: str) -> None:
        """To all who are there: the kernel's own word is held with the cell's output."""
        self._said_busy = state == "busy"
        content = {"execution_state": state}
        self._publish(self._speaker.publication("status", content, {}))

    def _answered_for_kernel(self, head: Head) -> bool:
        """One that is busy, starts anew or is out of reach cannot answer now.

        Without an answer to its own question the notebook server (jupyter_server 2.21)
        opens no websocket for 60 s, and a page no other one meanwhile; a client that is
        away could not come back.
        """
        if head.type != "kernel_info_request" or self._info is None:
            return False
        if self._meeting is not None and self._meeting[0] == head.id:
            return False
        if head.is_of_client and not self._away_runs():
            return False
        speaker = self._speaker
        for state in ("busy", "idle"):
            content = {"execution_state": state}
            self._publish(speaker.publication("status", content, head.header))
            if state == "busy" and self._sockets is not None:
                reply = speaker.message(
                    head.identities, "kernel_info_reply", self._info, head.header
                )
                self._sockets.send("shell", reply)
        if self._running:
            said = self._said_busy
            self._say_state("busy")
            self._said_busy = said or self._away_runs()
        return True

    async def meet(self, timeout: float) -> Speaker:
        """Until the kernel has answered us: then we can speak in its name.

        A kernel that does not answer in so many seconds is left to its clients.
        """
        me = [b"remote_kernels"]
        parts = self._speaker.message(me, "kernel_info_request", {}, {})
        head = jupyter_message.read(parts)
        assert head is not None
        self._meeting = head.id, asyncio.get_running_loop().create_future()
        self.request("shell", parts)
        await asyncio.wait((self._meeting[1],), timeout=timeout)
        return self._speaker

    # From the kernel

    def _came(self, target: str, message: Message) -> None:
        if message.number == 0:
            self._begins(target, message)
            return
        if message.number <= self._newest[target]:
            return  # on a channel that was opened again
        if message.offset or message.left:
            whole = self._take_piece(target, message)
            if whole is None:
                return
            message = whole
        head = jupyter_message.read(message.parts)
        between = message.number - 1 - max(self._before[target], self._newest[target])
        self._newest[target] = message.number
        if not message.parts:
            self.notice(_TOO_LARGE)
        begins = False
        if head is not None and target == "iopub":
            begins = self._follow(head, message.number)
        elif head is not None and head.type == "kernel_info_reply":
            self._learn(head)
        header = head.parent if head is not None else {}
        lost = max(min(message.lost, between), 0)
        about = _About(target, message.number, header, begins, lost)
        if self._is_away(about.cell, header):
            self._hold(about, message.parts)
            if self._said_busy and not self._away_runs():
                self._say_state("idle")
        else:
            self._deliver(about, message.parts)
            if begins:
                self._tell_notices(header)
        self._reports.report_later()

    def _begins(self, target: str, message: Message) -> None:
        """A channel. Raises ProtocolError."""
        what = "a channel's first message"
        body = objects.decode(b"".join(message.parts), what, ABOUT_BYTES)
        delivered = body.get("delivered")
        if not isinstance(delivered, int):
            msg = f"{what} is {body!r}"
            raise ProtocolError(msg)
        if not self._newest[target]:
            self._before[target] = delivered

    # Large messages, in pieces

    def _take_piece(self, target: str, piece: Message) -> Message | None:
        """Pass it on at once to a client that is there; else the whole, in the end.

        Raises ProtocolError when it is not the next one.
        """
        sizes = [len(part) for part in piece.parts]
        if piece.offset and sizes and [self._due - piece.left] != sizes:
            msg = f"a piece at {piece.offset} of {sizes} bytes, {self._due} were due"
            raise ProtocolError(msg)
        if not piece.offset and not sizes:
            msg = "a large message begins without a frame"
            raise ProtocolError(msg)
        if not piece.offset:
            self._cut()
            self._begin(target, piece)
        elif not sizes:
            self._cut()
        elif self._sink is not None:
            self._sink.write(piece.parts[0])
        elif self._pieces:
            self._pieces.append(piece)
        self._due = piece.left
        if piece.left:
            return None
        self._newest[target] = piece.number
        self._sink = None
        pieces, self._pieces = self._pieces, []
        if not pieces:
            self._reports.handed_on(target, piece.number)
            self._reports.report_later()
            return None
        *before, last = pieces[0].parts
        last = b"".join([last, *(later.parts[0] for later in pieces[1:])])
        return Message(piece.number, [*before, last], pieces[0].lost)

    def _begin(self, target: str, piece: Message) -> None:
        head = jupyter_message.read(piece.parts)
        header = head.parent if head is not None else {}
        cell = str(header.get("msg_id", ""))
        wanted = cell in self._retold or piece.number > self._before[target]
        if self._sockets is None or self._is_away(cell, header) or piece.lost:
            self._pieces = [piece]
        elif wanted:
            self._sink = self._sockets.begin(piece.parts, piece.left)

    def _cut(self) -> None:
        """Its rest will not come."""
        if self._sink is not None:
            self._sink.cut()
        self._sink, self._pieces, self._due = None, [], 0

    def _follow(self, head: Head, number: int) -> bool:
        """Note a cell's begin and end; whether this is its begin."""
        self._speaker.speak_as(str(head.header.get("session", "")))
        state = head.content().get("execution_state") if head.type == "status" else None
        if state == "starting":  # a new process, of no cell; the old cells are over
            for cell in self._running:
                self._reports.ends(cell, number)
            self._running.clear()
        elif not head.parent_id:
            return False
        elif state == "busy":
            self._running[head.parent_id] = head.parent
            self._reports.begins(head.parent_id, number)
        elif state == "idle":
            self._running.pop(head.parent_id, None)
            self._reports.ends(head.parent_id, number)
        return state == "busy"

    def _learn(self, head: Head) -> None:
        self._speaker.speak_as(str(head.header.get("session", "")))
        asked, answered = self._meeting or ("", None)
        if answered is not None and asked == head.parent_id and not answered.done():
            answered.set_result(None)
        info = head.content()
        if self._info is None and info:
            self._info = info
            self._on_info(info)

    def _is_away(self, cell: str, header: dict[str, Any]) -> bool:
        session = str(header.get("session", ""))
        return bool(cell) and cell not in self._asked and session not in self._present

    def _deliver(self, about: _About, parts: list[bytes]) -> None:
        """To the client that is there, unless it has this from an earlier server."""
        if about.begins and about.cell not in self._asked:
            self._clear(about.header)
            self._retold.add(about.cell)
        if about.lost:
            self._tell_lost(about.lost, about.header)
        known = about.number <= self._before[about.target]
        wanted = about.cell in self._retold or not known
        if self._sockets is not None and wanted and parts:
            self._sockets.send(about.target, parts)
        self._reports.handed_on(about.target, about.number)

    def _publish(self, parts: list[bytes]) -> None:
        if self._sockets is not None:
            self._sockets.send("iopub", parts)

    # Clients that are away

    def _hold(self, about: _About, parts: list[bytes]) -> None:
        self._reports.held(about.target, about.number)
        self._held.append((self._spool.append(parts), about))
        if self._forgetter is None:
            loop = asyncio.get_running_loop()
            self._forgetter = loop.call_later(HELD_TIME, self._forget)

    def _forget(self) -> None:
        """Whoever has been away for so long does not come back."""
        self._forgetter = None
        held, self._held = self._held, []
        for _, about in held:
            self._reports.handed_on(about.target, about.number)
        self._spool.forget_all()
        self._reports.report_later()

    def _hand_on(self, session: str) -> None:
        """The client is back: what was held for it, in order."""
        if session in self._coming:
            self._coming.pop(session).cancel()
        self._present[session] = None
        mine = [held for held in self._held if held[1].session == session]
        self._held = [held for held in self._held if held[1].session != session]
        lost = 0
        for place, about in mine:
            parts = self._spool.read_one(place)
            if parts is None:
                lost += about.lost + (about.number > self._before[about.target])
                self._reports.handed_on(about.target, about.number)
            else:
                about.lost += lost
                lost = 0
                self._deliver(about, parts)
        if not self._held:
            self._spool.forget_all()
        self._reports.report_later()

    # In our own voice

    def notice(self, text: str) -> None:
        """Text for the person: in the running cell, or else in the next one."""
        for cell, header in self._running.items():
            if header.get("msg_type") == "execute_request":
                if not self._is_away(cell, header):
                    self._say(text, header)
                    return
                break
        self._notices.append(text)

    def _tell_notices(self, header: dict[str, Any]) -> None:
        if header.get("msg_type") == "execute_request":
            notices, self._notices = self._notices, []
            for text in notices:
                self._say(text, header)

    def _clear(self, header: dict[str, Any]) -> None:
        if header.get("msg_type") == "execute_request":
            content = {"wait": False}
            self._publish(self._speaker.publication("clear_output", content, header))

    def _say(self, text: str, header: dict[str, Any]) -> None:
        content = {"name": "stderr", "text": f"{harmless.text(text)}\n"}
        self._publish(self._speaker.publication("stream", content, header))

    def _tell_lost(self, count: int, header: dict[str, Any]) -> None:
        log.warning("%d messages of the kernel were dropped: the spool was full", count)
        text = (
            f"[remote_kernels] {count} messages of output were dropped here, because "
            "nobody took them and the spool was full."
        )
        self._say(text, header)
