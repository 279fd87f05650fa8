"""benchmarks.quantity: numbers and units for people."""

from __future__ import annotations

import pytest

from benchmarks.quantity import quantities, quantity


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.6234, "s", "1.62 s"),
        (0.15, "s", "0.150 s"),
        (0.0994, "s", "99.4 ms"),
        (0.00012, "s", "0.120 ms"),
        (4e-5, "s", "40 µs"),
        (4100, "ms", "4.10 s"),
        (212_300_000, "B/s", "212 MB/s"),
        (1_000_000, "B", "1 MB"),
        (212.3, "MB/s", "212 MB/s"),
        (2048, "MiB", "2 GiB"),
        (0, "s", "0 s"),
        (4, "/min", "4 /min"),
        (4.5, "/min", "4.50 /min"),
        (12345.6, "messages/s", "12 346 messages/s"),
        (9.996, "x", "10.0 x"),
        (-0.25, "s", "-0.250 s"),
        (1.5, "", "1.50"),
        (3e-9, "x", "3.00e-09 x"),
    ],
)
def test_a_measured_number(value: float, unit: str, text: str) -> None:
    """Three digits, none after a whole number, and a unit that suits it."""
    assert text == quantity(value, unit)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.5, "x", "1.5 x"),
        (0.0015, "s", "1.5 ms"),
        (0.15, "s", "0.15 s"),
        (1.2345, "s", "1.2345 s"),
        (100, "x", "100 x"),
        (20_000, "messages/s", "20 000 messages/s"),
    ],
)
def test_a_chosen_number(value: float, unit: str, text: str) -> None:
    """The digits that it has, no less and no more."""
    assert text == quantity(value, unit, exact=True)


def test_a_difference_has_a_sign() -> None:
    """A plus as well as a minus; nought has none, also when it is only nearly so."""
    values = [1.5, -1.5, 0, -1e-9]

    assert (["+1.50", "-1.50", "0.00", "0.00"], "s") == quantities(
        values, "s", signed=True
    )


def test_numbers_side_by_side() -> None:
    """All in the unit of the largest, with its decimals."""
    assert (["1.02", "0.01"], "s") == quantities([1.02, 0.011], "s")
