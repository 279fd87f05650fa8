"""How the job stands, on the terminal of a program that waits for its kernel.

One line that is written over. Where there is no terminal nothing is written, as other
programs read what a program says there. Called by the provisioner.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from typing import TextIO

from remote_kernels import harmless
from remote_kernels.wrapping import cut

_ERASE = "\r\x1b[K"


class ProgressLine:
    """To be used as a context: the line is gone when it is left.

    Parameters
    ----------
    stream:
        Where it is written; None: nowhere.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._shown = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        if self._shown:
            self._write(_ERASE)
        self._stream = None

    @property
    def _is_terminal(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # it is closed
            return False

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines as one, instead of what is shown."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            text = harmless.line(f"remote_kernels: {' '.join(lines)}")
            self._write(f"{_ERASE}{cut(text, width)}")
            self._shown = True

    def _write(self, text: str) -> None:
        """Write it if the terminal is there: one that is gone ends no kernel."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()
