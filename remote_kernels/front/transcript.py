"""What the kernel said of one request of a cell, kept for pages that come back.

The messages lie in a spool, many in one of its entries: a notebook's cell may print
millions of lines. Read only when somebody asks, and not on the event loop. Called by
transcripts.py, which knows all of a kernel's; `Transcribed` goes to the page.
"""

from __future__ import annotations

import contextlib
import enum
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_client.session import DELIM

from remote_kernels.relay.spool import Spool
from remote_kernels.wire import messages
from remote_kernels.wire.messages import MessageDecoder

from . import jupyter_message
from .jupyter_message import Head

CHUNK = 64 * 1024  # bytes of one entry of the spool; a message may have more
ON_THEIR_WAY = 500  # messages that a page may still get though they are dropped here
CLEAR, ECHO, UPDATE = "clear_output", "execute_input", "update_display_data"
REPLY = "execute_reply"
OUTPUTS = frozenset({"stream", "display_data", "execute_result", "error"})
KEPT = OUTPUTS | {UPDATE, CLEAR, ECHO}  # a kernel itself restores its comms


class CellState(str, enum.Enum):
    """How far a request of a cell is."""

    WAITING = "waiting"  # the kernel is not there, or has not begun with it
    RUNNING = "running"
    FINISHED = "finished"
    ABORTED = "aborted"  # the kernel's process ended before

    @property
    def is_over(self) -> bool:
        """Whether no more is to be expected."""
        return self in (CellState.FINISHED, CellState.ABORTED)


@dataclass(frozen=True)
class Transcribed:
    """A request of a cell, and what was said of it, at one moment.

    Parameters
    ----------
    request, cell, session:
        The IDs of the request, of its cell, and of the client that sent it.
    state:
        How far it is.
    started, ended:
        The kernel's times of that (ISO 8601).
    until:
        The kernel's time of the newest message: a page that gets an older one of the
        kernel's drops it. A notebook server keeps many for a page that was cut off.
    dropped:
        How many messages are missing, because there was no room for them.
    gone:
        IDs of messages that are not there any more, the last of them, or that never
        were (of our own), and that a page must drop if it gets them, as it does with
        those that are there.
    asked, reply:
        The request, or the kernel's echo of it, and the kernel's reply, encoded.
    said:
        What was said, encoded: messages behind each other.
    """

    request: str
    cell: str
    session: str
    state: CellState
    started: str | None = None
    ended: str | None = None
    until: str | None = None
    dropped: int = 0
    gone: tuple[str, ...] = ()
    asked: bytes = b""
    reply: bytes = b""
    said: tuple[bytes, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API does. May take a while."""
        asked = [*_heads([self.asked])]
        reply = [head.content() for head in _heads([self.reply])]
        said = [head for head in asked if head.type == ECHO] + [*_heads(self.said)]
        counts = [
            head.content().get("execution_count")
            for head in said
            if head.type in (ECHO, "execute_result")
        ] + [content.get("execution_count") for content in reply]
        return {
            "request": self.request,
            "cell_id": self.cell,
            "code": asked[0].content().get("code") if asked else None,
            "session": self.session,
            "state": self.state.value,
            "execution_count": next((c for c in reversed(counts) if c), None),
            "started": self.started,
            "ended": self.ended,
            "until": self.until,
            "reply": reply[0] if reply else None,
            "messages": [_as_json(head) for head in said],
            "gone": [*self.gone],
            "dropped": self.dropped,
        }


def _as_json(head: Head) -> dict[str, Any]:
    """Return a message; what is binary in it is left out."""
    return {
        "msg_type": head.type,
        "msg_id": head.id,
        "content": head.content(),
        "metadata": head.metadata(),
    }


def encode(head: Head) -> bytes:
    """Return what is kept of a message; it says once more who it is."""
    header, metadata, content = head.header_data, *head.body[:2]
    return messages.encode([DELIM, b"", header, b"{}", metadata, content])


def _heads(encoded: Sequence[bytes]) -> Iterator[Head]:
    for data in encoded:
        for message in MessageDecoder().feed(data):
            head = jupyter_message.read(message.parts)
            if head is not None:
                yield head


class Transcript:
    """One request's.

    Parameters
    ----------
    spool:
        Where it is kept, with others.
    request, cell, session:
        As in `Transcribed`.
    """

    def __init__(self, spool: Spool, request: str, cell: str, session: str) -> None:
        self.request = request
        self.cell = cell
        self.session = session
        self.state = CellState.WAITING
        self.started: str | None = None
        self.ended: str | None = None
        self.until: str | None = None
        self.over_since = 0.0  # by the event loop's clock
        self.is_kept = True  # by the agent, too
        self.begins_at = 0  # bytes that the kernel had said before
        self.dropped = 0
        self._spool = spool
        self._asked = self._reply = 0  # places in the spool; 0: none
        self._chunks: deque[tuple[int, int]] = deque()  # places, numbers of messages
        self._loose: list[bytes] = []  # the newest messages, which fill no chunk yet
        self.loose_bytes = 0
        self._gone: deque[str] = deque(maxlen=ON_THEIR_WAY)
        self._clears_next = self._updates = False

    # What is said

    def ask(self, data: bytes) -> None:
        """Keep the request, or the kernel's echo of it."""
        self._asked = self._instead_of(self._asked, data)

    def reply(self, data: bytes) -> None:
        """Keep the kernel's reply."""
        self._reply = self._instead_of(self._reply, data)

    def _instead_of(self, place: int, data: bytes) -> int:
        self._spool.remove(place)
        return self._spool.append([data])

    def say(self, head: Head, data: bytes) -> None:
        """Keep a message."""
        if self._clears_next and head.type in OUTPUTS:
            self.clear()
        if head.type == CLEAR and not self._updates:
            self._clears_next = bool(head.content().get("wait"))
            if not self._clears_next:
                self.clear()
                self.pass_over(head.id)
                return
        self._updates |= head.type == UPDATE  # perhaps of what another cell shows
        self._loose.append(data)
        self.loose_bytes += len(data)
        if self.loose_bytes >= CHUNK:
            self.flush()

    def clear(self) -> None:
        """Drop what a page does not show any more."""
        self._clears_next = False
        self.flush()
        for place, _ in [*self._chunks][-2:]:
            self._note_gone(place)
        for place, _ in self._chunks:
            self._spool.remove(place)
        self._chunks.clear()

    def pass_over(self, message: str) -> None:
        """Note a message, by its ID, that must not be shown by who has all of this."""
        self._gone.append(message)

    def flush(self) -> None:
        """Put into the spool what is not there."""
        if self._loose:
            data, count = b"".join(self._loose), len(self._loose)
            self._chunks.append((self._spool.append([data]), count))
            self._loose, self.loose_bytes = [], 0

    # What is dropped

    @property
    def is_droppable(self) -> bool:
        """Whether there is something to drop."""
        return bool(self._chunks)

    def drop_oldest(self) -> None:
        """Drop the oldest chunk of messages, and count them."""
        place, count = self._chunks.popleft()
        self._note_gone(place)
        self._spool.remove(place)
        self.dropped += count

    def drop(self) -> None:
        """Drop all messages, and count them; the rest is small."""
        self.flush()
        while self._chunks:
            self.drop_oldest()

    def _note_gone(self, place: int) -> None:
        data = self._read(place)
        self._gone.extend(head.id for head in _heads([data]))

    def free(self) -> int:
        """Give its place in the spool back; return how many messages there were."""
        count = self.dropped + len(self._loose)
        for place, number in self._chunks:
            self._spool.remove(place)
            count += number
        self._chunks.clear()
        self._loose, self.loose_bytes = [], 0
        for place in (self._asked, self._reply):
            self._spool.remove(place)
        return count

    # What is asked for

    def now(self) -> Transcribed:
        """Return all of it as it is now."""
        said, dropped = [], self.dropped
        for place, count in self._chunks:
            data = self._read(place)
            dropped += 0 if data else count  # the disk is full, or went
            said.append(data)
        return Transcribed(
            self.request,
            self.cell,
            self.session,
            self.state,
            self.started,
            self.ended,
            self.until,
            dropped,
            (*self._gone,),
            self._read(self._asked),
            self._read(self._reply),
            (*said, b"".join(self._loose)),
        )

    def _read(self, place: int) -> bytes:
        parts = None
        with contextlib.suppress(OSError):  # its file was cut short
            parts = self._spool.read_one(place) if place else None
        return parts[0] if parts else b""
