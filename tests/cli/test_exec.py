"""`remote-kernels exec`: what it refuses, how it calls srun, and what it leaves out.

What it does in a job is in `login/test_inside.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from cli.conftest import FakeSlurm, Run
from cli.live import done, record_of
from cli.test_main import complete

from remote_kernels.cli.exec import pieces
from remote_kernels.scheduler.driver import Shells
from remote_kernels.scheduler.local.driver import Local
from remote_kernels.scheduler.slurm.driver import Slurm

pytestmark = pytest.mark.usefixtures("place")

AGENT = {
    "python": "/usr/bin/python3.9",
    "pyz": "/tmp/rk-1/agent.pyz",
    "socket": "/tmp/rk-1/agent",
    "node": "c1",
    "hostname": "c1",
}


@pytest.fixture
def srun(slurm: FakeSlurm) -> FakeSlurm:
    """A kernel that runs in a played Slurm, with a task that ends with 7."""
    slurm.says("17|RUNNING|None|c1|c1|2026-11-21T11:08:18|N/A")
    told = "srun: error: c1: task 0: Exited with exit code 7"
    slurm.add("srun", f"echo out; echo beside >&2; echo {told} >&2; exit 7")
    record = record_of("k1", "17", scheduler="slurm", node="c1", times={"ready": 1.0})
    record.write("agent.json", AGENT)
    return slurm


@pytest.mark.parametrize(
    "words", [["k1", "--", "ls", "-t"], ["k1", "ls", "-t"], ["--", "ls", "-t"]]
)
def test_srun(srun: FakeSlurm, words: list[str]) -> None:
    """A step, with the agent's own program before the command; srun's remark is not told."""
    result = done("exec", *words)
    (argv,) = srun.told("srun")
    assert ("out\n", "beside\n", 7) == (result.stdout, result.stderr, result.returncode)
    assert "--pty" not in argv
    assert " /usr/bin/python3.9 -I -S " in argv
    assert " /tmp/rk-1/agent.pyz inside exec " in argv
    assert argv.endswith("/k1 k1 ls -t")


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
def test_what_cannot_be_understood(srun: FakeSlurm, args: list[str], text: str) -> None:
    """Nothing is started."""
    result = done(*args)
    assert (2, True) == (result.returncode, text in result.stderr)
    assert [] == srun.told("srun")


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
def test_a_step_that_fails(srun: FakeSlurm, run: Run, args: list[str]) -> None:
    """What was tried, what came back, what to do."""
    result = run(*args)
    assert 1 == result.exit_code
    assert "The look into job 17 on c1 failed." in result.stderr
    assert "beside" in result.stderr
    assert "`remote-kernels doctor`" in result.stderr


@pytest.mark.parametrize("name", ["exec", "stack", "top"])
def test_completion(name: str) -> None:
    record_of("k1", "17")
    assert ["k1"] == complete(name, "")


# --- standard error -----------------------------------------------------------------


def passed(driver: Shells, data: Sequence[bytes]) -> list[bytes]:
    """What comes out, each time that something comes in."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source:
        found = pieces(source, driver)
        out = []
        for piece in data:
            os.write(writing, piece)
            if piece.rpartition(b"\n")[2][:1] not in (b"", b"s"):
                out.append(next(found))
        os.close(writing)
        return out + [piece for piece in found if piece]


EXIT = b"srun: error: c1: task 0: Exited with exit code 3\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([b"who? "], [b"who? "]),
        ([b"a\n", EXIT, b"b\n"], [b"a\n", b"b\n"]),
        ([EXIT[:9], EXIT[9:]], []),
        ([b"srun: error: no\n"], [b"srun: error: no\n"]),
        ([b"sr"], [b"sr"]),
        ([b"x", b"y" + EXIT], [b"x", b"y" + EXIT]),
    ],
)
def test_only_the_exit_code_is_left_out(
    data: list[bytes], expected: list[bytes]
) -> None:
    """All else passes at once, also where a line is not at its end."""
    assert expected == passed(Slurm(), data)


def test_nothing_is_left_out_without_a_scheduler() -> None:
    """There is nobody else who could have said it."""
    assert EXIT == b"".join(passed(Local(), [EXIT]))
