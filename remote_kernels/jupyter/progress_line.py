"""How the job stands, on the terminal of a program that waits for its kernel.

One line that is written over where there is a terminal; elsewhere a line whenever the
news is more than the passing of time, which suits logs. Called by the provisioner.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Sequence
from typing import TextIO

from remote_kernels.wrapping import cut

_TIME = re.compile(r"waited .*? so far|, in [^.]+(?=\.)")  # words of kernel/progress.py
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
        self._said = ""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        if self._said and self._is_terminal:
            self._write(_ERASE)
        self._stream = None

    @property
    def _is_terminal(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # it is closed
            return False

    def show(self, lines: Sequence[str]) -> None:
        text = f"remote_kernels: {' '.join(lines)}"
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"{_ERASE}{cut(text, width)}")
            self._said = text
        elif _TIME.sub("", text) != self._said:
            self._said = _TIME.sub("", text)
            self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        """A terminal that is gone ends no kernel."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()
