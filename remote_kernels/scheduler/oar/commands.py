"""How OAR's commands are run: pieces of command lines. Pure; called by `driver.py`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 20  # seconds

_PROGRAM = str(Path(__file__).with_name("program.py"))
_RUN = (sys.executable, "-I", "-S", _PROGRAM)
_OURS = (*_RUN, f"--seconds={PATIENCE}")


def bounded(*argv: str) -> list[str]:
    """Return how to run one of OAR's commands so that it ends; see `program.py`."""
    return [*_OURS, "--", *argv]


def submitting(kept: str, argv: Sequence[str], *, login: bool) -> list[str]:
    """Return how to submit the script on standard input, which waits in a file."""
    shell = ["--login"] if login else []
    return [*_OURS, f"--script={kept}", *shell, "--", *argv]


def held(*argv: str) -> list[str]:
    """Return how to run one of them so that it ends with whoever runs it."""
    return [*_RUN, "--held", "--", *argv]
