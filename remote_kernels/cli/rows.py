"""Rows of text: a table on a terminal, tab-separated lines elsewhere.

Called by `stop`, `clean`, `list` and `jobs`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from remote_kernels import harmless
from remote_kernels.cli.say import say


def show(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    nothing: str,
    *,
    length: int | None = 8,
) -> None:
    """Print rows on standard output.

    Parameters
    ----------
    titles : sequence of str
        The titles of the columns of a table.
    rows : sequence of sequence of str
        The fields of each row, which need not be harmless.
    nothing : str
        What to print on standard error if there are no rows.
    length : int or None
        How many characters of the first column a table shows: kernels' IDs are long.
    """
    rows = [harmless.fields(row) for row in rows]
    if not rows:
        say(nothing, err=True)
    elif sys.stdout.isatty():
        Console().print(table(titles, [(row[0][:length], *row[1:]) for row in rows]))
    else:
        for row in rows:
            click.echo("\t".join(row))


def table(titles: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Return a table, in which no text counts as markup."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for title in titles:
        made.add_column(title, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return made
