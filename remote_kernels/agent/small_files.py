"""Small files, such as Linux has in /proc and /sys; those that cannot be read are empty."""

from __future__ import annotations


def text_in(path: str) -> str:
    """Return what a file has, without its end of line; "" where it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def number_in(path: str) -> int | None:
    """Return the number in a file; None where there is none."""
    text = text_in(path)
    return int(text) if text.isdigit() else None


def table_in(path: str) -> dict[str, int]:
    """Read a file that has a name and a number in each line."""
    rows = (line.split() for line in text_in(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
