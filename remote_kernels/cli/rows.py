"""Rows of text: a table on a terminal, tab-separated lines elsewhere.

Called by `stop`, `clean` and `list`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from remote_kernels import harmless


def show(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows that begin with a kernel's ID, which a table shortens."""
    rows = [harmless.fields(row) for row in rows]
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    Console().print(table(titles, [(kernel[:8], *rest) for kernel, *rest in rows]))


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table, in which no text counts as markup."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for title in titles:
        made.add_column(title, overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made
