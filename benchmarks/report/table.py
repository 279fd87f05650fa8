"""A report's figures on a terminal; tab-separated lines elsewhere.

Called by the measuring programs when they are done.
"""

from __future__ import annotations

from dataclasses import astuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.report.rows import TITLES, overall, row
from benchmarks.results import Report

_STYLES = {"reached": "green", "short": "bold red"}


def show(report: Report, console: Console | None = None) -> None:
    """Print it, to standard output if no console is given."""
    console = console or Console()
    rows = [astuple(row(figure)) for figure in report.figures]
    if not console.is_terminal:
        for cells in rows:
            console.file.write("\t".join(cells) + "\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in TITLES:
        table.add_column(title, overflow="fold")
    for cells in rows:
        *texts, last = cells
        table.add_row(*map(Text, texts), Text(last, style=_STYLES.get(last, "")))
    console.print(table)
    console.print(Text(overall(report.figures)))
