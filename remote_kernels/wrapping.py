"""Text for people in lines of some width, broken between words alone.

Rules: pure. What is there to be copied stays whole, however long: a command in
backticks, and a line that quotes (it is indented, or comes after a log's name).
Terminals and pages break longer lines inside words, wherever they end. Called wherever
a text is shown.
"""

from __future__ import annotations

import re
import textwrap

QUOTED = re.compile(r"`[^`\n]+`")
LOG = "--- "  # what the line begins with that names a log (records/logs.py)
WIDTH = 100  # characters, in a page
_GLUE = "\0"  # for the spaces of a command


def wrapped(text: str, width: int) -> str:
    """Break text into lines of at most so many characters, as far as that is possible."""
    lines: list[str] = []
    given = text.split("\n")
    for number, line in enumerate(given):
        if line.startswith(LOG):
            return "\n".join([*lines, *given[number:]])
        quotes = line.startswith(("  ", "\t")) or len(line) <= width
        lines += [line] if quotes else _broken(line, width)
    return "\n".join(lines)


def _broken(line: str, width: int) -> list[str]:
    glued = QUOTED.sub(lambda found: found[0].replace(" ", _GLUE), line)
    lines = textwrap.wrap(
        glued,
        max(width, 1),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return [part.replace(_GLUE, " ") for part in lines]


def cut(text: str, width: int) -> str:
    """Cut a line to at most so many characters, between words."""
    if len(text) <= width:
        return text
    head, _, _ = text[: width - 1].rpartition(" ")
    return f"{head} …" if len(head) > width // 2 else text[:width]
