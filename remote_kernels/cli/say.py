"""What commands print, but for JSON: whatever is in it, a terminal only shows it."""

from __future__ import annotations

import click

from remote_kernels import harmless


def say(text: object = "", *, err: bool = False) -> None:
    """One line, or several."""
    click.echo(harmless.text(text), err=err)
