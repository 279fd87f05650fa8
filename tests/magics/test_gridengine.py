"""Grid Engine's commands as magics, in a real IPython.

The programs on PATH say what Grid Engine 8.1.9 said.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from magics.capture_gridengine import NAMES
from magics.commands import Commands, owned, run
from magics.commands import captured as answered
from remote_kernels.magics.command import Failure
from remote_kernels.magics.typed import JobNumber
from remote_kernels.scheduler.job import Completed

JOB = {
    "JOB_ID": "18",
    "SGE_TASK_ID": "undefined",
    "JOB_NAME": "jupyter-1234abcd",
    "QUEUE": "debug.q",
    "HOSTNAME": "c1",
    "NSLOTS": "4",
    "RK_JOB_ID": "18",
}


def captured(name: str) -> Completed:
    return answered(name, "gridengine-8.1.9")


def told(stdout: str, returncode: int = 0, stderr: str = "") -> Completed:
    return Completed((), returncode, stdout, stderr)


def magic(shell: InteractiveShell, name: str, kind: str = "line") -> Any:
    return shell.magics_manager.magics[kind].get(name)


@pytest.fixture(autouse=True)
def in_job(no_job: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a job of Grid Engine's, before the magics are loaded."""
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)


def test_qstat_is_a_frame(shell: InteractiveShell, commands: Commands) -> None:
    """Its columns are qstat's, its names are whole, its counts are numbers."""
    commands.answer("qstat", captured("qstat"))

    frame = run(shell, "%qstat")

    assert [*NAMES] == [*dict.fromkeys(frame["name"])]
    assert 8 == frame["slots"].sum()
    assert [["-xml"]] == commands.calls("qstat")


def test_options_and_python_values(shell: InteractiveShell, commands: Commands) -> None:
    """`{name}` is filled in, words may be quoted, and * is no pattern of files."""
    commands.answer("qstat", captured("qstat-all"))
    shell.user_ns["job"] = JobNumber("18")

    run(shell, "%qstat -u '*' -s r")
    run(shell, "%qstat -j {job}")

    assert [["-u", "*", "-s", "r", "-xml"], ["-j", "18"]] == commands.calls("qstat")


def test_hosts(shell: InteractiveShell, commands: Commands) -> None:
    """A frame, too; with -q, which mixes hosts and queues, text."""
    commands.answer("qhost", captured("qhost"))

    assert ["c1", "c2"] == [*run(shell, "%qhost")["HOSTNAME"]]
    assert str(captured("qhost").stdout) == run(shell, "%qhost -q")
    assert [["-xml"], ["-q"]] == commands.calls("qhost")


def test_text_when_asked(
    shell: InteractiveShell, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """`%gridengine text` shows tables as the command prints them."""
    commands.answer("qstat", told("job-ID\n"))

    run(shell, "%gridengine text")

    assert "job-ID\n" == run(shell, "%qstat -s r")
    assert [["-s", "r"]] == commands.calls("qstat")
    assert "Tables are shown as text.\n" in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"'pandas' or 'text'"):
        run(shell, "%gridengine html")


def test_a_table_that_cannot_be_read(
    shell: InteractiveShell, commands: Commands
) -> None:
    """It is shown as the command prints it, which is no XML."""
    commands.make("qstat", 'case "$*" in *-xml*) echo "<x>";; *) echo text;; esac')

    assert "text\n" == run(shell, "%qstat -s r")


@pytest.mark.parametrize(
    ("name", "cell", "words"),
    [
        ("qstat-option", "%qstat -nosuch", 'invalid option argument "-nosuch"'),
        ("qstat-job-unknown", "%qstat -j 99999", "do not exist"),
        ("qdel-unknown", "%qdel 99999", 'job "99999" does not exist'),
        ("qacct", "%qacct -j 99999", "job id 99999 not found"),
        ("qsub-queue", "%qsub -q nosuch job.sh", "qconf -sql"),
        ("qsub-resource", "%qsub -l nope=1 job.sh", "qconf -sc"),
        ("qsub-name", "%qsub -N 'a b' job.sh", "blank or an accent"),
        ("qsub-file", "%qsub nosuch.sh", "error opening nosuch.sh"),
    ],
)
def test_a_failure(
    shell: InteractiveShell, commands: Commands, name: str, cell: str, words: str
) -> None:
    """Grid Engine's own words, on whichever stream, and what to do where we know it."""
    said = captured(name)
    commands.answer(cell.split()[0].strip("%"), said)

    with pytest.raises(Failure) as failure:
        run(shell, cell)

    text = str(failure.value)
    assert words in text
    for line in (said.stdout + said.stderr).strip().splitlines():
        assert line.rstrip() in text


def test_nobody_answers(shell: InteractiveShell, commands: Commands) -> None:
    """It is said that this is not about the job."""
    said = 'error: commlib error: got select error (Connection refused)\nunable to send message to qmaster using port 6444 on host "ctl": got send error\n'
    commands.answer("qstat", told("", 1, said))

    with pytest.raises(Failure, match="qmaster did not answer"):
        run(shell, "%qstat")


def submitted(shell: InteractiveShell, commands: Commands, cell: str) -> list[str]:
    """The words of the qsub of a cell, which succeeds."""
    said = shlex.quote(captured("qsub").stdout)
    commands.make("qsub", f"cat > $0.script; printf %s {said}")
    run(shell, cell)
    return commands.calls("qsub")[-1]


def test_a_script_in_a_cell(
    shell: InteractiveShell, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is submitted as it is, by the interpreter of its line #!."""
    cell = "%%qsub -l h_rt=60\n\n#!/usr/bin/perl\n#$ -N x\nprint '{x} $HOME'\n"

    words = submitted(shell, commands, cell)

    script = commands.folder / "qsub.script"
    assert cell.partition("\n\n")[2] == script.read_text()
    assert ["-S", "/usr/bin/perl", "-l", "h_rt=60"] == words
    assert captured("qsub").stdout in capsys.readouterr().out


def test_a_script_without_an_interpreter(
    shell: InteractiveShell, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """It gets bash, and a note says so: the shell of a queue may be any."""
    words = submitted(shell, commands, "%%qsub\necho hello")

    assert ["-S", "/bin/bash"] == words
    assert "/bin/bash" in capsys.readouterr().out


@pytest.mark.parametrize(
    "cell",
    [
        "%%qsub -S /bin/sh\n#!/bin/bash\necho",
        "%%qsub\n#!/bin/bash\n#$ -N x -S /bin/sh\necho",
        "%%qsub -C #@\n#!/bin/bash\n#@ -S /bin/sh\necho",
    ],
)
def test_an_interpreter_that_is_named(
    shell: InteractiveShell, commands: Commands, cell: str
) -> None:
    """In the line, or in the script: it counts."""
    assert "/bin/bash" not in submitted(shell, commands, cell)


def test_an_interpreter_by_env(shell: InteractiveShell, commands: Commands) -> None:
    """As qsub knows no words after it, the program is looked up here."""
    commands.make("python9", "")

    words = submitted(shell, commands, "%%qsub\n#!/usr/bin/env python9\nprint(1)")

    assert ["-S", str(commands.folder / "python9")] == words


def test_arguments_of_an_interpreter(
    shell: InteractiveShell, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """They cannot be given, which is said; but for -l, as most shells are such."""
    assert ["-S", "/bin/bash"] == submitted(
        shell, commands, "%%qsub\n#!/bin/bash -l\necho"
    )
    assert "left out" not in capsys.readouterr().out
    submitted(shell, commands, "%%qsub\n#!/bin/bash -eu\necho")
    assert "these are left out: -eu" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("qsub", True),
        ("qsub-terse", True),
        ("qsub-array", True),
        ("qsub-array-terse", True),
        ("qsub-now", True),
        ("qsub-verify", False),
    ],
)
def test_the_number_of_a_job(
    shell: InteractiveShell, commands: Commands, name: str, number: bool
) -> None:
    """In all forms of qsub's answer: of an array, the number that all tasks share."""
    said = captured(name)
    commands.answer("qsub", said)

    job = run(shell, "%qsub job.sh")

    assert (job in said.stdout and job.isdigit()) if number else job is None


def test_a_job_of_a_job(
    shell: InteractiveShell, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With -V qsub passes nothing of the kernel's job, but what a cell has set."""
    own = {**JOB, "PE_HOSTFILE": "/x", "TMPDIR": "/tmp/18.1.debug.q", "PE": "mpi"}
    own |= {"SGE_ROOT": "/sge", "CUDA_VISIBLE_DEVICES": "0"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    born = dict(os.environ)
    monkeypatch.setattr("remote_kernels.magics.environment.at_birth", lambda: born)
    monkeypatch.setenv("TMPDIR", "/scratch")
    commands.answer("qsub", captured("qsub"))

    run(shell, "%qsub -V job.sh")

    seen = commands.environment("qsub")
    assert {"SGE_ROOT": "/sge", "TMPDIR": "/scratch"} == {
        name: seen[name] for name in own if name in seen
    }


def test_qdel_spares_this_kernel(shell: InteractiveShell, commands: Commands) -> None:
    """Its own job is only ended with --self, and others at once."""
    commands.answer("qdel", told("alice has deleted job 20\n"))
    commands.answer("qstat", owned(captured("qstat")))

    for words in ("18", "20 18", "20,18", "'a*c'"):
        with pytest.raises(UsageError, match="Add --self"):
            run(shell, f"%qdel {words}")
    assert [] == commands.calls("qdel")

    run(shell, "%qdel 20 -t 18")
    run(shell, "%qdel --self 18")
    assert [["20", "-t", "18"], ["18"]] == commands.calls("qdel")


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%qdel", "nothing is ended"),
        ("%qdel --self", "nothing is ended"),
        ("%qconf", "only shows"),
        ("%qconf -mq debug.q", "only shows"),
        ("%qstat 'a", "quotation"),
        ("%%qsub\n#!\necho", "names no program"),
        ("%%qsub\n#!/usr/bin/env 'python3\necho", "names no program"),
    ],
)
def test_what_a_notebook_cannot_do(
    shell: InteractiveShell, commands: Commands, cell: str, words: str
) -> None:
    """It is refused before anything runs."""
    name = cell.split()[0].strip("%")
    commands.answer(name, told(""))

    with pytest.raises(UsageError, match=words):
        run(shell, cell)

    assert [] == commands.calls(name)


@pytest.mark.parametrize("name", ["qacct", "qalter", "qhold", "qquota", "qrls"])
def test_commands_that_print(
    shell: InteractiveShell, commands: Commands, name: str
) -> None:
    """Their output is the cell's value."""
    commands.answer(name, told("text\n"))

    assert "text\n" == run(shell, f"%{name} -a")
    assert [["-a"]] == commands.calls(name)


# Whose magics there are


def test_those_of_the_jobs_system(shell: InteractiveShell) -> None:
    """And no others: commands of the same names may be another system's."""
    assert magic(shell, "qstat") is not None
    assert magic(shell, "qsub", "cell") is not None
    assert magic(shell, "squeue") is None


def loaded(shell: InteractiveShell, environ: dict[str, str]) -> set[str]:
    """Which of some magics are there after a load with these variables."""
    run(shell, "%unload_ext remote_kernels")
    with pytest.MonkeyPatch.context() as context:
        for name in JOB:
            context.delenv(name)
        for name, value in environ.items():
            context.setenv(name, value)
        run(shell, "%load_ext remote_kernels")
    names = ("qstat", "squeue", "remote_kernel")
    return {name for name in names if magic(shell, name) is not None}


def test_a_job_that_was_submitted_from_another_systems(shell: InteractiveShell) -> None:
    """Its own number decides which of the two it is in."""
    both = {**JOB, "SLURM_JOB_ID": "7"}

    assert {"squeue", "remote_kernel"} == loaded(shell, {**both, "RK_JOB_ID": "7"})
    assert {"qstat", "remote_kernel"} == loaded(shell, both)


def test_a_job_id_that_is_anybodys(shell: InteractiveShell, tmp_path: Path) -> None:
    """JOB_ID alone is no job of Grid Engine's."""
    environ = {"JOB_ID": "18", "PATH": str(tmp_path)}

    assert "qstat" not in loaded(shell, environ)


def test_outside_of_a_job(shell: InteractiveShell, commands: Commands) -> None:
    """Who answers is asked, and a qstat of PBS's is not taken for Grid Engine's."""
    for name in ("sh", "env"):
        (commands.folder / name).symlink_to(f"/usr/bin/{name}")
    for name in ("qsub", "qstat", "qconf", "pbsnodes"):
        commands.make(name, "echo ctl")
    only = {"PATH": str(commands.folder)}
    assert {"qstat", "remote_kernel"} == loaded(shell, only)

    commands.make("qstat", "echo 'pbs_version = 22.05.11'")
    (commands.folder / "qconf").unlink()
    assert "qstat" not in loaded(shell, {"PATH": f"{commands.folder}:/nowhere"})
