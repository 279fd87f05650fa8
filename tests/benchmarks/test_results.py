"""benchmarks.results: what is reached, what is refused, and what a file keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reading import NotAReport
from benchmarks.results import (
    Curve,
    Figure,
    Kind,
    PeerRow,
    PeerTable,
    Reach,
    Report,
    Summary,
    summary,
)


def figure(
    ours: list[float], reference: list[float], kind: Kind, bound: float | None = None
) -> Figure:
    return Figure("f", "A figure", "s", "local", ours, reference, Reach(kind, bound))


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([5.0, 1.0, 2.0, 4.0, 3.0], Summary(3, 2, 4, 1, 5, 5)),
        ([1.0, 2.0], Summary(1.5, 1.25, 1.75, 1, 2, 2)),
        ([7.0], Summary(7, 7, 7, 7, 7, 1)),
    ],
)
def test_a_summary(samples: list[float], expected: Summary) -> None:
    """Median, quartiles, ends and count, in whatever order; of one sample, too."""
    assert expected == summary(samples)


@pytest.mark.parametrize(
    ("kind", "bound", "words", "reached"),
    [
        ("ratio at most", 1.5, "<= 1.5 x", True),
        ("ratio at most", 1.4, "<= 1.4 x", False),
        ("ratio at least", 0.9, ">= 0.9 x", True),
        ("ratio at least", 1.6, ">= 1.6 x", False),
        ("difference at most", 0.15, "+ 0.15 s at most", False),
        ("difference at most", 1, "+ 1 s at most", True),
        ("difference at most", -0.5, "- 0.5 s at most", False),
        ("at most", 3, "<= 3 s", True),
        ("at most", 0.02, "<= 20 ms", False),
        ("reported", None, "reported", None),
    ],
)
def test_a_bound(
    kind: Kind, bound: float | None, words: str, reached: bool | None
) -> None:
    """It is reached by the median of the kind that it is about, and says so plainly."""
    of = figure([3, 3, 9], [2, 2, 1], kind, bound)  # 1.5 x, and 1 s more

    assert (words, reached) == (of.reach.words(of.unit), of.reached)


def test_each_pair_is_compared() -> None:
    """The median of ratios is judged, here 0.5, not the ratio of medians, here 2."""
    of = figure([1, 10, 100], [2, 5, 300], "ratio at most", 1)

    assert [0.5, 2, 1 / 3] == of.compared
    assert of.reached is True


@pytest.mark.parametrize(
    ("reference", "kind", "compared_by"),
    [
        ([1.0], "reported", "ratio"),
        ([0.0], "reported", "difference"),
        ([], "reported", None),
        ([1.0], "at most", "ratio"),
        ([1.0], "difference at most", "difference"),
    ],
)
def test_how_pairs_are_compared(
    reference: list[float], kind: Kind, compared_by: str | None
) -> None:
    """As the bound is; by ratio where it leaves that open and there is one."""
    bound = None if kind == "reported" else 1.0

    assert compared_by == figure([2], reference, kind, bound).compared_by


@pytest.mark.parametrize(
    ("ours", "reference", "kind", "why"),
    [
        ([], [], "at most", "nothing was measured"),
        ([1], [1, 2], "at most", "1 of ours and 2 of the reference are not pairs"),
        ([1], [], "ratio at most", "'ratio at most' needs a reference"),
        ([1], [], "difference at most", "'difference at most' needs a reference"),
        ([1], [0], "ratio at least", "no ratio to a reference of 0 or less"),
        ([float("nan")], [], "at most", "nan is not a number that can be shown"),
        ([1], [float("inf")], "at most", "inf is not a number that can be shown"),
    ],
)
def test_a_figure_that_makes_no_sense(
    ours: list[float], reference: list[float], kind: Kind, why: str
) -> None:
    """It is refused by its name, and why."""
    with pytest.raises(ValueError, match=f"^figure 'f': .*{why}"):
        figure(ours, reference, kind, 1)


def test_a_bound_that_makes_no_sense() -> None:
    """What is only reported has none, and all else has one."""
    with pytest.raises(ValueError, match="'reported' does not go with the bound 1"):
        Reach("reported", 1)
    with pytest.raises(ValueError, match="'at most' does not go with the bound None"):
        Reach("at most")


def test_a_curve_that_makes_no_sense() -> None:
    """A median is between its low and its high."""
    with pytest.raises(ValueError, match=r"curve 'c', series 'ours': 2 <= 1 <= 3"):
        Curve("c", "C", "x", "y", False, False, {"ours": [(0, 1, 2, 3)]})


def test_a_peer_of_which_too_much_is_known() -> None:
    """A value without a column would never be shown."""
    row = PeerRow("peer", "1", {"start": 1, "strat": 2}, [])

    with pytest.raises(ValueError, match=r"'peer' has values without a column.*strat"):
        PeerTable([("start", "Start", "s")], [row])


def test_a_report_that_makes_no_sense(report: Report) -> None:
    """No two parts have one name, and a time is that of some zone."""
    figure = report.figures[0]
    with pytest.raises(ValueError, match=f"more than one .*{figure.name}"):
        replace(report, figures=[figure, figure])
    with pytest.raises(ValueError, match="has no time zone"):
        replace(report, when=report.when.replace(tzinfo=None))


numbers = st.floats(1e-6, 1e9)
texts = st.text(max_size=8)


@st.composite
def figures(draw: st.DrawFn, name: str) -> Figure:
    pairs = draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4))
    reaches = st.builds(Reach, st.just("reported")) | st.builds(
        Reach,
        st.sampled_from(["ratio at most", "ratio at least", "difference at most"]),
        numbers,
    )
    ours, reference = ([pair[i] for pair in pairs] for i in (0, 1))
    words = (draw(texts), draw(texts), draw(texts))
    return Figure(name, *words, ours, reference, draw(reaches), draw(texts))


@st.composite
def curves(draw: st.DrawFn, name: str) -> Curve:
    point = st.tuples(numbers, st.lists(numbers, min_size=3, max_size=3).map(sorted))
    points = st.lists(point.map(lambda p: (p[0], p[1][1], p[1][0], p[1][2])))
    series = draw(st.dictionaries(texts, points, max_size=2))
    flags = (draw(st.booleans()), draw(st.booleans()))
    return Curve(name, draw(texts), "x", "y", *flags, series, draw(texts))


@st.composite
def peer_tables(draw: st.DrawFn) -> PeerTable:
    columns = draw(st.lists(st.tuples(texts, texts, texts), max_size=3))
    cell = st.none() | texts | numbers | st.booleans()
    values = st.fixed_dictionaries({key: cell for key, _title, _unit in columns})
    rows = st.builds(PeerRow, texts, texts, values, st.lists(texts, max_size=2))
    return PeerTable(columns, draw(st.lists(rows, max_size=2)))


@given(
    report=st.builds(
        Report,
        st.datetimes(timezones=st.just(timezone.utc)),
        st.dictionaries(texts, texts | st.integers() | numbers | st.booleans()),
        st.dictionaries(texts, texts),
        st.tuples(figures("one"), figures("two")).map(list),
        curves("three").map(lambda curve: [curve]),
        st.none() | peer_tables(),
    )
)
def test_what_is_written_is_read(report: Report) -> None:
    """Every report comes back equal, and is written again as it was."""
    text = report.to_json()
    again = Report.from_json(text)

    assert report == again
    assert text == again.to_json()


def changed(report: Report, path: list[Any], value: Any) -> str:
    body = json.loads(report.to_json())
    part = body
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return json.dumps(body)


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (["schema"], 2, "benchmark report of schema 1: it has schema 2"),
        (["schema"], None, "benchmark report of schema 1: it has no schema"),
        (["when"], "yesterday", "report.when is not a time: 'yesterday'"),
        (["when"], 7, "report.when is not .*: 7"),
        (["figures"], {}, "report.figures is not a list: {}"),
        (
            ["figures", 1, "ours", 0],
            "1",
            r"figures\[1\].ours\[0\] is not a number: '1'",
        ),
        (["figures", 1, "ours", 0], True, r"figures\[1\].ours\[0\] is not a number"),
        (["figures", 1, "ours"], [], r"figures\[1\]: figure 'trip': nothing was"),
        (
            ["figures", 0, "reach", "kind"],
            "?",
            r"figures\[0\].reach.kind is not one of",
        ),
        (["figures", 0], {"name": "x"}, r"report.figures\[0\] has no 'title'"),
        (
            ["curves", 0, "series", "ours", 3],
            [1],
            r"\['ours'\]\[3\] is not a list of 4",
        ),
        (["curves", 0, "log_x"], 1, r"curves\[0\].log_x is not of type bool: 1"),
        (
            ["peers", "rows", 0, "remarks"],
            "-",
            r"peers.rows\[0\].remarks is not a list",
        ),
        (["machine", "processor"], [], r"report.machine\['processor'\] is not one of"),
    ],
)
def test_a_file_with_something_else(
    report: Report, path: list[Any], value: Any, why: str
) -> None:
    """The error says which file, where in it, what was expected and what is there."""
    with pytest.raises(NotAReport, match=f"^x.json is not a .*{why}"):
        Report.from_json(changed(report, path, value), "x.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"figures": []}'])
def test_a_file_that_is_no_report(text: str) -> None:
    """The error says so."""
    with pytest.raises(NotAReport, match=r"^x.json is not a benchmark report"):
        Report.from_json(text, "x.json")


def test_a_file_that_says_more(report: Report) -> None:
    """What we do not know is passed over."""
    assert report == Report.from_json(changed(report, ["mood"], "good"))


def test_a_time_keeps_its_zone(report: Report) -> None:
    """It is read as it was written, not moved to another zone."""
    when: datetime = Report.from_json(report.to_json()).when

    assert report.when.utcoffset() == when.utcoffset()
