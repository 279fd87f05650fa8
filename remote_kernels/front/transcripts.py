"""What pages that come back must still show: by request, up to a bound.

Only for kernels of which some page fills in its cells by itself: it has asked for them,
here or through an earlier server, as the marks in the kernel's words tell (see
marking.py). Kept until a page says that it has shown and saved them, or for a day. Told
of all that is asked and said by `Clients`; pages reach it by kernel/.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from remote_kernels.relay.spool import Spool

from .inbox import KernelMessage
from .jupyter_message import Head
from .marking import cell_in
from .transcript import ECHO, KEPT, REPLY, CellState, Transcribed, Transcript, encode

HOLD = 64 * 1024 * 1024  # bytes, unless told otherwise
MEMORY = 1024 * 1024  # of these bytes; a server may have many kernels
SEGMENT = 8 * 1024 * 1024  # bytes of one file
MOST = 1_000  # requests
HELD_TIME = 86400.0  # seconds that one which is over is kept
STEP = 1024 * 1024  # bytes between two looks whether the agent keeps too much
KINDS = {"iopub": KEPT, "shell": {REPLY}}
OnRequest = Callable[[str], None]


class Transcripts:
    """Those of one kernel.

    Parameters
    ----------
    on_kept, on_released:
        Called with the ID of a request, all of which the agent must keep, or need not
        keep any more.
    hold:
        Bytes of messages that are kept here. The agent keeps what came behind the
        first of them: at most twice as much.
    directory:
        Where to write what does not stay in memory; default: where temporary files
        are. The files have no name.
    """

    def __init__(
        self,
        on_kept: OnRequest,
        on_released: OnRequest,
        hold: int = HOLD,
        directory: Path | None = None,
    ) -> None:
        self.is_on = False  # some page fills in its cells by itself
        self.dropped = 0  # messages of requests that are not there any more
        self._on_kept = on_kept
        self._on_released = on_released
        self._hold = hold
        self._spool = Spool(
            str(directory or tempfile.gettempdir()),
            disk=hold,
            memory=min(MEMORY, hold // 2),
            segment=SEGMENT,
        )
        self._all: dict[str, Transcript] = {}  # by request, oldest first
        self._early: dict[str, bytes] = {}  # replies to requests of which comes more
        self._newest = {"iopub": 0, "shell": 0}  # messages that were taken
        self._said = 0  # bytes, of all that the kernel said
        self._looked = 0  # the same, at the last look
        self._expiry: asyncio.TimerHandle | None = None

    # What is asked and said

    def requested(self, request: Head) -> None:
        """Begin with a request, if it is marked."""
        cell = cell_in(request.header)
        if not cell:
            return
        data = encode(request)
        made = self._begin(request.id, cell, request.session)
        if self._make_room(len(data)):
            made.ask(data)

    def _begin(self, request: str, cell: str, session: str) -> Transcript:
        """Make a new one, instead of older ones of the same cell."""
        self.is_on = True
        for old in [*self._all.values()]:
            if old.cell == cell and old.state.is_over:
                self._remove(old)
        made = Transcript(self._spool, request, cell, session)
        made.begins_at = self._said
        self._all[request] = made
        self._on_kept(request)
        if request in self._early:
            made.reply(self._early.pop(request))
        while len(self._all) > MOST:
            over = (old for old in self._all.values() if old.state.is_over)
            oldest = next(over, next(iter(self._all.values())))
            self.dropped += self._remove(oldest)
        return made

    def take(self, message: KernelMessage, head: Head, size: int) -> None:
        """Note what a message of the kernel, of so many bytes, says of a request."""
        if not self.is_on and not cell_in(message.parent):
            return
        if message.number <= self._newest.get(message.target, message.number):
            return  # repeated, in a new session with the agent; or of no interest
        self._newest[message.target] = message.number
        self._count(size)
        if head.type == "status":
            self._note_state(message, head)
        found = self._all.get(message.cell)
        cell = cell_in(message.parent)
        if found is None and message.lost and cell:  # its beginning, too
            found = self._begin(message.cell, cell, message.session)
            found.state = CellState.RUNNING
        if found is not None:
            found.dropped += message.lost
            if head.type in KINDS[message.target]:
                self._keep(found, head)
                if message.target == "iopub":
                    found.until = _time(head)
        elif head.type == REPLY and cell and message.target == "shell":
            self._early[message.cell] = encode(head)
            if len(self._early) > MOST:
                del self._early[next(iter(self._early))]

    def awaits(self, request: str, size: int) -> bool:
        """Whether a message with so many bytes to come is to be taken; if not, it is missed."""
        found = self._all.get(request)
        if found is not None and size > self._hold:
            found.dropped += 1
            return False
        return found is not None

    def _note_state(self, message: KernelMessage, head: Head) -> None:
        state, cell = head.content().get("execution_state"), cell_in(message.parent)
        if state == "starting":
            self.process_ended()
        if not cell:
            return
        found = self._all.get(message.cell)
        if state == "busy":
            if found is None:
                found = self._begin(message.cell, cell, message.session)
            found.state, found.started = CellState.RUNNING, _time(head)
        elif state == "idle" and found is not None:
            found.ended = _time(head)
            self._end(found, CellState.FINISHED)

    def _end(self, one: Transcript, state: CellState) -> None:
        one.state = state
        one.flush()
        loop = asyncio.get_running_loop()
        one.over_since = loop.time()
        if self._expiry is None:
            self._expiry = loop.call_later(HELD_TIME, self._expire)

    def _keep(self, one: Transcript, head: Head) -> None:
        """Keep a message of a request, if there is room."""
        data = encode(head)
        if not self._make_room(len(data) + one.loose_bytes):
            one.dropped += 1
        elif head.type == ECHO:
            one.ask(data)
        elif head.type == REPLY:
            one.reply(data)
        else:
            one.say(head, data)

    def said(self, head: Head) -> None:
        """Note what we ourselves publish in the kernel's name."""
        found = self._all.get(head.parent_id)
        if found is not None and head.type == "stream":
            self._keep(found, head)
        elif found is not None:  # "clear": what is told again then is here once
            found.pass_over(head.id)

    def pass_over(self, request: str, message_ids: Iterable[str]) -> None:
        """Note what is no part of a request's output, though a page may get it."""
        found = self._all.get(request)
        if found is not None:
            for message_id in message_ids:
                found.pass_over(message_id)

    def process_ended(self) -> None:
        """Note that the kernel's process is gone, and what it was working on."""
        for one in self._all.values():
            if not one.state.is_over:
                self._end(one, CellState.ABORTED)

    # The bounds

    def _make_room(self, size: int) -> bool:
        """Drop what is old, first of what is over; return whether there is room."""
        if size > self._hold:
            return False
        while self._spool.size + size > self._hold:
            having = [one for one in self._all.values() if one.is_droppable]
            over = [one for one in having if one.state.is_over]
            if over:
                over[0].drop()
                self._release(over[0])
            elif having:
                having[0].drop_oldest()
            else:
                return False
        return True

    def _count(self, size: int) -> None:
        """Let the agent forget what is over, where it would have to keep too much."""
        self._said += size
        if self._said - self._looked < STEP:
            return
        self._looked = self._said
        for one in self._all.values():
            if self._said - one.begins_at <= 2 * self._hold:
                break
            if one.state.is_over:
                self._release(one)

    def _release(self, one: Transcript) -> None:
        if one.is_kept:
            one.is_kept = False
            self._on_released(one.request)

    def _remove(self, one: Transcript) -> int:
        """Forget one; return how many messages of it there were."""
        del self._all[one.request]
        self._release(one)
        return one.free()

    def _expire(self) -> None:
        """Drop what has been over for long."""
        self._expiry = None
        loop = asyncio.get_running_loop()
        over = [one for one in self._all.values() if one.state.is_over]
        for one in over:
            if one.over_since <= loop.time() - HELD_TIME:
                self.dropped += self._remove(one)
        since = [one.over_since for one in over if one.request in self._all]
        if since:
            self._expiry = loop.call_at(min(since) + HELD_TIME, self._expire)

    # Pages

    def now(self) -> list[Transcribed]:
        """Return all of them as they are now, in the order of their requests."""
        return [one.now() for one in self._all.values()]

    def shown(self, requests: Collection[str]) -> None:
        """Forget those of these that are over: a page has shown and saved them."""
        for request in requests:
            found = self._all.get(request)
            if found is not None and found.state.is_over:
                self._remove(found)

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, request: str) -> bool:
        return request in self._all

    def is_over(self, request: str) -> bool:
        """Whether a request is here, and no more is to be expected of it."""
        found = self._all.get(request)
        return found is not None and found.state.is_over

    def outlive_kernel(self) -> None:
        """Go on without a kernel, whose agent is no more."""
        self.process_ended()
        self._on_released = lambda request: None

    def close(self) -> None:
        """Forget all of it here; the agent keeps it."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._all.clear()
        self._spool.close()


def _time(head: Head) -> str | None:
    date = head.header.get("date")
    return date if isinstance(date, str) else None
