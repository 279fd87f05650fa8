"""A report as one HTML page, to keep and to send: no scripts, nothing beside it.

Called by the measuring programs when they are done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from benchmarks.quantity import quantity
from benchmarks.report import plots
from benchmarks.report.rows import TITLES, overall, row
from benchmarks.results import Curve, Figure, PeerTable, Report

_UNKNOWN = '<td><span aria-label="not known">–</span></td>'  # noqa: RUF001  a dash


def page(report: Report) -> str:
    """The whole page; equal reports give equal text."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    when = f"{report.when:%d %B %Y, %H:%M %Z}"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>Benchmarks of remote_kernels</title>",
        f"<style>\n{style}</style></head><body><main>",
        "<h1>Benchmarks of remote_kernels</h1>",
        f'<p>Measured <time datetime="{report.when.isoformat()}">{when}</time>.</p>',
        *_figures(report.figures),
        *_curves(report.curves),
        *_peers(report.peers),
        "<h2>Where it was measured</h2>",
        _list({key: _cell(value, "") for key, value in report.machine.items()}),
        "<h2>Versions</h2>",
        _list(report.versions),
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _figures(figures: list[Figure]) -> Iterable[str]:
    if not figures:
        return
    yield "<h2>Figures</h2>"
    yield f"<p><strong>{overall(figures)}</strong></p>"
    yield (
        '<p class="note">Each number is a median, its quartiles in parentheses. Ours '
        "and the reference were measured in turns; what is compared is each pair.</p>"
    )
    titles = [*TITLES[:-1], "verdict"]
    yield '<div class="wide"><table><thead><tr>'
    yield "".join(f'<th scope="col">{title}</th>' for title in titles)
    yield "</tr></thead><tbody>"
    for figure in figures:
        yield _row(figure)
    yield "</tbody></table></div>"
    yield "<h2>Pair by pair</h2>"
    yield (
        '<p class="note">A dot is a pair, the first one at the top. The solid line is '
        "the median, the band the middle half, the dashed line what to reach; on the "
        "dotted line both would be the same.</p>"
    )
    yield '<div class="strips">'
    for figure in figures:
        note = f"<figcaption>{escape(figure.note)}</figcaption>" if figure.note else ""
        plot = plots.strip(figure)
        yield f"<figure><h3>{escape(figure.title)}</h3>{plot}{note}</figure>"
    yield "</div>"


def _row(figure: Figure) -> str:
    cells = row(figure)
    kind = f' class="{cells.verdict}"' if cells.verdict else ""
    return (
        f'<tr><th scope="row">{escape(cells.title)}</th>'
        f'<td class="number">{escape(cells.ours)}</td>'
        f"<td>{escape(cells.reference)}</td>"
        f'<td class="number">{escape(cells.compared)}</td>'
        f'<td class="number">{escape(cells.reach)}</td>'
        f"<td{kind}>{cells.verdict}</td></tr>"
    )


def _curves(curves: list[Curve]) -> Iterable[str]:
    if not curves:
        return
    yield '<h2>Growth</h2><p class="note">Points are medians; bars are from the low '
    yield 'to the high end that was measured.</p><div class="curves">'
    for curve in curves:
        yield f"<figure><h3>{escape(curve.title)}</h3>{plots.curve(curve)}"
        if curve.note:
            yield f"<figcaption>{escape(curve.note)}</figcaption>"
        yield f"{_numbers(curve)}</figure>"
    yield "</div>"


def _numbers(curve: Curve) -> str:
    """The points of a curve, for those who do not see it."""
    titles = ("", curve.x_title, curve.y_title, "low", "high")
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join(
        f'<tr><th scope="row">{escape(title)}</th>'
        + "".join(f"<td>{quantity(number, '')}</td>" for number in point)
        + "</tr>"
        for title, points in curve.series.items()
        for point in sorted(points)
    )
    return (
        '<details><summary>the numbers</summary><div class="wide"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _peers(peers: PeerTable | None) -> Iterable[str]:
    """A column for each peer; what is remarked of it below."""
    if peers is None:
        return
    names = [escape(f"{peer.name} {peer.version}".strip()) for peer in peers.rows]
    yield '<h2>Peers</h2><div class="wide"><table><thead><tr><th></th>'
    yield from (f'<th scope="col">{name}</th>' for name in names)
    yield "</tr></thead><tbody>"
    for key, title, unit in peers.columns:
        yield f'<tr><th scope="row">{escape(title)}</th>'
        for peer in peers.rows:
            value = peer.values.get(key)
            yield (
                _UNKNOWN if value is None else f"<td>{escape(_cell(value, unit))}</td>"
            )
        yield "</tr>"
    yield "</tbody></table></div>"
    for name, peer in zip(names, peers.rows, strict=True):
        if peer.remarks:
            remarks = "".join(f"<li>{escape(remark)}</li>" for remark in peer.remarks)
            yield f"<h3>{name}</h3><ul>{remarks}</ul>"


def _list(texts: Mapping[str, str]) -> str:
    items = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in texts.items()
    )
    return f"<dl>{items}</dl>"


def _cell(value: str | float | bool, unit: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return quantity(value, unit, exact=not unit)
