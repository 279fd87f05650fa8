"""A batch system's commands as they are typed in a cell: words in, text or frames out.

What is the same for all batch systems. A magic is the command itself: its options, its
words, its errors. Called by the `commands.py` of each.
"""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from IPython.core.error import UsageError

from remote_kernels.errors import CommandError
from remote_kernels.magics import command
from remote_kernels.magics.command import Failure
from remote_kernels.magics.own_job import Magic
from remote_kernels.scheduler.job import Completed


class Text(str):
    """Output of a command, shown as it is."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self).rstrip("\n"))


class JobNumber(str):
    """The number of a job, as in `%scancel {job}`."""

    cluster: str | None = None  # only if the batch system named one


@dataclass(frozen=True)
class Rows:
    """A table: the names of its columns, and rows of as many fields."""

    header: tuple[str, ...]
    rows: tuple[tuple[str | int, ...], ...]


class Typed:
    """The commands of one batch system in one shell, and how their tables are shown."""

    def __init__(self) -> None:
        self._frames = True

    @property
    def wants_frames(self) -> bool:
        """Whether tables are to be pandas frames, and can be."""
        return self._frames and has_pandas()

    def choose(self, name: str, line: str) -> None:
        """Choose how tables are shown, for the magic of this name, and say it."""
        wanted = line.strip()
        if wanted not in ("", "pandas", "text"):
            message = f"%{name} takes 'pandas' or 'text'"
            raise UsageError(message)
        self._frames = wanted == "pandas" if wanted else self._frames
        if self._frames and not has_pandas():
            print("Tables are shown as text: pandas is not installed in this kernel.")
        else:
            print(f"Tables are shown as {'pandas frames' if self._frames else 'text'}.")

    def advice(self, completed: Completed) -> str:
        """Return what to do about a command that failed; "" if we do not know it."""
        return ""

    def shown(self, stdout: str) -> str:
        """Return the output of a command that failed, for people."""
        return stdout

    def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        input: str = "",
        *,
        typed: Sequence[str] | None = None,
        live: bool = False,
    ) -> Completed:
        """Run a command and show its warnings. Raises Failure unless it succeeds."""
        try:
            completed = command.run(argv, env=env, input=input, live=live)
        except CommandError as error:
            raise Failure(error) from None
        if completed.returncode != 0:
            raise self._failure(completed, typed or argv)
        sys.stderr.write(completed.stderr)
        return completed

    def text(self, argv: Sequence[str]) -> Text:
        """Run a command, and return what it printed."""
        return Text(self.run(argv).stdout)

    def live(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Run a command, and show what it says as it comes."""
        self.run(argv, env, live=True)

    def printing(self, name: str, purpose: str) -> Magic:
        """Return the magic of a command that prints and ends; `purpose` is a sentence."""

        def magic(line: str) -> Text:
            return self.text([name, *split(line)])

        magic.__name__ = name
        magic.__doc__ = f"{purpose} Takes the options of {name}."
        return magic

    def _failure(self, completed: Completed, typed: Sequence[str]) -> Failure:
        streams = self.shown(completed.stdout), completed.stderr
        error = CommandError(
            f"{typed[0]} failed.", typed, completed.returncode, *streams
        )
        return Failure(error, self.advice(completed))


def split(line: str) -> list[str]:
    """Split the line as a shell would, but without its $NAME, * and |."""
    try:
        return shlex.split(line)
    except ValueError as error:
        message = f"{error}: {line}"
        raise UsageError(message) from None


def with_interpreter(cell: str) -> str:
    """Return the cell with a line #! first, which says what runs it."""
    text = cell.lstrip("\n").rstrip() + "\n"
    if text.startswith("#!"):
        return text
    print("The script has no line #!, so it is one for /bin/bash.")
    return f"#!/bin/bash\n{text}"


def has_pandas() -> bool:
    """Return whether this kernel could make a frame."""
    return importlib.util.find_spec("pandas") is not None


def frame(rows: Rows) -> Any:
    """Return a table as a pandas frame."""
    import pandas  # takes half a second: only where a table is wanted

    return pandas.DataFrame(list(rows.rows), columns=list(rows.header))
