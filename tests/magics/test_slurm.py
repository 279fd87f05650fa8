"""Slurm's commands as magics, in a real IPython.

The programs on PATH say what Slurm 22.05 said.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from scheduler.captured import captured as answered

from magics.capture import NAMES
from magics.commands import Commands, captured, run
from remote_kernels.magics.command import Failure
from remote_kernels.magics.typed import JobNumber, Text
from remote_kernels.scheduler.job import Completed

SAID = "Submitted batch job 123\n"
ME = pwd.getpwuid(os.getuid()).pw_name


def told(stdout: str, returncode: int = 0, stderr: str = "") -> Completed:
    return Completed((), returncode, stdout, stderr)


def magic(shell: InteractiveShell, name: str, kind: str = "line") -> Any:
    return shell.magics_manager.magics[kind].get(name)


@pytest.fixture
def no_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name == "pandas" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)


def test_squeue_is_a_frame(shell: InteractiveShell, commands: Commands) -> None:
    """Its columns are squeue's, its names are whole, its counts are numbers."""
    commands.answer("squeue", captured("squeue"))

    frame = run(shell, "%squeue --all")

    assert [*NAMES, "sbatch"] == list(frame["NAME"])
    assert 7 == frame["NODES"].sum()


def test_squeue_lists_my_jobs(shell: InteractiveShell, commands: Commands) -> None:
    """Without options, and it says so; with options, what they say."""
    commands.answer("squeue", captured("squeue"))

    run(shell, "%squeue")
    run(shell, "%squeue --all")

    (mine, _), (all_of_them, _) = commands.calls("squeue")
    assert (f"--user={ME}", "--all") == (mine, all_of_them)
    assert "only your own" in (magic(shell, "squeue").__doc__)


def test_a_python_value_in_the_line(
    shell: InteractiveShell, commands: Commands
) -> None:
    """`{name}` is filled in, and words may be quoted."""
    commands.answer("scontrol", told("JobId=7\n"))
    shell.user_ns["job"] = JobNumber("7")

    run(shell, "%scontrol show job {job} 'a b'")

    assert [["show", "job", "7", "a b"]] == commands.calls("scontrol")


def test_warnings_are_shown(
    shell: InteractiveShell, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a command that succeeds nevertheless, as squeue does for an unknown user."""
    commands.answer("squeue", captured("squeue-no-user"))

    frame = run(shell, "%squeue --user=nosuch")

    assert frame.empty
    assert "Invalid user: nosuch" in capsys.readouterr().err


def test_an_unknown_option(shell: InteractiveShell, commands: Commands) -> None:
    """It reaches the command as it was typed, and what comes is shown."""
    commands.answer("squeue", told("anything\n"))

    text = run(shell, "%squeue --unheard-of")

    assert Text("anything\n") == text
    assert [["--unheard-of"]] == commands.calls("squeue")


def test_a_table_that_cannot_be_read(
    shell: InteractiveShell, commands: Commands
) -> None:
    """It is shown as text."""
    commands.answer("sinfo", told("A\x1fB\x1e\n1\x1e\n"))

    assert "A|B\n1\n" == run(shell, "%sinfo")


def test_text_when_asked(
    shell: InteractiveShell,
    commands: Commands,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`%slurm text` shows tables as the command prints them; `pandas` undoes it."""
    commands.answer("sinfo", told("PARTITION\n"))

    run(shell, "%slurm text")
    assert "PARTITION\n" == run(shell, "%sinfo -N")
    run(shell, "%slurm pandas")

    assert [["-N"]] == commands.calls("sinfo")
    lines = capsys.readouterr().out.splitlines()
    assert "Tables are shown as text." == lines[0]
    assert "Tables are shown as pandas frames." == lines[-1]
    with pytest.raises(UsageError, match=r"'pandas' or 'text'"):
        run(shell, "%slurm html")


@pytest.mark.usefixtures("no_pandas")
def test_text_without_pandas(
    shell: InteractiveShell,
    commands: Commands,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Tables are text, and `%slurm` says why."""
    commands.answer("squeue", told("JOBID\n"))

    assert "JOBID\n" == run(shell, "%squeue")
    assert [[f"--user={ME}"]] == commands.calls("squeue")
    run(shell, "%slurm")
    assert "pandas is not installed" in capsys.readouterr().out


def test_text_looks_like_the_command(shell: InteractiveShell) -> None:
    """No quotes, and lines that break."""
    shell.user_ns["text"] = Text("a\nb\n")

    data, _ = shell.display_formatter.format(shell.user_ns["text"])  # type: ignore[union-attr]

    assert "a\nb" == data["text/plain"]


def test_a_failure(shell: InteractiveShell, commands: Commands) -> None:
    """Command, exit code and both streams, without a traceback of ours."""
    commands.answer("scontrol", told("out\n", 3, "err one\nerr two\n"))

    with pytest.raises(Failure) as failure:
        run(shell, "%scontrol show job 1")

    lines = failure.value._render_traceback_()
    assert "  command: scontrol show job 1" in lines
    assert "  exit code 3" in lines
    assert "  stderr: err one" in lines
    assert "  stdout: out" in lines


@pytest.mark.parametrize(
    ("name", "cell", "advice"),
    [
        ("sacct-disabled", "%sacct", "keeps no accounting"),
        ("squeue-down", "%squeue", "controller did not answer"),
        ("sbatch-partition", "%sbatch job.sh", "sinfo -s"),
    ],
)
def test_advice(
    shell: InteractiveShell, commands: Commands, name: str, cell: str, advice: str
) -> None:
    """What to do, beside what the command said."""
    said = answered(name)
    commands.answer(cell.split()[0].strip("%"), said)

    with pytest.raises(Failure, match=advice) as failure:
        run(shell, cell)

    for line in said.stderr.strip().splitlines():
        assert line in str(failure.value)


def test_no_slurm(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what is missing, and where."""
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(Failure, match=r"no squeue here(.|\n)*login nodes"):
        run(shell, "%squeue")


def test_a_script_in_a_cell(
    shell: InteractiveShell,
    commands: Commands,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is submitted as it is, and the number comes back."""
    commands.make("sbatch", f"cat > $0.script; echo '{SAID.strip()}'")

    job = run(shell, "%%sbatch --time=5\n\n#!/bin/sh\n#SBATCH -N 1\necho {x} $HOME\n")

    script = commands.folder / "sbatch.script"
    assert "#!/bin/sh\n#SBATCH -N 1\necho {x} $HOME\n" == script.read_text()
    assert [["--time=5"]] == commands.calls("sbatch")
    assert SAID in capsys.readouterr().out
    assert "123" == job


def test_a_script_without_an_interpreter(
    shell: InteractiveShell,
    commands: Commands,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It gets bash, and a note says so."""
    commands.make("sbatch", f"cat > $0.script; echo '{SAID.strip()}'")

    run(shell, "%%sbatch\necho hello")

    script = commands.folder / "sbatch.script"
    assert "#!/bin/bash\necho hello\n" == script.read_text()
    assert "/bin/bash" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "number", "cluster"),
    [
        (SAID, "123", None),
        ("lua: hello 7\nSubmitted batch job 123\n", "123", None),
        ("Submitted batch job 123 on cluster there\n", "123", "there"),
        ("123\n", "123", None),
        ("123;there\n", "123", "there"),
        ("", None, None),  # --test-only
    ],
)
def test_the_number_of_a_job(
    shell: InteractiveShell,
    commands: Commands,
    said: str,
    number: str | None,
    cluster: str | None,
) -> None:
    """In all forms of sbatch's answer."""
    commands.answer("sbatch", told(said))

    job = run(shell, "%sbatch job.sh")

    assert number == job
    assert cluster == getattr(job, "cluster", None)


def test_a_job_of_a_job(
    shell: InteractiveShell, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sbatch and salloc know nothing of the kernel's job; srun makes a step of it."""
    born = {**os.environ, "SLURM_JOB_ID": "1", "SLURM_CONF": "/etc/slurm.conf"}
    monkeypatch.setattr("remote_kernels.magics.environment.at_birth", lambda: born)
    for name in ("SLURM_JOB_ID", "SLURM_CONF"):
        monkeypatch.setenv(name, born[name])
    for name in ("sbatch", "salloc", "srun"):
        commands.answer(name, told(SAID))

    run(shell, "%sbatch job.sh")
    run(shell, "%salloc -N 1 -- hostname")
    run(shell, "%srun hostname")

    seen = {n: commands.environment(n) for n in ("sbatch", "salloc", "srun")}
    assert {"sbatch": None, "salloc": None, "srun": "1"} == {
        name: env.get("SLURM_JOB_ID") for name, env in seen.items()
    }
    assert all(env["SLURM_CONF"] == "/etc/slurm.conf" for env in seen.values())


def test_srun_shows_what_comes(
    shell: InteractiveShell,
    commands: Commands,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both streams; a failure does not say them again."""
    commands.answer("srun", told("out\n", 1, "err\n"))

    with pytest.raises(Failure, match="exit code 1") as failure:
        run(shell, "%srun hostname")

    said = capsys.readouterr()
    assert said.out.startswith("out\n")
    assert said.err.startswith("err\n")
    assert "err" not in str(failure.value)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%scancel", "nothing is cancelled"),
        ("%scancel --self", "nothing is cancelled"),
        ("%scancel -i 1", "cannot answer"),
        ("%scontrol", "give a command"),
        ("%sacctmgr", "only shows"),
        ("%sacctmgr -i delete user me", "only shows"),
        ("%srun --pty bash", "no terminal"),
        ("%salloc -N 1", "after --"),
        ("%squeue 'a", "quotation"),
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


def test_scancel_spares_this_kernel(
    shell: InteractiveShell, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own job is only cancelled with --self, and others at once."""
    monkeypatch.setenv("SLURM_JOB_ID", "124")
    commands.answer("scancel", told(""))
    commands.answer("squeue", told("123\n124\n"))

    for words in ("124", "--me"):
        with pytest.raises(UsageError, match="Add --self"):
            run(shell, f"%scancel {words}")
    assert [] == commands.calls("scancel")

    run(shell, "%scancel 123")
    run(shell, "%scancel --self --me")
    assert [["123"], ["--me"]] == commands.calls("scancel")


@pytest.mark.parametrize("name", ["sdiag", "sprio", "sshare", "sstat", "sreport"])
def test_commands_that_print(
    shell: InteractiveShell, commands: Commands, name: str
) -> None:
    """Their output is the cell's value."""
    commands.answer(name, told("text\n"))

    assert "text\n" == run(shell, f"%{name} -a")
    assert [["-a"]] == commands.calls(name)
    assert name in (magic(shell, name).__doc__)


def test_unloading(shell: InteractiveShell) -> None:
    """The magics are gone, but those of others with the same name stay."""
    shell.magics_manager.register_function(lambda line: "mine", "line", "sinfo")

    run(shell, "%unload_ext remote_kernels")

    assert magic(shell, "squeue") is None
    assert magic(shell, "sbatch", "cell") is None
    assert "mine" == run(shell, "%sinfo")
    run(shell, "%load_ext remote_kernels")
