"""Text for people: whatever it holds, a terminal only shows it."""

from __future__ import annotations

import click

from remote_kernels import harmless


def say(text: object = "", *, err: bool = False) -> None:
    """Print some text, made harmless, on standard output or error."""
    click.echo(harmless.text(text), err=err)
