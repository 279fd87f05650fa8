"""Programs that answer as a batch system's commands do, where we have no such system."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path


def installed(program: str, names: Iterable[str], directory: Path) -> dict[str, str]:
    """A stand-in with its commands, by these names, there: how to find both.

    The commands know where their jobs are, whatever is left of the environment.
    """
    home, commands = directory / "home", directory / "bin"
    for path in (home, commands):
        path.mkdir(parents=True, exist_ok=True)
    file = Path(__file__).with_name(f"{program}.py")
    for name in names:
        words = shlex.join([sys.executable, "-I", "-S", str(file), name])
        where = f"STANDIN_HOME=${{STANDIN_HOME-{shlex.quote(str(home))}}}"
        command = commands / name
        command.write_text(
            f'#!/bin/sh\n{where}\nexport STANDIN_HOME\nexec {words} "$@"\n'
        )
        command.chmod(0o700)
    return {"PATH": f"{commands}:{os.environ['PATH']}"}
