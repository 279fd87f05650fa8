"""Text of others, shown so that it can do nothing but be read.

Names of notebooks and jobs, reasons, paths and what programs wrote may hold terminal
escapes, newlines and characters that turn the direction of text. Used wherever such
text is shown: by the command line, in notebooks, and in logs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

# Controls (C0, DEL, C1), marks and overrides of direction, separators of lines and
# paragraphs, what takes no space, halves of surrogate pairs, tags.
_KINDS = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_HARMFUL = re.compile(f"[{_KINDS}]")
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_COLOURS_OF_BYTES = re.compile(rb"(\x1b\[[0-9;:]*m)")
_HARMFUL_BYTES = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
_BETWEEN = re.compile(rb"(?<=\xc2)(?:" + _HARMFUL_BYTES.pattern + rb")+(?=[\x80-\x9f])")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _shown(found: re.Match[str]) -> str:
    char = found[0]
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def line(text: object) -> str:
    """Show a name, or what else is to be a part of one line; what is no text is spelt out."""
    return _HARMFUL.sub(_shown, str(text))


def fields(row: Iterable[object]) -> tuple[str, ...]:
    """Show the fields of a row: none can begin another field or row."""
    return tuple(map(line, row))


def text(text: object) -> str:
    """Show several lines. What programs wrote may be coloured: not here."""
    plain = _COLOURS.sub("", str(text)).replace("\r\n", "\n")
    return "\n".join("\t".join(map(line, row.split("\t"))) for row in plain.split("\n"))


def output(data: bytes) -> bytes:
    """Show what a program wrote on a terminal: it keeps its colours, and nothing else.

    A bare carriage return, with which a progress bar begins its line anew, is a newline.
    """
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    pieces = _COLOURS_OF_BYTES.split(data)
    # Halves of a control are kept apart when what was between them goes.
    pieces[::2] = [_BETWEEN.sub(b"?", piece) for piece in pieces[::2]]
    pieces[::2] = [_HARMFUL_BYTES.sub(b"", piece) for piece in pieces[::2]]
    return b"".join(pieces)


class _OneRecord(logging.Filter):
    """Further lines of a record are indented, so that none looks like another record."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = text(record.getMessage())
        record.msg, record.args = message.replace("\n", "\n    "), ()
        return True


_ONE_RECORD = _OneRecord()


def logger(name: str) -> logging.Logger:
    """Return a logger, as logging does; what is logged there cannot forge records."""
    made = logging.getLogger(name)
    made.addFilter(_ONE_RECORD)
    return made
