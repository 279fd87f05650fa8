"""A command that failed, as a cell shows it: what it said, without a traceback of ours.

Raised by the magics.
"""

from __future__ import annotations

from remote_kernels.errors import CommandError


class Failure(CommandError):
    """Ends the cell, so that Run All stops there."""

    def __init__(self, error: CommandError, advice: str = "") -> None:
        text = f"{error}\n{advice}" if advice else str(error)
        Exception.__init__(self, text)
        self.argv = error.argv
        self.returncode = error.returncode
        self.stdout = error.stdout
        self.stderr = error.stderr

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows instead of a traceback."""
        return str(self).splitlines()
