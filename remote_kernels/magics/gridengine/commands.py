"""Grid Engine's commands as magics: `%qstat`, `%%qsub`, `%qdel` and others.

A magic is the command itself: its options, its words, its errors. Tables become pandas
frames where that loses nothing. Called by IPython, as `load` has registered them.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from IPython.core.error import UsageError

from remote_kernels.magics import command, environment
from remote_kernels.magics.own_job import Magic
from remote_kernels.magics.typed import (
    JobNumber,
    Text,
    Typed,
    frame,
    split,
    with_interpreter,
)
from remote_kernels.scheduler.gridengine import DRIVER
from remote_kernels.scheduler.gridengine.told import is_of_the_job
from remote_kernels.scheduler.job import Completed

from . import tables
from .own_job import own_job, why_not_delete

# What each of the plain ones is for. They print and end; none asks questions.
_PRINTING = {
    "qacct": "What jobs used that have ended: `%qacct -j 123`.",
    "qalter": "Change a job that waits: `%qalter -l h_rt=3600 123`.",
    "qhold": "Hold a job back.",
    "qquota": "What of the site's quotas is in use.",
    "qrls": "Let a job go on that is on hold.",
}
_SUBMITTED = re.compile(r"^Your job(?:-array)? (\d+)[. ]", re.MULTILINE)
_TERSE = re.compile(r"^(\d+)(?:\.\d+-\d+:\d+)?[^\S\n]*$", re.MULTILINE)
_LOGIN = {"-l", "--login"}  # as what most sites start shells with anyway (login_shells)


class GridEngineMagics(Typed):
    """The magics of one shell."""

    def magics(self) -> Mapping[tuple[str, str], Magic]:
        """Return all magics, by kind and name."""
        lines = [self.gridengine, self.qstat, self.qhost, self.qconf, self.qdel]
        lines += [self.qsub, *(self.printing(*each) for each in _PRINTING.items())]
        named = {("line", function.__name__): function for function in lines}
        return {**named, ("cell", "qsub"): self.qsub}

    def gridengine(self, line: str) -> None:
        """Choose how %qstat and %qhost show tables.

        %gridengine pandas  as pandas frames, where pandas is installed (the default)
        %gridengine text    as the commands print them
        %gridengine         say which it is now
        """
        self.choose("gridengine", line)

    def qstat(self, line: str) -> Any:
        """Show jobs as a table. Without options: only your own jobs.

        Takes qstat's options; `%qstat -u '*'` lists everyone's jobs, `%qstat -j 123`
        all of one job, `%qstat -g c` the queues.
        """
        return self._table("qstat", split(line))

    def qhost(self, line: str) -> Any:
        """Show the hosts as a table. Takes qhost's options."""
        return self._table("qhost", split(line))

    def qconf(self, line: str) -> Text:
        """Show what the site has: `%qconf -sql`, `%qconf -sp mpi`. Shows only."""
        words = split(line)
        if not words or not words[0].startswith("-s"):
            message = (
                "%qconf only shows: %qconf -sql for the queues, %qconf -spl for the "
                "parallel environments (its other options open an editor)"
            )
            raise UsageError(message)
        return self.text(["qconf", *words])

    def qdel(self, line: str) -> None:
        """End jobs: `%qdel 123 124`, `%qdel 123 -t 1-4`, `%qdel -u me`.

        Refuses to end this kernel's own job unless --self is given.
        """
        words = split(line)
        wanted = [word for word in words if word != "--self"]
        if not wanted:
            message = "nothing is ended: name jobs, as in %qdel 123"
            raise UsageError(message)
        job = own_job(os.environ)
        if job is not None and "--self" not in words:
            reason = why_not_delete(wanted, job, command.run)
            if reason is not None:
                message = f"{reason}\nAdd --self if that is what you want."
                raise UsageError(message)
        sys.stdout.write(self.run(["qdel", *wanted]).stdout)

    def qsub(self, line: str, cell: str | None = None) -> JobNumber | None:
        """Submit a job, and return its number.

        %qsub -l h_rt=600 job.sh    submits a file
        %%qsub -l h_rt=600          the cell is the script; `#$` lines count

        Most queues do not read a script's line #!, so that of a cell becomes -S. With
        -V the job gets this kernel's environment, without what its own job put there.
        """
        words = split(line)
        script = "" if cell is None else with_interpreter(cell)
        more = [] if cell is None else _interpreter(script, words)
        argv = ["qsub", *more, *words]
        completed = self.run(argv, environment.of_this_kernel(is_of_the_job), script)
        sys.stdout.write(completed.stdout)
        return _job_id(completed.stdout)

    def advice(self, completed: Completed) -> str:
        """Return what to do about a command that failed; "" if we do not know it."""
        name, said = completed.argv[0], completed.stderr + completed.stdout
        if DRIVER.is_no_answer(completed):
            return (
                "Grid Engine's qmaster did not answer. It may be restarting: try again."
            )
        if "Error reading answer list" in said:  # of a name with a blank, on 8.1.9
            return "Is there a blank or an accent in the job's name (-N)? Take it out."
        if name == "qacct" and "error opening" in said:
            return "Accounting is a file, and not on this node: ask on a login node."
        return DRIVER.submit_advice(completed) if name == "qsub" else ""

    def _table(self, name: str, words: Sequence[str]) -> Any:
        argv = tables.argv(name, words) if self.wants_frames else None
        if argv is None:
            return self.text([name, *words])
        completed = self.run(argv, typed=[name, *words])
        rows = tables.parse(completed.stdout)
        return self.text([name, *words]) if rows is None else frame(rows)


def magics() -> Mapping[tuple[str, str], Magic]:
    """Return the magics of one shell, by kind and name."""
    return GridEngineMagics().magics()


def _interpreter(script: str, words: Sequence[str]) -> list[str]:
    """Return the option that names what the line #! does, unless -S is there already."""
    prefix = words[words.index("-C") + 1] if "-C" in words[:-1] else "#$"
    options = rf"^{re.escape(prefix)}(?:.*\s)?-S\s"
    if "-S" in words or (prefix and re.search(options, script, re.MULTILINE)):
        return []
    first = script.splitlines()[0]
    try:
        path, *arguments = shlex.split(first[2:])
    except ValueError:  # none, or a quote that is open
        msg = f"The first line names no program: {first!r}. Write #!/bin/bash, for example."
        raise UsageError(msg) from None
    if PurePosixPath(path).name == "env" and arguments:
        name, *arguments = [each for each in arguments if each != "-S"]
        path = shutil.which(name) or name
    if set(arguments) - _LOGIN:
        print(
            "Grid Engine reads no arguments in the line #!, so these are left out: "
            f"{shlex.join(arguments)}"
        )
    return ["-S", path]


def _job_id(stdout: str) -> JobNumber | None:
    """Return the last job number in this output; None if there is none (`-verify`).

    The last one, because a site's JSV may print lines of its own before it.
    """
    found = _SUBMITTED.findall(stdout) or _TERSE.findall(stdout)
    return JobNumber(found[-1]) if found else None
