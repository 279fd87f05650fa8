"""Programs for a test's PATH, and what became of them."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from remote_kernels.scheduler.job import Completed, login_name

DATA = Path(__file__).with_name("data")


def captured(name: str, system: str = "slurm-22.05") -> Completed:
    """One command's argv, exit code and both streams, as capture.py kept them."""
    body = json.loads((DATA / system / f"{name}.json").read_text())
    return Completed(
        tuple(body["argv"]), body["returncode"], body["stdout"], body["stderr"]
    )


def owned(said: Completed) -> Completed:
    """The same answer of qstat's, if this user's jobs were those that alice had."""
    name = login_name()
    text = said.stdout.replace("<JB_owner>alice<", f"<JB_owner>{name}<")
    return dataclasses.replace(said, stdout=text)


class Commands:
    """A directory of programs. Each notes its arguments, environment and input."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, name: str, script: str) -> None:
        """A program that runs these lines of sh."""
        note = shlex.quote(str(self.folder / name))
        path = self.folder / name
        lines = [
            "#!/bin/sh",
            f'for word in "$0" "$@"; do printf "%s\\0" "$word"; done >> {note}.args',
            f'printf "\\n" >> {note}.args',
            f"env -0 > {note}.env",
            script,
        ]
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o755)

    def answer(self, name: str, completed: Completed) -> None:
        """A program that says what was captured."""
        for stream in ("stdout", "stderr"):
            path = self.folder / f"{name}.{stream}"
            path.write_text(getattr(completed, stream))
        said = shlex.quote(str(self.folder / name))
        script = (
            f"cat {said}.stdout; cat {said}.stderr >&2; exit {completed.returncode}"
        )
        self.make(name, script)

    def calls(self, name: str) -> list[list[str]]:
        """The arguments of each call so far."""
        path = self.folder / f"{name}.args"
        if not path.exists():
            return []
        calls = path.read_text().removesuffix("\0\n").split("\0\n")
        return [call.split("\0")[1:] for call in calls]

    def environment(self, name: str) -> dict[str, str]:
        """Of the last call."""
        rows = (self.folder / f"{name}.env").read_text().split("\0")
        return dict(row.split("=", 1) for row in rows if "=" in row)


def run(shell: InteractiveShell, cell: str) -> Any:
    """Run a cell; its value. What it raises passes."""
    result = shell.run_cell(cell)  # type: ignore[no-untyped-call] # has none
    result.raise_error()
    return result.result


def wait_until(what: str, ready: Callable[[], object], seconds: float = 10) -> None:
    """Until `ready()`."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether that process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
