"""A Slurm that is played: each of its commands notes how it was called, and says what it is told to.

What it says was captured (tests/scheduler/data).
"""

from __future__ import annotations

import os
from pathlib import Path

from scheduler.captured import captured

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sacct", "sinfo")
SCRIPT = """#!/bin/sh
echo "${0##*/} $*" >> ../calls
cd answers
test -e "${0##*/}.code" || exit 0
cat "${0##*/}.out"
cat "${0##*/}.err" >&2
exit "$(cat "${0##*/}.code")"
"""


class Slurm:
    """Its commands, on PATH."""

    def __init__(self, path: Path) -> None:
        self._calls = path / "calls"
        self._answers = path / "answers"
        self._answers.mkdir()
        self._calls.touch()
        for name in COMMANDS:
            script = SCRIPT.replace("../calls", str(self._calls))
            file = path / name
            file.write_text(script.replace("cd answers", f"cd {self._answers}"))
            file.chmod(0o700)

    def answers(self, name: str) -> None:
        """From now on, with what was captured."""
        said = captured(name)
        self.says(said.argv[0], said.returncode, said.stdout, said.stderr)

    def says(self, command: str, code: int = 0, out: str = "", err: str = "") -> None:
        for kind, text in (("code", str(code)), ("out", out), ("err", err)):
            beside = self._answers / f"{command}.{kind}.tmp"
            beside.write_text(text)
            beside.replace(self._answers / f"{command}.{kind}")

    def hangs(self, command: str) -> Path:
        """Until something is written there."""
        out = self._answers / f"{command}.out"
        out.unlink(missing_ok=True)
        os.mkfifo(out)
        return out

    def calls(self, command: str) -> list[str]:
        lines = self._calls.read_text().splitlines()
        return [line for line in lines if line.split()[0] == command]
