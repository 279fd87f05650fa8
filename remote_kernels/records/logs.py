"""What of a kernel's logs is quoted in an error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

TAIL = 4000  # characters of a log quoted in an error
# Each ipykernel (7.3) prints these at its start, whatever its fate; under an error they
# would look like its cause.
_NOTICE = re.compile(
    r"^(NOTE: When using the `ipython kernel` entry point, |"
    r"To exit, you will have to explicitly quit this process, |"
    r'"quit" from a client, or using Ctrl-|'
    r"To read more about this, see https://github\.com/ipython/|"
    r"To connect another client to this kernel, use:|    --existing ).*\n?",
    re.MULTILINE,
)


def without_notice(text: str) -> str:
    """Return what a kernel wrote, without what every ipykernel prints at its start."""
    if _NOTICE.search(text):
        text = re.sub(r"\n{3,}", "\n\n", _NOTICE.sub("", text))
    return text.strip()


def tails(logs: Iterable[Path]) -> str:
    """Return the ends of these logs, those that are there and hold something."""
    parts = []
    for path in logs:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        text = without_notice(text)
        if text:
            parts.append(f"--- {path.name}\n{text[-TAIL:]}")
    return "\n".join(parts)
