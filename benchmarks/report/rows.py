"""A figure in words: the cells of its row. Called by table.py and page.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.quantity import quantities
from benchmarks.results import Figure, Summary, summary

TITLES = (
    "figure",
    "ours",
    "reference",
    "compared",
    "to reach",
    "",
)


@dataclass(frozen=True)
class Row:
    """Cells in the order of TITLES; "" where there is nothing to say."""

    title: str
    ours: str
    reference: str
    compared: str
    reach: str
    verdict: str


def row(figure: Figure) -> Row:
    """A median has its quartiles in parentheses, except that of the reference."""
    reference = compared = ""
    if figure.reference:
        texts, unit = quantities([summary(figure.reference).median], figure.unit)
        reference = " ".join(filter(None, [texts[0], unit, figure.reference_title]))
    by = figure.compared_by
    if by is not None:
        unit = "x" if by == "ratio" else figure.unit
        compared = spread(summary(figure.compared), unit, signed=by == "difference")
    return Row(
        title=figure.title,
        ours=spread(summary(figure.ours), figure.unit),
        reference=reference,
        compared=compared,
        reach=figure.reach.words(figure.unit),
        verdict=verdict(figure.reached),
    )


def spread(of: Summary, unit: str, *, signed: bool = False) -> str:
    """Such as "1.02 s (0.98 to 1.11)"; a single sample has no quartiles."""
    values = [of.median, of.lower, of.upper]
    (median, lower, upper), suited = quantities(values, unit, signed=signed)
    text = f"{median} {suited}" if suited else median
    return text if of.count == 1 else f"{text} ({lower} to {upper})"


def verdict(reached: bool | None) -> str:
    """In a word. What has no bound has none."""
    return {True: "reached", False: "short", None: ""}[reached]


def overall(figures: Iterable[Figure]) -> str:
    """How many figures reach their bounds, in a sentence."""
    verdicts = [figure.reached for figure in figures]
    bounds = [reached for reached in verdicts if reached is not None]
    text = f"{sum(bounds)} of {len(bounds)} figures reach their bounds"
    others = len(verdicts) - len(bounds)
    return f"{text}; {others} have none." if others else f"{text}."
