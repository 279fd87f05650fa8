"""What a kernel's clients have asked, have got, and must still get.

It outlives the front's sockets (made anew at each launch) and this server's life: what
an earlier server did not pass on comes again from the agent. Here the parts meet: a
request goes by `Presence`, `Cells` and `KernelInfo` to `AgentChannels`; a message comes
from there by `Inbox` and `Cells` to `Outbox`. None of these knows the way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import jupyter_message
from .agent_channels import AgentChannels
from .cells import Cells, ShownState
from .delivery import DeliveryReports
from .inbox import Inbox, KernelMessage
from .interfaces import ClientSockets, OnDelivered
from .jupyter_message import Head
from .kernel_info import KernelInfo
from .notices import TOO_LARGE, Notices
from .outbox import Outbox
from .presence import Presence
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
    """

    def __init__(
        self,
        key: bytes,
        directory: Path,
        on_delivered: OnDelivered,
        info: dict[str, Any] | None = None,
        on_info: Callable[[dict[str, Any]], None] = lambda info: None,
    ) -> None:
        self.shutdown_requested = False  # by one of them, of the kernel's process
        self._voice = voice = Voice(key)
        self._reports = reports = DeliveryReports(on_delivered)
        self._presence = presence = Presence(
            lambda session: self._outbox.hand_on(session)
        )
        iopub = reports.deliveries["iopub"]
        self._cells = cells = Cells(presence.is_away, iopub.begins, iopub.ends)
        self._state = ShownState(voice, cells)
        self._info = KernelInfo(voice, cells, self._state, info, on_info)
        self._notices = Notices(voice, cells)
        self.notice = self._notices.notice
        self._outbox = Outbox(voice, presence, self._notices, reports, directory)
        inbox = Inbox(self._message, self._outbox.begin, reports.handed_on)
        self._channels = AgentChannels(inbox, self._has_room)
        self.connect, self.adopt = self._channels.connect, presence.adopt
        self.move = self._outbox.move

    # Called by kernel/, as are connect, adopt, notice and move

    async def handshake(self, timeout: float) -> str:
        """Wait until the kernel has answered us, at most so many seconds.

        Returns the session ID by which we can speak in its name.
        """
        return await self._info.handshake(self.request, timeout)

    def attach(self, sessions: set[str]) -> None:
        """Count clients as there that have spoken to who was here before us."""
        for session in sessions:
            self._presence.attach(session, self._voice.sockets)

    def new_process(self) -> None:
        """Expect another process of the kernel: nobody has asked that one to end."""
        self.shutdown_requested = False

    def close(self) -> None:
        """Stop, and leave to the next server what was not delivered."""
        self._channels.close()
        self._reports.close()
        self._presence.close()
        self._outbox.close()

    # Called by the front

    def serve(self, sockets: ClientSockets | None) -> None:
        """Answer at these sockets from now on; None: at none."""
        self._voice.sockets = sockets

    def request(self, target: str, parts: list[bytes]) -> bool:
        """Pass a client's message to the kernel, and tell whether there is room."""
        has_room, head = True, jupyter_message.read(parts)
        if head is None:
            return self._channels.send(target, parts)
        is_ours = self._presence.note(head)
        if is_ours:
            self._cells.requested(head)
        self.shutdown_requested |= head.type == "shutdown_request"
        if not self._info.answer(target, head):
            has_room = self._channels.send(target, parts)
        if is_ours and head.is_of_client:
            self._presence.attach(head.session, self._voice.sockets)
        return has_room

    def subscribed(self, topic: bytes) -> bool:
        """Tell the kernel, who may want to welcome the client (JEP 65)."""
        has_room = self._channels.send("iopub", [topic])
        sockets = self._voice.sockets
        if sockets is not None and not sockets.awaits_subscriptions():
            self._presence.all_subscribed()
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
        if not self._outbox.put(message, parts):
            self._state.held()
        elif message.begins:
            self._notices.begins(message.parent)

    def _has_room(self, target: str) -> None:
        if self._voice.sockets is not None:
            self._voice.sockets.resume(target)
