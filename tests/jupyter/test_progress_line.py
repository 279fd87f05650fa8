"""jupyter.progress_line: a terminal, a log, and streams that are broken."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator
from typing import TextIO

import pytest

from remote_kernels.jupyter.progress_line import ProgressLine

ERASE = "\r\x1b[K"
WAITS = "Job 7 waits: other jobs are ahead in the queue (Priority); waited {} so far."


class Terminal:
    """What a person looks at, and the end to which a program writes."""

    def __init__(self) -> None:
        self.screen, end = pty.openpty()
        self.stream = os.fdopen(end, "w", encoding="utf-8")

    def read(self) -> str:
        """All that was written; a mark shows where it ends."""
        self.stream.write("$")
        self.stream.flush()
        text = ""
        while not text.endswith("$"):
            text += os.read(self.screen, 10_000).decode()
        return text[:-1]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("COLUMNS", "41")
    made = Terminal()
    yield made
    made.stream.close()
    os.close(made.screen)


def test_a_terminal_shows_one_line(terminal: Terminal) -> None:
    """It is written over, and gone at the end."""
    line = ProgressLine(terminal.stream)
    with line:
        line.show(["Job 7 waits.", "Or not."])
        line.show(["Job 7 runs."])

    expected = [
        f"{ERASE}remote_kernels: Job 7 waits. Or not.",
        f"{ERASE}remote_kernels: Job 7 runs.",
        ERASE,
    ]
    assert "".join(expected) == terminal.read()


def test_a_line_that_is_longer_than_the_terminal(terminal: Terminal) -> None:
    """It is cut: what has wrapped could not be written over."""
    line = ProgressLine(terminal.stream)
    with line:
        line.show(["x" * 100])

    shown = terminal.read().removeprefix(ERASE).removesuffix(ERASE)
    assert 40 == len(shown)


def test_a_terminal_on_which_nothing_was_shown(terminal: Terminal) -> None:
    """It is left alone: a start on an idle cluster shows nothing."""
    with ProgressLine(terminal.stream):
        pass

    assert "" == terminal.read()


def test_a_stream_that_is_no_terminal() -> None:
    """Nothing is written there, as with a local kernel: programs compare it."""
    stream = io.StringIO()
    line = ProgressLine(stream)
    with line:
        line.show([WAITS.format("1 s")])

    assert "" == stream.getvalue()


def test_no_stream_at_all() -> None:
    """Nobody is told anything."""
    line = ProgressLine(None)
    with line:
        line.show(["Job 7 waits."])


class Broken(io.StringIO):
    """A stream whose other end is gone."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def closed() -> TextIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    "stream", [Broken(True), Broken(False), closed()], ids=["terminal", "log", "closed"]
)
def test_a_stream_that_is_broken(stream: TextIO) -> None:
    """It ends no kernel."""
    line = ProgressLine(stream)
    with line:
        line.show(["Job 7 waits."])
        line.show(["Job 7 runs."])


def test_nothing_is_shown_after_the_end() -> None:
    """The kernel may be waited for again, when nobody looks."""
    stream = io.StringIO()
    line = ProgressLine(stream)
    with line:
        pass

    line.show(["Job 7 waits."])

    assert "" == stream.getvalue()
