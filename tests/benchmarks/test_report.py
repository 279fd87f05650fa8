"""benchmarks.report: the table on a terminal and elsewhere, the plots, the page."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console

from benchmarks.report import plots
from benchmarks.report.page import page
from benchmarks.report.table import show
from benchmarks.results import Curve, Figure, Reach, Report

EMPTY = ("br", "meta")  # elements that have no end
SVG = "{http://www.w3.org/2000/svg}"


class Elements(HTMLParser):
    """What is in a page; and that whatever is opened is closed, in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert [] == self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def values(self, attribute: str) -> Iterator[str]:
        for _tag, attributes in self.found:
            yield from filter(None, [attributes.get(attribute)])


def written(report: Report, *, terminal: bool) -> str:
    file = io.StringIO()
    show(report, Console(file=file, force_terminal=terminal, width=160))
    return file.getvalue()


def words(svg: str) -> list[str]:
    """All text in a plot."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}text")  # noqa: S314  ours
    return ["".join(element.itertext()) for element in found]


def test_on_a_terminal(report: Report) -> None:
    """A verdict is a word, and has a colour; a last line counts them."""
    text = written(report, terminal=True)

    assert re.search(r"Start of a kernel.*\+ 1.5 s at most.*\x1b\[32mreached", text)
    assert re.search(r"p99.*<= 1.5 x.*\x1b\[1;31mshort", text)
    assert text.endswith("5 of 6 figures reach their bounds; 2 have none.\n")


def test_not_on_a_terminal(report: Report) -> None:
    """A line for each figure, its cells apart by tabs, and nothing else."""
    lines = written(report, terminal=False).splitlines()

    assert len(report.figures) == len(lines)
    calls = next(line for line in lines if line.startswith("Calls"))
    assert [
        "Calls of the scheduler for 200 kernels",
        "4 /min (4 to 4)",
        "",
        "",
        "<= 6 /min",
        "reached",
    ] == calls.split("\t")


def test_brackets_are_no_markup(report: Report) -> None:
    """A title is shown as it is."""
    figure = replace(report.figures[0], title="[bold]memory[/] [MiB]")
    text = written(replace(report, figures=[figure]), terminal=True)

    assert figure.title in text


def test_a_page_is_whole(report: Report) -> None:
    """Well-formed, alone, without scripts; and no ID is there twice."""
    elements = Elements(page(report))

    tags = {tag for tag, _attributes in elements.found}
    assert not tags & {"script", "link", "img", "iframe"}
    links = [*elements.values("xlink:href"), *elements.values("href")]
    links += re.findall(r"url\((.*?)\)", page(report))
    ids = Counter(elements.values("id"))
    assert {1} == set(ids.values())
    assert links
    assert {link.removeprefix("#") for link in links} <= ids.keys()


def test_a_page_says_it_all(report: Report) -> None:
    """Each title, note, value, version and verdict; none of it as markup."""
    text = page(report)

    assert report.peers is not None
    for title in [
        *(figure.title for figure in report.figures),
        *(curve.title for curve in report.curves),
        *(column[1] for column in report.peers.columns),
        "One query for all kernels, not one for each.",
        "another &lt;one&gt; 3.2.1",
        "<td>yes</td>",
        'aria-label="not known"',
        "No interrupt &amp; no restart.",
        "21 November 2026, 14:30 UTC+01:00",
        "22.05.8",
        '<td class="short">short</td>',
        "5 of 6 figures reach their bounds; 2 have none.",
    ]:
        assert title in text


def test_a_page_is_the_same_again(report: Report) -> None:
    """Byte by byte, so that a difference is one of what was measured."""
    assert page(report) == page(Report.from_json(report.to_json()))


def test_a_page_of_next_to_nothing(report: Report) -> None:
    """No heading without something below it."""
    text = page(replace(report, figures=[], curves=[], peers=None))

    headings = re.findall("<h2>(.*?)</h2>", text)
    assert ["Where it was measured", "Versions"] == headings


def test_a_plot_has_the_colours_of_its_page(report: Report) -> None:
    """Each is a variable of the page's style, which has them all, light and dark."""
    text = page(report)

    style, body = text.split("</style>")
    assert [] == re.findall(r"#[0-9a-f]{6}\b", body)
    series = {f"--series-{number}" for number in range(plots.SERIES)}
    for variable in series.union(re.findall(r"var\((--[\w-]+)\)", body)):
        assert 2 == style.count(f"{variable}:")


def test_a_strip_has_its_bound(report: Report) -> None:
    """In words, as text, with what is compared; the axis in a unit that suits it."""
    start, interrupt = report.figures[0], report.figures[4]

    assert {"+ 1.5 s at most", "ours - local ipykernel (s)"} <= {
        *words(plots.strip(start))
    }
    slow = replace(interrupt, reach=Reach("difference at most", 0.02))
    assert {"+ 20 ms at most", "ours - local ipykernel (ms)"} <= {
        *words(plots.strip(slow))
    }


def test_a_strip_of_a_single_sample() -> None:
    """One round can be shown, too."""
    single = Figure("s", "Single", "s", "", [2], [], Reach("at most", 3))

    assert "<= 3 s" in words(plots.strip(single))


@pytest.mark.parametrize(
    ("log", "low", "ticks"),
    [
        (True, 1.0, {"1", "10", "100", "1000", "10k"}),
        (True, 0.0, {"0", "10", "100", "1000", "10k"}),
        (False, 0.0, {"0", "2000", "4000", "6000", "8000", "10k"}),
    ],
)
def test_a_curve_has_the_axes_asked_for(log: bool, low: float, ticks: set[str]) -> None:
    """A logarithmic one also where there is a nought, which it shows."""
    points = [(1.0, 10.0, low, 10.0), (2.0, 9000.0, 9000.0, 10000.0)]
    curve = Curve("c", "C", "kernels", "seconds", False, log, {"ours": points})

    assert ticks <= {*words(plots.curve(curve))}


def test_a_curve_without_points() -> None:
    """Nothing measured is an empty plot, not a failure."""
    curve = Curve(
        "c", "C", "kernels", "seconds", True, True, {"ours": [], "theirs": []}
    )

    assert "kernels" in words(plots.curve(curve))
