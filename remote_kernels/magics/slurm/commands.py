"""Slurm's commands as magics: `%squeue`, `%%sbatch`, `%scancel` and others.

A magic is the command itself: its options, its words, its errors. Tables become pandas
frames where that loses nothing. Called by IPython, as `load` has registered them.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from IPython.core.error import UsageError

from remote_kernels.errors import CommandError
from remote_kernels.magics import command
from remote_kernels.magics.command import Failure
from remote_kernels.magics.own_job import Magic
from remote_kernels.scheduler.job import Completed, login_name
from remote_kernels.scheduler.slurm import DRIVER
from remote_kernels.scheduler.slurm.driver import PARSABLE, SUBMITTED

from . import environment, tables
from .own_job import asks_back, own_job, why_not_cancel

# What each of the plain ones is for. They print and end; none asks questions.
_PRINTING = {
    "sbcast": "Copy a file to the nodes of a job.",
    "sdiag": "How busy Slurm's controller is.",
    "sprio": "What makes up the priority of waiting jobs.",
    "sreport": "Reports from the accounting database.",
    "sshare": "Fair-share: what accounts may use and have used.",
    "sstat": "What the steps of a running job use.",
    "strigger": "Programs that Slurm runs at events; --get lists them.",
}


class Text(str):
    """Output of a command, shown as it is."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self).rstrip("\n"))


class JobNumber(str):
    """The number of a job, as in `%scancel {job}`."""

    cluster: str | None = None  # only if sbatch named one


class SlurmMagics:
    """The magics of one shell, and whether tables are frames there."""

    def __init__(self) -> None:
        self._frames = True

    def magics(self) -> Mapping[tuple[str, str], Magic]:
        """Return all magics, by kind and name."""
        lines = [self.slurm, self.squeue, self.sinfo, self.sacct, self.scontrol]
        lines += [self.sacctmgr, self.scancel, self.srun, self.salloc, self.sattach]
        lines += [self.sbatch, *(_printing(name) for name in _PRINTING)]
        named = {("line", function.__name__): function for function in lines}
        return {**named, ("cell", "sbatch"): self.sbatch}

    def slurm(self, line: str) -> None:
        """Choose how %squeue, %sinfo and %sacct show tables.

        %slurm pandas   as pandas frames, where pandas is installed (the default)
        %slurm text     as the commands print them
        %slurm          say which it is now
        """
        if line.strip() in ("pandas", "text"):
            self._frames = line.strip() == "pandas"
        elif line.strip():
            message = "%slurm takes 'pandas' or 'text'"
            raise UsageError(message)
        if self._frames and not _has_pandas():
            print("Tables are shown as text: pandas is not installed in this kernel.")
        else:
            print(f"Tables are shown as {'pandas frames' if self._frames else 'text'}.")

    def squeue(self, line: str) -> Any:
        """Show jobs in the queue as a table. Without options: only your own jobs.

        Takes squeue's options; `%squeue --all` lists everyone's jobs.
        """
        words = _words(line) or [f"--user={login_name()}"]
        return self._table("squeue", words)

    def sinfo(self, line: str) -> Any:
        """Show partitions and nodes as a table. Takes sinfo's options."""
        return self._table("sinfo", _words(line))

    def sacct(self, line: str) -> Any:
        """Show past and present jobs as a table. Takes sacct's options."""
        return self._table("sacct", _words(line))

    def scontrol(self, line: str) -> Text:
        """Show and change jobs, nodes, partitions: `%scontrol show job 123`."""
        words = _words(line)
        if not words:
            message = "give a command, as in %scontrol show job 123; its prompt needs a terminal"
            raise UsageError(message)
        return _text(["scontrol", *words])

    def sacctmgr(self, line: str) -> Text:
        """Show accounts, users, QOS: `%sacctmgr show assoc user=me`. Shows only."""
        words = _words(line)
        verbs = [word for word in words if not word.startswith("-")]
        if not verbs or verbs[0] not in ("show", "list"):
            message = (
                "%sacctmgr only shows: %sacctmgr show assoc (its other commands ask for "
                "a confirmation, which a notebook cannot give)"
            )
            raise UsageError(message)
        return _text(["sacctmgr", *words])

    def scancel(self, line: str) -> None:
        """Cancel jobs: `%scancel 123 124`, `%scancel --user=me --state=pending`.

        Refuses to end this kernel's own job unless --self is given.
        """
        words = _words(line)
        wanted = [word for word in words if word != "--self"]
        if not wanted:
            message = "nothing is cancelled: name jobs, as in %scancel 123"
            raise UsageError(message)
        if asks_back(wanted):
            message = "a notebook cannot answer what scancel --interactive asks"
            raise UsageError(message)
        job = own_job(os.environ)
        if job is not None and "--self" not in words:
            reason = why_not_cancel(wanted, job, command.run)
            if reason is not None:
                message = f"{reason}\nAdd --self if that is what you want."
                raise UsageError(message)
        sys.stdout.write(_run(["scancel", *wanted]).stdout)

    def srun(self, line: str) -> None:
        """Run a command as a step of this kernel's job, and show its output.

        Outside of a job srun first waits for one. An interrupt ends it.
        """
        words = _words(line)
        if "--pty" in words:
            message = "%srun has no terminal; leave out --pty"
            raise UsageError(message)
        _live(["srun", *words])

    def salloc(self, line: str) -> None:
        """Run a command in a new allocation: `%salloc -N 2 -- srun hostname`.

        The command follows "--", as there is no shell to type into; `--no-shell` makes
        an allocation that stays.
        """
        words = _words(line)
        if "--no-shell" not in words and "--" not in words[:-1]:
            message = (
                "say what to run after --, as in %salloc -N 2 -- srun hostname; "
                "a notebook is no terminal for its shell"
            )
            raise UsageError(message)
        _live(["salloc", *words], _environment())

    def sattach(self, line: str) -> None:
        """Show a running step's output: `%sattach 123.0`. An interrupt leaves it."""
        _live(["sattach", *_words(line)])

    def sbatch(self, line: str, cell: str | None = None) -> JobNumber | None:
        """Submit a job, and return its number.

        %sbatch --time=10 job.sh    submits a file
        %%sbatch --time=10          the cell is the script; `#SBATCH` lines count

        The job gets this kernel's environment, without what its own job put there.
        """
        words = _words(line)
        script = "" if cell is None else _script(cell)
        completed = _run(["sbatch", *words], _environment(), script)
        sys.stdout.write(completed.stdout)
        return _job_id(completed.stdout)

    def _table(self, name: str, words: Sequence[str]) -> Any:
        if any(re.match(r"-i|--iterate", word) for word in words) and name != "sacct":
            return _live([name, *words])
        argv = None
        if self._frames and _has_pandas():
            argv = tables.argv(name, words, os.environ)
        if argv is None:
            return _text([name, *words])
        completed = _run(argv, typed=[name, *words])
        rows = tables.parse(completed.stdout)
        return Text(tables.plain(completed.stdout)) if rows is None else _frame(rows)


def magics() -> Mapping[tuple[str, str], Magic]:
    """Return the magics of one shell, by kind and name."""
    return SlurmMagics().magics()


def _printing(name: str) -> Magic:
    def magic(line: str) -> Text:
        return _text([name, *_words(line)])

    magic.__name__ = name
    magic.__doc__ = f"{_PRINTING[name]} Takes the options of {name}."
    return magic


def _words(line: str) -> list[str]:
    """Split the line as a shell would, but without its $NAME, * and |."""
    try:
        return shlex.split(line)
    except ValueError as error:
        message = f"{error}: {line}"
        raise UsageError(message) from None


def _script(cell: str) -> str:
    """Return the cell with a line #! first, which sbatch needs."""
    text = cell.lstrip("\n").rstrip() + "\n"
    if text.startswith("#!"):
        return text
    print("The script has no line #!, so it is one for /bin/bash.")
    return f"#!/bin/bash\n{text}"


def _run(
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
        raise _failure(completed, typed or argv)
    sys.stderr.write(completed.stderr)
    return completed


def _text(argv: Sequence[str]) -> Text:
    return Text(_run(argv).stdout)


def _live(argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    _run(argv, env, live=True)


def _failure(completed: Completed, typed: Sequence[str]) -> Failure:
    code = completed.returncode
    streams = tables.plain(completed.stdout), completed.stderr
    return Failure(
        CommandError(f"{typed[0]} failed.", typed, code, *streams), _advice(completed)
    )


def _advice(completed: Completed) -> str:
    name, stderr = completed.argv[0], completed.stderr
    if DRIVER.is_no_answer(completed):
        return "Slurm's controller did not answer. It may be restarting: try again."
    if "accounting storage is disabled" in stderr:
        return "This cluster keeps no accounting; %squeue and %scontrol know live jobs."
    if "Batch script is empty" in stderr:
        return "Name a script's file, or write %%sbatch above a cell with the script."
    return DRIVER.submit_advice(completed) if name in ("sbatch", "salloc") else ""


def _environment() -> dict[str, str]:
    return environment.for_submission(os.environ, environment.at_birth())


def _job_id(stdout: str) -> JobNumber | None:
    """Return the last job number in this output; None if there is none (`--test-only`).

    The last one, because a site's plugins may print lines of their own before it.
    """
    found = SUBMITTED.findall(stdout) or PARSABLE.findall(stdout)
    if not found:
        return None
    job = JobNumber(found[-1][0])
    job.cluster = found[-1][1] or None
    return job


def _has_pandas() -> bool:
    return importlib.util.find_spec("pandas") is not None


def _frame(rows: tables.Rows) -> Any:
    import pandas  # takes half a second: only where a table is wanted

    return pandas.DataFrame(list(rows.rows), columns=list(rows.header))
