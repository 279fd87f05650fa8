"""`remote-kernels shell`: in a job of the local scheduler, and in one of a played Slurm.

Always as a program of its own, with streams and terminals of its own.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.conftest import FakeSlurm
from cli.in_job import Played, in_job
from cli.live import GONE, TIMEOUT, command, end, job, record_of, shown
from cli.test_main import complete

from remote_kernels.records import Record

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Record]:
    """A kernel that runs; it was started in a directory of its own."""
    job_id = job(tmp_path)
    record = record_of("k1", job_id)
    (tmp_path / "notebooks").mkdir()
    cwd = str(tmp_path / "notebooks")
    started = {"argv": ["python3"], "cwd": cwd, "connection": {"key": "k"}}
    record.write("spec.json", {"secret": "00", "kernels": {"k1": started}})
    with in_job(record):
        yield record
    end(job_id)


def done(*args: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """The command's end, without a terminal."""
    return subprocess.run(
        command("shell", *args),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )


# --- without a terminal -------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [["k1", "--", "pwd"], ["k1", "pwd"], ["--", "pwd"], ["--", "sh", "-c", "pwd"]],
)
def test_a_command(kernel: Record, tmp_path: Path, args: list[str]) -> None:
    """Where the kernel was started; "--" may stand before it, KERNEL be left out."""
    result = done(*args)
    assert (f"{tmp_path}/notebooks\n", "") == (result.stdout, result.stderr)


@pytest.mark.parametrize("code", [0, 7])
def test_exit_code(kernel: Record, code: int) -> None:
    """It is the command's."""
    assert code == done("--", "sh", "-c", f"exit {code}").returncode


def test_options_of_the_command(kernel: Record) -> None:
    """They are its own, with or without "--"."""
    assert "--help -- -x" == done("k1", "--", "echo", "-n", "--help", "--", "-x").stdout
    assert "--help\n" == done("k1", "printf", "%s\n", "--help").stdout


def test_standard_input(kernel: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a login shell, which is the user's."""
    monkeypatch.setenv("SHELL", "/bin/sh")
    result = done("k1", typed="echo $0 $-; exit 3\n")
    assert 3 == result.returncode
    assert "sh " in result.stdout


def test_environment(
    kernel: Record, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Our language, not our secrets; Python's habits with signals are not inherited."""
    monkeypatch.setenv("JUPYTER_TOKEN", "secret")
    monkeypatch.setenv("LC_ALL", "C")
    result = done("--", "env")
    assert "LC_ALL=C" in result.stdout.splitlines()
    assert "secret" not in result.stdout
    ignored = done("--", "grep", "SigIgn", "/proc/self/status").stdout.split()[1]
    assert 0 == int(ignored, 16) & (1 << (signal.SIGPIPE - 1))


def test_a_directory_that_is_gone(
    kernel: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At home instead."""
    (tmp_path / "notebooks").rmdir()
    monkeypatch.setenv("HOME", str(tmp_path))  # the agent's, which is played here
    assert f"{tmp_path}\n" == done("--", "pwd").stdout


def test_a_command_that_is_not_there(kernel: Record) -> None:
    """No traceback; the code is that of a shell."""
    result = done("--", "no-such-command")
    assert "no-such-command cannot be started on " in result.stderr
    assert result.stderr.endswith(": No such file or directory\n")
    assert 127 == result.returncode


# --- in a terminal ------------------------------------------------------------------


def test_in_a_terminal(kernel: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is the shell's, and so is the exit code."""
    monkeypatch.setenv("SHELL", "/bin/sh")
    monkeypatch.setenv("PS1", "> ")
    with shown(*command("shell")) as terminal:
        terminal.until("On n1, in job ")
        terminal.type("echo ready $((1 + 1)); cat\n")
        terminal.until("ready 2")
        terminal.type("go\n")
        terminal.until("go\r\ngo\r\n")  # as it was typed, and by cat
        terminal.type("\x03")
        terminal.until("^C")
        terminal.until(" ")  # the prompt: what is typed before it, is dropped
        terminal.resize(50, 100)
        terminal.type("stty size; exit 7\n")
        terminal.until("50 100")
        assert 7 == terminal.program.wait(TIMEOUT)


# --- Slurm --------------------------------------------------------------------------


@pytest.fixture
def played(slurm: FakeSlurm) -> Iterator[Played]:
    """A kernel that runs in a played Slurm, where srun is forbidden."""
    slurm.says("17|RUNNING|None|c1|c1|2026-11-21T11:08:18|N/A")
    slurm.add("srun", "exit 1")
    facts = {"scheduler": "slurm", "node": "c1", "times": {"ready": 1.0}}
    with in_job(record_of("k1", "17", **facts)) as job:
        job.instead = ["sh", "-c", "echo ran; exit 7"]
        yield job
    assert [] == slurm.told("srun")


def test_slurm(played: Played) -> None:
    """Without a step; no terminal there where there is none here."""
    result = done("--", "nvidia-smi", "-L")
    assert ("ran\n", "", 7) == (result.stdout, result.stderr, result.returncode)
    (request,) = played.asked
    assert ("nvidia-smi", "-L") == request.command
    assert request.terminal is None


def test_slurm_in_a_terminal(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one there, too."""
    monkeypatch.setenv("SHELL", "/bin/zsh")
    with shown(*command("shell", "17")) as terminal:
        terminal.until("On c1, in job 17.")
        terminal.until("ran")
        assert 7 == terminal.program.wait(TIMEOUT)
    (request,) = played.asked
    assert (("/bin/zsh", "-l"), (40, 200)) == (request.command, request.terminal)
    assert "xterm" == request.env["TERM"]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            "17|PENDING|Resources|n/a||N/A|N/A",
            (
                "Error: Kernel k1 has no node yet: its job 17 waits (waiting for free "
                "nodes (Resources)).\n`remote-kernels ls --watch` shows when it starts.\n"
            ),
        ),
        (
            "17|SUSPENDED|None|c1|c1|2026-11-21T11:08:18|N/A",
            "Error: Nothing can be started in job 17 now: its job is suspended.\n",
        ),
        (
            "17|RUNNING|None|||2026-11-21T11:08:18|N/A",
            "Error: The node of kernel k1 (job 17) is not known: ",
        ),
    ],
)
def test_one_without_a_node(slurm: FakeSlurm, row: str, text: str) -> None:
    """It says why, and what to do."""
    slurm.add("srun", "")
    slurm.says(row)
    record_of("k1", "17", scheduler="slurm", node=None)
    result = done("k1")
    assert 1 == result.returncode
    assert result.stderr.startswith(text)
    assert [] == slurm.told("srun")


def test_a_scheduler_that_does_not_answer(played: Played, slurm: FakeSlurm) -> None:
    """The node is on record, and the way there needs no scheduler."""
    slurm.add("squeue", "exit 1")
    assert 7 == done("--", "hostname").returncode


def test_one_that_ended() -> None:
    """There is no job any more."""
    record_of("k1", GONE)
    result = done("k1")
    assert "Kernel k1 has ended" in result.stderr


def test_completion() -> None:
    """Kernels first."""
    record_of("k1", GONE)
    assert ["k1"] == complete("shell", "")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left(kernel: Record, signum: int) -> None:
    """However this program ends, the command does, too."""
    with subprocess.Popen(
        command("shell", "--", "sh", "-c", "echo $$; read x"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        there = Path("/proc") / program.stdout.readline().strip()
        assert there.exists()
        program.send_signal(signum)
        program.wait(TIMEOUT)
        end = time.monotonic() + TIMEOUT
        while there.exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert not there.exists()


def test_a_way_that_is_lost(slurm: FakeSlurm) -> None:
    """What it means, and the terminal is given back."""
    slurm.says("17|RUNNING|None|c1|c1|2026-11-21T11:08:18|N/A")
    facts = {"scheduler": "slurm", "node": "c1", "times": {"ready": 1.0}}
    with contextlib.ExitStack() as end_of_server:
        job = end_of_server.enter_context(in_job(record_of("k1", "17", **facts)))
        job.instead = ["sh", "-c", "echo ready; sleep 300"]
        with shown(*command("shell", "17")) as terminal:
            terminal.until("ready")
            end_of_server.close()
            terminal.until("was closed before its end")
            assert 1 == terminal.program.wait(TIMEOUT)
