"""Spans of time, sizes of memory: as people write them and as we say them.

Rules: pure. Called by whoever tells people how long, or how much.
"""

from __future__ import annotations

import re

_UNITS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s)?")
_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")  # as Slurm prints it


def parse(text: str) -> float:
    """Return the seconds in "5m", "1h30m", "300", "5:00", "0:05:00" or "1-12:00:00"."""
    text = text.strip().lower()
    if text.isdigit():
        return float(text)
    found = _CLOCK.fullmatch(text) or (text and _UNITS.fullmatch(text))
    if not found:
        message = f"{text!r} is no span of time; write 5m, 300 (seconds) or 1h30m"
        raise ValueError(message)
    days, hours, minutes, seconds = (int(group or 0) for group in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def say(seconds: float) -> str:
    """Say seconds in two units, which is exact enough: "2 days 3 h", "40 s".

    None is less than "0 s": another host's clock may be ahead.
    """
    rest = max(0, round(seconds))
    units = []
    for length, name in ((86400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        number, rest = divmod(rest, length)
        units.append((number, "day" if number == 1 and name == "days" else name))
    while len(units) > 1 and units[0][0] == 0:
        del units[0]
    return " ".join(f"{number} {name}" for number, name in units[:2] if number) or "0 s"


def size(count: float) -> str:
    """Say a number of bytes in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if count >= 100 else f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
