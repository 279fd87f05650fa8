"""What a cell shows that waits for its kernel, and how it ends without one."""

from __future__ import annotations

from collections import deque

from remote_kernels import harmless
from remote_kernels.wrapping import WIDTH, wrapped

from .held_requests import HeldRequests
from .jupyter_message import Head
from .voice import Voice

ON_THEIR_WAY = 10  # messages that a page may still get when it asks what is shown


class CellDisplay:
    """Text below the first cell of each client, until the kernel takes over.

    Parameters
    ----------
    voice:
        Speaks to clients.
    held:
        The cells that wait.
    """

    def __init__(self, voice: Voice, held: HeldRequests) -> None:
        self._voice = voice
        self._held = held
        self._shown: dict[str, tuple[str, Head]] = {}  # by session: text, its cell
        self._said: dict[str, deque[Head]] = {}  # by cell's request: our last messages
        voice.on_said = self._note_said

    def _note_said(self, message: Head) -> None:
        last = deque[Head](maxlen=ON_THEIR_WAY)
        self._said.setdefault(message.parent_id, last).append(message)

    def said(self, request: str) -> list[Head]:
        """Return what was published below a cell, by its request; the last of it."""
        return [*self._said.get(request, ())]

    def all_said(self) -> dict[str, list[str]]:
        """Return the IDs of what was published, by request, and forget them."""
        said, self._said = self._said, {}
        return {request: [head.id for head in heads] for request, heads in said.items()}

    def show(self, text: str) -> None:
        """Show a text; nothing is sent where it is shown already."""
        for session, cell in self._held.first_cells().items():
            if self._shown.get(session) != (text, cell):
                self._voice.clear(cell.header, wait=True)
                self._voice.print("stdout", text, cell.header)
                self.note(text, cell)

    def note(self, text: str, cell: Head) -> None:
        """Note that a cell shows a text that others have put there."""
        self._shown[cell.session] = text, cell

    def clear(self) -> None:
        """Clear all that is shown: the cells then run as if they had not waited."""
        for _, cell in self._shown.values():
            self._voice.clear(cell.header)
        self._shown.clear()

    def drop_cells(self, name: str, why: str) -> None:
        """Let each client's first cell fail, and abort those behind it.

        Parameters
        ----------
        name:
            The error's name.
        why:
            Its text.
        """
        failed: set[str] = set()
        for cell in self._held.take_cells():
            if cell.session in failed:
                self._voice.answer("shell", cell, {"status": "aborted"})
            else:
                self.fail("shell", cell, name, why)
                failed.add(cell.session)
        self._shown.clear()

    def fail(self, target: str, cell: Head, name: str, why: str) -> None:
        """Let one cell fail, whose request came by that socket."""
        why = harmless.text(why)
        lines = wrapped(f"\x1b[31m{name}\x1b[0m: {why}", WIDTH).split("\n")
        error = {"ename": name, "evalue": why, "traceback": lines}
        voice, header = self._voice, cell.header
        voice.status("busy", header)
        if any(shown is cell for _, shown in self._shown.values()):
            voice.clear(header)
        voice.publish("error", error, header)
        content = {"status": "error", "execution_count": None, **error}
        voice.reply(target, cell, content)
        voice.status("idle", header)
