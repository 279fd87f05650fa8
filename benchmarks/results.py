"""What was measured, as data: figures, curves and peers; a report of all of them.

Pure: nothing here measures, prints or opens a file. A figure has pairs of samples, ours
and a reference's, taken in turns (A B A B), so that what else the machine did meets
both. A figure is judged by the median of what its pairs say, never by a ratio of two
medians. Made by the measuring programs; shown by report/.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from benchmarks.quantity import quantity
from benchmarks.reading import NotAReport, read

SCHEMA = 1  # of the JSON; one more whenever an older file cannot be read any longer

Kind = Literal[
    "ratio at most",  # ours / reference
    "ratio at least",
    "difference at most",  # ours - reference, in the figure's unit
    "at most",  # ours alone, in the figure's unit
    "reported",  # no bound
]


@dataclass(frozen=True)
class Reach:
    """What a figure is to reach. `bound` is None for "reported", and only there."""

    kind: Kind
    bound: float | None = None

    def __post_init__(self) -> None:
        if (self.bound is None) != (self.kind == "reported"):
            msg = f"{self.kind!r} does not go with the bound {self.bound}"
            raise ValueError(msg)
        if self.bound is not None:
            _check_finite("a bound", [self.bound])

    def holds(self, value: float) -> bool | None:
        """Whether a median of this kind reaches the bound; None: there is none."""
        if self.bound is None:
            return None
        at_least = self.kind == "ratio at least"
        return value >= self.bound if at_least else value <= self.bound

    def words(self, unit: str) -> str:
        """For people; `unit` is the figure's."""
        if self.bound is None:
            return "reported"
        if self.kind == "difference at most":
            sign = "-" if self.bound < 0 else "+"
            return f"{sign} {quantity(abs(self.bound), unit, exact=True)} at most"
        sign = ">=" if self.kind == "ratio at least" else "<="
        unit = unit if self.kind == "at most" else "x"
        return f"{sign} {quantity(self.bound, unit, exact=True)}"


@dataclass(frozen=True)
class Summary:
    """Samples, summed up. `lower` and `upper` are the quartiles."""

    median: float
    lower: float
    upper: float
    least: float
    most: float
    count: int


def summary(samples: Sequence[float]) -> Summary:
    """Quartiles are interpolated, the least and the most being part of the samples."""
    ends = (min(samples), max(samples), len(samples))
    if len(samples) == 1:
        return Summary(samples[0], samples[0], samples[0], *ends)
    lower, median, upper = statistics.quantiles(samples, n=4, method="inclusive")
    return Summary(median, lower, upper, *ends)


@dataclass(frozen=True)
class Figure:
    """One thing that was measured, round by round.

    `ours[i]` and `reference[i]` are a pair, both in `unit`; `reference` may be empty,
    `ours` not. `reference_title` says what the reference is, in a few words.
    """

    name: str
    title: str
    unit: str
    reference_title: str
    ours: list[float]
    reference: list[float]
    reach: Reach
    note: str = ""

    def __post_init__(self) -> None:
        try:
            self._check()
        except ValueError as error:
            msg = f"figure {self.name!r}: {error}"
            raise ValueError(msg) from None

    def _check(self) -> None:
        _check_finite("samples", [*self.ours, *self.reference])
        msg = ""
        if not self.ours:
            msg = "nothing was measured"
        elif self.reference and len(self.ours) != len(self.reference):
            msg = f"{len(self.ours)} of ours and {len(self.reference)} of the reference"
            msg += " are not pairs"
        elif self.reach.kind.startswith(("ratio", "difference")) and not self.reference:
            msg = f"{self.reach.kind!r} needs a reference"
        elif self.reach.kind.startswith("ratio") and min(self.reference) <= 0:
            msg = "no ratio to a reference of 0 or less; judge the difference"
        if msg:
            raise ValueError(msg)

    @property
    def compared_by(self) -> Literal["ratio", "difference"] | None:
        """How a pair is compared; None: there is no reference."""
        if not self.reference:
            return None
        if self.reach.kind == "difference at most" or min(self.reference) <= 0:
            return "difference"
        return "ratio"

    @property
    def compared(self) -> list[float]:
        """What each pair says: ours / reference, or ours - reference."""
        pairs = list(zip(self.ours, self.reference, strict=False))
        if self.compared_by == "ratio":
            return [ours / reference for ours, reference in pairs]
        return [ours - reference for ours, reference in pairs]

    @property
    def judged(self) -> list[float]:
        """What the bound is about: ours, or what the pairs say."""
        return self.ours if self.reach.kind == "at most" else self.compared or self.ours

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the bound; None: there is none."""
        return self.reach.holds(summary(self.judged).median)


@dataclass(frozen=True)
class Curve:
    """How something grows. A point is (x, median, low, high); titles have the units."""

    name: str
    title: str
    x_title: str
    y_title: str
    log_x: bool
    log_y: bool
    series: dict[str, list[tuple[float, float, float, float]]]
    note: str = ""

    def __post_init__(self) -> None:
        for title, points in self.series.items():
            where = f"curve {self.name!r}, series {title!r}"
            _check_finite(where, [number for point in points for number in point])
            for _x, median, low, high in points:
                if not low <= median <= high:
                    msg = f"{where}: {low} <= {median} <= {high} does not hold"
                    raise ValueError(msg)


@dataclass(frozen=True)
class PeerRow:
    """One of our peers. A value by a column's key; None: not known."""

    name: str
    version: str
    values: dict[str, str | float | bool | None]
    remarks: list[str]

    def __post_init__(self) -> None:
        numbers = [v for v in self.values.values() if isinstance(v, (int, float))]
        _check_finite(f"peer {self.name!r}", numbers)


@dataclass(frozen=True)
class PeerTable:
    """Peers side by side. A column is (key, title, unit)."""

    columns: list[tuple[str, str, str]]
    rows: list[PeerRow]

    def __post_init__(self) -> None:
        known = {key for key, _title, _unit in self.columns}
        for row in self.rows:
            if unknown := sorted(row.values.keys() - known):
                msg = f"peer {row.name!r} has values without a column: {unknown}"
                raise ValueError(msg)


@dataclass(frozen=True)
class Report:
    """All of one run. `when` has a time zone; `machine` is what and how much it is."""

    when: datetime
    machine: dict[str, str | int | float | bool]
    versions: dict[str, str]
    figures: list[Figure]
    curves: list[Curve]
    peers: PeerTable | None = None

    def __post_init__(self) -> None:
        if self.when.tzinfo is None:
            msg = f"{self.when} has no time zone"
            raise ValueError(msg)
        names = [figure.name for figure in self.figures]
        names += [curve.name for curve in self.curves]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            msg = f"there is more than one figure or curve named {twice}"
            raise ValueError(msg)

    def to_json(self) -> str:
        """Text that `from_json` reads; equal reports give equal text."""
        body = {"schema": SCHEMA, **asdict(self), "when": self.when.isoformat()}
        return json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "the text") -> Report:
        """A report that `to_json` wrote; `source` is what errors call it.

        Raises
        ------
        NotAReport:
            It is not one, or one of another schema.
        """
        try:
            body = json.loads(text)
        except ValueError as error:
            msg = f"{source} is not a benchmark report: not JSON ({error})"
            raise NotAReport(msg) from error
        schema = body.get("schema") if isinstance(body, dict) else None
        if schema != SCHEMA:
            has = "has no schema number" if schema is None else f"has schema {schema!r}"
            msg = f"{source} is not a benchmark report of schema {SCHEMA}: it {has}"
            raise NotAReport(msg)
        try:
            report: Report = read(cls, body, "report")
        except NotAReport as error:
            msg = f"{source} is not a whole benchmark report: {error}"
            raise NotAReport(msg) from error
        return report


def _check_finite(what: str, numbers: Iterable[Any]) -> None:
    for number in numbers:
        if not math.isfinite(number):
            msg = f"{what}: {number} is not a number that can be shown"
            raise ValueError(msg)
