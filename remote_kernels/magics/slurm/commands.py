"""Slurm's commands as magics: `%squeue`, `%%sbatch`, `%scancel` and others.

A magic is the command itself: its options, its words, its errors. Tables become pandas
frames where that loses nothing. Called by IPython, as `load` has registered them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
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
from remote_kernels.scheduler.job import Completed, login_name
from remote_kernels.scheduler.slurm import DRIVER
from remote_kernels.scheduler.slurm.driver import PARSABLE, SUBMITTED, is_of_the_job

from . import tables
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


class SlurmMagics(Typed):
    """The magics of one shell."""

    def magics(self) -> Mapping[tuple[str, str], Magic]:
        """Return all magics, by kind and name."""
        lines = [self.slurm, self.squeue, self.sinfo, self.sacct, self.scontrol]
        lines += [self.sacctmgr, self.scancel, self.srun, self.salloc, self.sattach]
        lines += [self.sbatch, *(self.printing(*each) for each in _PRINTING.items())]
        named = {("line", function.__name__): function for function in lines}
        return {**named, ("cell", "sbatch"): self.sbatch}

    def slurm(self, line: str) -> None:
        """Choose how %squeue, %sinfo and %sacct show tables.

        %slurm pandas   as pandas frames, where pandas is installed (the default)
        %slurm text     as the commands print them
        %slurm          say which it is now
        """
        self.choose("slurm", line)

    def squeue(self, line: str) -> Any:
        """Show jobs in the queue as a table. Without options: only your own jobs.

        Takes squeue's options; `%squeue --all` lists everyone's jobs.
        """
        words = split(line) or [f"--user={login_name()}"]
        return self._table("squeue", words)

    def sinfo(self, line: str) -> Any:
        """Show partitions and nodes as a table. Takes sinfo's options."""
        return self._table("sinfo", split(line))

    def sacct(self, line: str) -> Any:
        """Show past and present jobs as a table. Takes sacct's options."""
        return self._table("sacct", split(line))

    def scontrol(self, line: str) -> Text:
        """Show and change jobs, nodes, partitions: `%scontrol show job 123`."""
        words = split(line)
        if not words:
            message = "give a command, as in %scontrol show job 123; its prompt needs a terminal"
            raise UsageError(message)
        return self.text(["scontrol", *words])

    def sacctmgr(self, line: str) -> Text:
        """Show accounts, users, QOS: `%sacctmgr show assoc user=me`. Shows only."""
        words = split(line)
        verbs = [word for word in words if not word.startswith("-")]
        if not verbs or verbs[0] not in ("show", "list"):
            message = (
                "%sacctmgr only shows: %sacctmgr show assoc (its other commands ask for "
                "a confirmation, which a notebook cannot give)"
            )
            raise UsageError(message)
        return self.text(["sacctmgr", *words])

    def scancel(self, line: str) -> None:
        """Cancel jobs: `%scancel 123 124`, `%scancel --user=me --state=pending`.

        Refuses to end this kernel's own job unless --self is given.
        """
        words = split(line)
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
        sys.stdout.write(self.run(["scancel", *wanted]).stdout)

    def srun(self, line: str) -> None:
        """Run a command as a step of this kernel's job, and show its output.

        Outside of a job srun first waits for one. An interrupt ends it.
        """
        words = split(line)
        if "--pty" in words:
            message = "%srun has no terminal; leave out --pty"
            raise UsageError(message)
        self.live(["srun", *words])

    def salloc(self, line: str) -> None:
        """Run a command in a new allocation: `%salloc -N 2 -- srun hostname`.

        The command follows "--", as there is no shell to type into; `--no-shell` makes
        an allocation that stays.
        """
        words = split(line)
        if "--no-shell" not in words and "--" not in words[:-1]:
            message = (
                "say what to run after --, as in %salloc -N 2 -- srun hostname; "
                "a notebook is no terminal for its shell"
            )
            raise UsageError(message)
        self.live(["salloc", *words], environment.of_this_kernel(is_of_the_job))

    def sattach(self, line: str) -> None:
        """Show a running step's output: `%sattach 123.0`. An interrupt leaves it."""
        self.live(["sattach", *split(line)])

    def sbatch(self, line: str, cell: str | None = None) -> JobNumber | None:
        """Submit a job, and return its number.

        %sbatch --time=10 job.sh    submits a file
        %%sbatch --time=10          the cell is the script; `#SBATCH` lines count

        The job gets this kernel's environment, without what its own job put there.
        """
        words = split(line)
        script = "" if cell is None else with_interpreter(cell)
        completed = self.run(
            ["sbatch", *words], environment.of_this_kernel(is_of_the_job), script
        )
        sys.stdout.write(completed.stdout)
        return _job_id(completed.stdout)

    def advice(self, completed: Completed) -> str:
        """Return what to do about a command that failed; "" if we do not know it."""
        name, stderr = completed.argv[0], completed.stderr
        if DRIVER.is_no_answer(completed):
            return "Slurm's controller did not answer. It may be restarting: try again."
        if "accounting storage is disabled" in stderr:
            return "This cluster keeps no accounting; %squeue and %scontrol know live jobs."
        if "Batch script is empty" in stderr:
            return (
                "Name a script's file, or write %%sbatch above a cell with the script."
            )
        return DRIVER.submit_advice(completed) if name in ("sbatch", "salloc") else ""

    def shown(self, stdout: str) -> str:
        """Return the output of a command that failed, for people."""
        return tables.plain(stdout)

    def _table(self, name: str, words: Sequence[str]) -> Any:
        if any(re.match(r"-i|--iterate", word) for word in words) and name != "sacct":
            return self.live([name, *words])
        argv = None
        if self.wants_frames:
            argv = tables.argv(name, words, os.environ)
        if argv is None:
            return self.text([name, *words])
        completed = self.run(argv, typed=[name, *words])
        rows = tables.parse(completed.stdout)
        return Text(tables.plain(completed.stdout)) if rows is None else frame(rows)


def magics() -> Mapping[tuple[str, str], Magic]:
    """Return the magics of one shell, by kind and name."""
    return SlurmMagics().magics()


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
