"""Kernels by row: a table on a terminal, tab-separated lines otherwise.

Called by `stop` and `clean`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from remote_kernels import harmless


def show(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first column is the kernel's ID; a table shows its beginning."""
    rows = [harmless.fields(row) for row in rows]
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for kernel, *rest in rows:
        table.add_row(*map(Text, (kernel[:8], *rest)))
    Console().print(table)
