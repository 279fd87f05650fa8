"""`remote-kernels exec`: what it refuses, and what it asks for.

What it does in a job is in `login/test_inside.py`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from cli.conftest import FakeSlurm, Run
from cli.in_job import Played, in_job
from cli.live import TIMEOUT, command, done, record_of
from cli.test_main import complete

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def played(slurm: FakeSlurm) -> Iterator[Played]:
    """A kernel that runs in a played Slurm, and a process there that ends with 7."""
    slurm.says("17|RUNNING|None|c1|c1|2026-11-21T11:08:18|N/A")
    slurm.add("srun", "exit 1")
    facts = {"scheduler": "slurm", "node": "c1", "times": {"ready": 1.0}}
    with in_job(record_of("k1", "17", **facts)) as job:
        job.instead = ["sh", "-c", "echo out; echo beside >&2; exit 7"]
        yield job
    assert [] == slurm.told("srun")


@pytest.mark.parametrize(
    "words", [["k1", "--", "ls", "-t"], ["k1", "ls", "-t"], ["--", "ls", "-t"]]
)
def test_a_command(played: Played, words: list[str]) -> None:
    """Streams apart, the exit code; no terminal, and no step of the scheduler's."""
    result = done("exec", *words)
    assert ("out\n", "beside\n", 7) == (result.stdout, result.stderr, result.returncode)
    (request,) = played.asked
    assert ("exec", ("ls", "-t")) == (request.program, request.command)
    assert request.terminal is None


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["exec", "k1"], "Name a command: remote-kernels exec KERNEL -- COMMAND..."),
        (["exec", "-t", "k1", "--", "ls"], "There is no terminal here"),
        (["exec", "k1", "-t", "--", "ls"], "There is no terminal here"),
        (["exec", "-t", "--", "ls"], "There is no terminal here"),
        (["exec", "k1", "-x", "--", "ls"], "No such option"),
    ],
)
def test_what_cannot_be_understood(played: Played, args: list[str], text: str) -> None:
    """Nothing is started."""
    result = done(*args)
    assert (2, True) == (result.returncode, text in result.stderr)
    assert [] == played.asked


@pytest.mark.parametrize("args", [["exec", "k1", "ls"], ["stack", "k1"], ["top", "k1"]])
def test_one_that_waits(slurm: FakeSlurm, run: Run, args: list[str]) -> None:
    """There is no node yet."""
    slurm.says("17|PENDING|Resources|n/a||N/A|N/A")
    record_of("k1", "17", scheduler="slurm", node=None)
    result = run(*args)
    assert 1 == result.exit_code
    assert "Kernel k1 has no node yet: its job 17 waits" in result.stderr


@pytest.mark.parametrize("args", [["exec", "k1", "ls"], ["stack", "k1"], ["top", "k1"]])
def test_one_whose_agent_is_not_there_yet(
    slurm: FakeSlurm, run: Run, args: list[str]
) -> None:
    """The job runs, but nothing in it answers."""
    slurm.says("17|RUNNING|None|c1|c1|2026-11-21T11:08:18|N/A")
    record_of("k1", "17", scheduler="slurm", node="c1")
    result = run(*args)
    assert 1 == result.exit_code
    assert "The agent of kernel k1 has not said yet where it is" in result.stderr


@pytest.mark.parametrize("args", [["stack", "k1"], ["top", "k1"]])
def test_a_look_that_fails(played: Played, run: Run, args: list[str]) -> None:
    """What was tried, what came back, what to do."""
    result = run(*args)
    assert 1 == result.exit_code
    assert "Looking into job 17 on c1 failed." in result.stderr
    assert "beside" in result.stderr
    assert "`remote-kernels doctor`" in result.stderr


@pytest.mark.parametrize("name", ["exec", "stack", "top"])
def test_completion(name: str) -> None:
    record_of("k1", "17")
    assert ["k1"] == complete(name, "")


def test_without_standard_input(played: Played) -> None:
    """It was closed: the command has none either."""
    played.instead = ["sh", "-c", "cat; echo end"]
    argv = ["sh", "-c", 'exec "$@" <&-', "sh", *command("exec", "k1", "--", "cat")]
    result = subprocess.run(argv, capture_output=True, timeout=TIMEOUT, check=False)
    assert (b"end\n", b"", 0) == (result.stdout, result.stderr, result.returncode)
