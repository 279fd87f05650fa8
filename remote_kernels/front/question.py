"""A question to the person at the notebook, below the first cell of each client."""

from __future__ import annotations

from collections.abc import Callable

from remote_kernels import harmless

from .cell_display import CellDisplay
from .held_requests import HeldRequests
from .interfaces import Later
from .jupyter_message import Head
from .voice import Voice

CONNECTS = 0.1  # seconds between two looks whether a client can be asked


class Question:
    """Asks, now and later, until it is told to stop.

    Parameters
    ----------
    voice:
        Speaks to clients.
    held:
        The cells that wait.
    display:
        What they show.
    later:
        Calls something after some seconds.
    """

    def __init__(
        self, voice: Voice, held: HeldRequests, display: CellDisplay, later: Later
    ) -> None:
        self._voice = voice
        self._held = held
        self._display = display
        self._later = later
        self._prompt = ""
        self._on_answer: Callable[[str], None] = lambda answer: None
        self.text = ""  # what is asked; "" if nothing is

    def ask(self, text: str, prompt: str, on_answer: Callable[[str], None]) -> None:
        """Ask below the first cell of each client, now and later, until `stop`.

        Parameters
        ----------
        text:
            What is asked; also the error of a cell whose client cannot be asked.
        prompt:
            Its last line, before the field for the answer.
        on_answer:
            Called with each answer, of whomever.
        """
        self.text, self._prompt, self._on_answer = text, prompt, on_answer
        for cell in self._held.first_cells().values():
            self._put(cell)

    def stop(self) -> None:
        """Ask nothing more."""
        self.text = ""

    def answer(self, request: Head) -> bool:
        """Pass an answer on; returns whether the request was one."""
        if not self.text or request.type != "input_reply":
            return False
        self._on_answer(str(request.content().get("value", "")))
        return True

    def cell_came(self, cell: Head) -> None:
        """Ask below this cell, too, if it is its client's first."""
        if self.text and cell is self._held.first_cells()[cell.session]:
            self._put(cell)

    def _put(self, cell: Head) -> None:
        """Ask as soon as the client's socket for that is there: others may be first.

        All of it is in the prompt: output that comes after that would take the field
        away (JupyterLab 4.6).
        """
        sockets = self._voice.sockets
        if not self.text or not self._held.is_waiting(cell) or sockets is None:
            return
        if not cell.identities:  # nobody's: read from a file
            return
        if not sockets.has_client("stdin", cell.identities[0]):
            self._later(CONNECTS, lambda: self._put(cell))
            return
        self._display.note(self.text, cell)  # and cleared in the end
        prompt = harmless.text(f"{self.text}\n{self._prompt} ")
        content = {"prompt": prompt, "password": False}
        self._voice.ask("stdin", cell, "input_request", content)
