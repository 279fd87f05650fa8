"""What we tell the person at the notebook ourselves, and in which cell."""

from __future__ import annotations

from collections.abc import Callable

from remote_kernels import harmless

from .cells import Cells
from .jupyter_message import RUN, Header
from .voice import Voice

log = harmless.logger(__name__)

TOO_LARGE = (
    "[remote_kernels] A message of the kernel was dropped here, because it had more "
    "than 4 GiB."
)


def always() -> bool:
    """Return that a text holds whenever it is shown."""
    return True


class Notices:
    """Texts for the cell that runs, or else for the next one."""

    def __init__(self, voice: Voice, cells: Cells) -> None:
        self._voice = voice
        self._cells = cells
        self._waiting: list[tuple[str, Callable[[], bool]]] = []

    def notice(self, text: str, holds: Callable[[], bool] = always) -> None:
        """Show a text in the running cell, or else, if it holds then, in the next one."""
        cell = self._cells.visible()
        if cell is None:
            self._waiting.append((text, holds))
        else:
            self._print(text, cell)

    def begins(self, cell: Header) -> None:
        """Show what has waited for a cell to begin."""
        if cell.get("msg_type") == RUN:
            texts, self._waiting = self._waiting, []
            for text, holds in texts:
                if holds():
                    self._print(text, cell)

    def lost(self, count: int, cell: Header) -> None:
        """Tell that so many messages are missing at this place."""
        log.warning("%d messages of the kernel were dropped: the spool was full", count)
        text = (
            f"[remote_kernels] {count} messages of output were dropped here, because "
            "nobody took them and the spool was full."
        )
        self._print(text, cell)

    def _print(self, text: str, cell: Header) -> None:
        self._voice.print("stderr", text, cell)
