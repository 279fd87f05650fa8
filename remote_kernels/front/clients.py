"""What a kernel's clients have asked, have got, and must still get.

It outlives the front's sockets (made anew at each launch) and this server's life: what
an earlier server did not pass on comes again from the agent. Here the parts meet: a
request goes by `Presence`, `Cells` and `KernelInfo` to `AgentChannels`; a message comes
from there by `Inbox` and `Cells` to `Outbox`. None of these knows the way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remote_kernels.bounded import within

from . import jupyter_message, usage
from .agent_channels import AgentChannels
from .cells import Cells, ShownState
from .delivery import DeliveryReports
from .inbox import Inbox, KernelMessage
from .interfaces import ClientSockets, LargeMessage, OnDelivered
from .jupyter_message import RUN, Head
from .kernel_info import KernelInfo
from .marking import cell_in, marked
from .notices import TOO_LARGE, Notices
from .outbox import Outbox
from .overheard import Overheard
from .presence import SUBSCRIBE_TIME, Presence
from .transcript import REPLY, Transcribed
from .transcripts import HOLD, Transcripts
from .usage import UsageAnswers
from .voice import Voice


class Clients:
    """The clients of one kernel.

    Parameters
    ----------
    key:
        The connection's HMAC key.
    directory:
        A private directory, for what is held.
    on_delivered:
        Called from time to time with what has been delivered.
    info:
        The content of the kernel's kernel_info_reply, if it is known.
    on_info:
        Called with that content when it becomes known.
    hold:
        Bytes of output that are kept for pages that come back.
    measure:
        Has the agent measure what the kernel uses; see `measured`.
    """

    def __init__(
        self,
        key: bytes,
        directory: Path,
        on_delivered: OnDelivered,
        info: dict[str, Any] | None = None,
        on_info: Callable[[dict[str, Any]], None] = lambda info: None,
        hold: int = HOLD,
        measure: Callable[[], None] = lambda: None,
    ) -> None:
        self.shutdown_requested = False  # by one of them, of the kernel's process
        self._voice = voice = Voice(key)
        self._reports = reports = DeliveryReports(on_delivered)
        self._presence = presence = Presence(
            lambda session: self._outbox.hand_on(session)
        )
        iopub = reports.deliveries["iopub"]
        self._cells = cells = Cells(
            presence.is_away,
            iopub.begins,
            iopub.ends,
            lambda request: self._outbox.is_for_all(request),
        )
        self._state = ShownState(voice, cells)
        self._info = KernelInfo(voice, cells, self._state, info, on_info)
        self._notices = Notices(voice, cells)
        self.notice = self._notices.notice
        self._usage = UsageAnswers(voice, measure)
        self.measured = self._usage.measured
        self._outbox = Outbox(voice, presence, self._notices, reports, directory)
        self._transcripts = Transcripts(reports.keep, reports.release, hold)
        self._fills_in = False  # a page that asked this server
        self._has_left = False
        self._all_subscribed = asyncio.Event()
        voice.on_said = self._transcripts.said
        self.pass_over, self.shown = (
            self._transcripts.pass_over,
            self._transcripts.shown,
        )
        inbox = Inbox(self._message, self._begin, reports.handed_on)
        self._channels = AgentChannels(inbox, self._has_room)
        self.connect, self.adopt = self._channels.connect, presence.adopt
        self.move = self._outbox.move

    # Called by kernel/, as are connect, adopt, notice, measured, move, pass_over, shown

    async def handshake(self, timeout: float) -> str:
        """Wait until the kernel has answered us, at most so many seconds.

        Returns the session ID by which we can speak in its name.
        """
        return await self._info.handshake(self.request, timeout)

    def attach(self, sessions: set[str]) -> None:
        """Count clients as there that have spoken to who was here before us.

        That was a stand-in, who said "starting".
        """
        for session in sessions:
            self._presence.attach(session, self._voice.sockets)
        self._state.starting()
        if self._info.has_answered:
            self._state.is_there()

    def new_process(self) -> None:
        """Expect another process of the kernel: nobody has asked that one to end."""
        self.shutdown_requested = False

    def process_ended(self) -> None:
        """Note that the kernel's process is gone."""
        self._transcripts.process_ended()

    @property
    def dropped(self) -> int:
        """How many messages were dropped, of requests that are kept no more."""
        return self._transcripts.dropped

    def hold(self) -> None:
        """Keep from now on what cells print, for pages that fill them in themselves."""
        self._transcripts.is_on = True

    async def cells(self) -> list[Transcribed]:
        """Return what is kept for pages; from then on all that comes is published.

        So a page that has subscribed before it asks misses nothing. It gets some twice:
        what is here, and on its way to it at the same time.
        """
        self.hold()
        sockets = self._voice.sockets
        if sockets is not None and sockets.awaits_subscriptions():
            self._all_subscribed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self._all_subscribed.wait(), SUBSCRIBE_TIME)
        found = self._transcripts.now()
        for one in found:
            self._outbox.tell_all(one.request)
        self._fills_in = True
        return found

    def leave(self) -> Transcripts | None:
        """Give away what pages must still show of a kernel that is no more, if anything."""
        if not self._transcripts:
            return None
        self._has_left = True
        self._transcripts.outlive_kernel()
        return self._transcripts

    def close(self) -> None:
        """Stop, and leave to the next server what was not delivered."""
        self._channels.close()
        self._reports.close()
        self._presence.close()
        self._outbox.close()
        if not self._has_left:
            self._transcripts.close()

    # Called by the front

    def serve(self, sockets: ClientSockets | None) -> None:
        """Answer at these sockets from now on; None: at none."""
        self._voice.sockets = sockets

    def request(self, target: str, parts: list[bytes]) -> bool:
        """Pass a client's message to the kernel, and tell whether there is room."""
        has_room, head = True, jupyter_message.read(parts)
        if head is None:
            return self._channels.send(target, parts)
        if head.type == RUN:
            head, parts = self._marked(head, parts)
        is_ours = self._presence.note(head)
        if is_ours:
            self._cells.requested(head)
        self.shutdown_requested |= head.type == "shutdown_request"
        if head.type == usage.ASK and target == "control":
            self._usage.ask(head)
        elif not self._info.answer(target, head):
            has_room = self._channels.send(target, parts)
        if is_ours and head.is_of_client:
            self._presence.attach(head.session, self._voice.sockets)
        return has_room

    def _marked(self, head: Head, parts: list[bytes]) -> tuple[Head, list[bytes]]:
        """Return a request to run a cell as the kernel gets it."""
        if self._transcripts.is_on:
            parts = marked(head, parts, self._voice.sign)
            head = jupyter_message.read(parts) or head
        self._transcripts.requested(head)
        return head, parts

    def subscribed(self, topic: bytes) -> bool:
        """Tell the kernel, who may want to welcome the client (JEP 65)."""
        has_room = self._channels.send("iopub", [topic])
        sockets = self._voice.sockets
        if sockets is not None and not sockets.awaits_subscriptions():
            self._presence.all_subscribed()
            self._all_subscribed.set()
        self._state.subscribed()
        return has_room

    # Called by the parts

    def _message(
        self, message: KernelMessage, head: Head | None, parts: list[bytes]
    ) -> None:
        """Take a message of the kernel."""
        if not parts:
            self._notices.notice(TOO_LARGE)
        if head is None:
            pass
        elif message.target == "iopub":
            self._voice.speak_as(head.session)
            if self._cells.follow(head, message.number):
                message = message._replace(begins=True)
        elif head.type == "kernel_info_reply":
            self._info.learn(head)
        if head is not None:
            self._transcribe(message, head, sum(map(len, parts)))
        if not self._outbox.put(message, parts):
            self._state.held()
            if message.is_repeated and self._transcripts.is_over(message.cell):
                self._outbox.ended_before(message.cell)
            return
        if message.begins:
            self._notices.begins(message.parent)
        if head is not None and head.type in ("status", "kernel_info_reply"):
            self._follow(head)

    def _follow(self, head: Head) -> None:
        """Note what pages have heard of the kernel's state."""
        if head.content().get("execution_state") == "starting":
            self._state.starting()
        else:
            self._state.is_there()

    def _begin(
        self, message: KernelMessage, parts: list[bytes], left: int
    ) -> LargeMessage | None:
        """Publish a large message as it comes; see Outbox.begin."""
        begun = self._outbox.begin(message, parts, left)
        if begun is None or not self._transcripts.awaits(message.cell, left):
            return begun

        def whole(parts: list[bytes]) -> None:
            head = jupyter_message.read(parts)
            if head is not None:
                self._transcribe(message, head, sum(map(len, parts)))

        return Overheard(begun, parts, left, whole)

    def _transcribe(self, message: KernelMessage, head: Head, size: int) -> None:
        """Keep for pages what a message says of a request."""
        self._transcripts.take(message, head, size)
        if head.type == REPLY and cell_in(message.parent):
            self._reports.replied(message.cell, message.number)
        if self._fills_in and message.cell in self._transcripts:
            self._outbox.tell_all(message.cell)

    def _has_room(self, target: str) -> None:
        if self._voice.sockets is not None:
            self._voice.sockets.resume(target)
