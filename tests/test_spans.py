"""Spans of time and sizes of memory."""

from __future__ import annotations

import pytest

from remote_kernels import spans


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300", 300),
        ("5m", 300),
        ("5min", 300),
        ("90s", 90),
        ("1h30m", 5400),
        ("1H", 3600),
        ("2d", 172800),
        ("5:00", 300),
        ("0:05:00", 300),
        ("1-12:00:00", 129600),
    ],
)
def test_how_people_write_time(text: str, seconds: float) -> None:
    """With units, in seconds, or as Slurm does."""
    assert seconds == spans.parse(text)


@pytest.mark.parametrize("text", ["", "soon", "5x", "-5", "m", "1:2:3:4", "5 m 3"])
def test_what_is_no_time(text: str) -> None:
    """The error shows how to write it."""
    with pytest.raises(ValueError, match=r"write 5m"):
        spans.parse(text)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0 s"),
        (0.2, "0 s"),
        (59.7, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3901, "1 h 5 min"),
        (86400, "1 day"),
        (180000, "2 days 2 h"),
        (86401, "1 day"),
        (-2, "0 s"),  # another host's clock
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599.6, "1 h"),
        (3660, "1 h 1 min"),
        (86399, "23 h 59 min"),
        (90000, "1 day 1 h"),
        (30 * 86400 + 3599, "30 days"),
    ],
)
def test_how_we_say_time(seconds: float, said: str) -> None:
    """In two units at most."""
    assert said == spans.say(seconds)


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (1536, "1.5 KiB"), (500 << 20, "500 MiB"), (3 << 40, "3.0 TiB")],
)
def test_how_we_say_sizes(count: int, said: str) -> None:
    """In binary units, as Slurm counts."""
    assert said == spans.size(count)
