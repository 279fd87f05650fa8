"""The jobs of stand-ins: each runs, waits, is held, stopped and ended as it is told."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
PROGRAM = """
import json, os, sys, time
sys.path.insert(0, {tests!r})
from contracts.standins import jobs
{body}
"""


class StandIn:
    """Commands of no batch system, each a process as a real one is."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, body: str) -> Any:
        program = PROGRAM.format(tests=str(TESTS), body=body)
        environ = {"STANDIN_HOME": str(self.home)}
        argv = [sys.executable, "-I", "-S", "-c", program]
        said = subprocess.run(argv, env=environ, check=True, stdout=subprocess.PIPE)
        return json.loads(said.stdout or "null")

    def submit(self, script: str, more: str = "") -> int:
        """A job's number; `more` are further fields of its request."""
        fields = f"{script!r}, {str(self.home / 'log')!r}, dict(GIVEN='rods'), {more}"
        made = f"job = jobs.new(); job.submit(jobs.Request({fields}))"
        number: int = self.run(f"{made}; print(job.number)")
        return number

    def of(self, number: int, what: str) -> Any:
        return self.run(f"job = jobs.Job({number}); print(json.dumps({what}))")

    def until(self, number: int, state: str) -> None:
        self.wait(lambda: self.of(number, "job.state") == state)

    def wait(self, come: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not come():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def end(self, number: int) -> tuple[int | None, int | None, str]:
        self.until(number, "ended")
        end = self.of(number, "vars(job.end)")
        return end["code"], end["signal"], end["by"]


@pytest.fixture
def standin(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


def test_a_job_is_a_process_of_its_own(standin: StandIn) -> None:
    """With its script, its environment alone, its log and its exit code."""
    number = standin.submit("echo $GIVEN $STANDIN_HOME; echo err >&2; exit 3")

    assert (3, None, "") == standin.end(number)
    assert "rods\nerr\n" == (standin.home / "log").read_text()
    assert [1, 2] == [number, standin.submit(":")]


def test_jobs_wait_for_a_slot(standin: StandIn) -> None:
    """In the order of their numbers; one that is held lets others go first."""
    (standin.home / "slots").write_text("1")
    first = standin.submit("exec sleep 600")
    held, second = standin.submit(":", "held=True"), standin.submit("exec sleep 600")
    standin.until(first, "running")
    assert "waiting" == standin.of(second, "job.state")
    assert "held" == standin.of(held, "job.state")

    standin.of(first, "job.cancel()")
    standin.until(second, "running")
    standin.of(second, "job.cancel()")
    standin.of(held, "job.change(held=False)")

    assert (0, None, "") == standin.end(held)


def test_a_job_that_waits_is_cancelled(standin: StandIn) -> None:
    """It never runs."""
    number = standin.submit(f"touch {standin.home}/ran", "held=True")
    standin.of(number, "job.cancel()")

    assert (None, None, "cancel") == standin.end(number)
    assert not (standin.home / "ran").exists()


@pytest.mark.parametrize(
    ("script", "patience", "end"),
    [
        ("{ready}; exec sleep 600", 30, (None, 15, "cancel")),
        ("trap 'exit 4' TERM; {ready}; sleep 600 & wait", 30, (4, None, "cancel")),
        ("trap '' TERM; {ready}; sleep 600; sleep 600", 0.3, (None, 9, "cancel")),
    ],
)
def test_a_job_that_runs_is_cancelled(
    standin: StandIn, script: str, patience: float, end: object
) -> None:
    """By the signals that its batch system sends, to all of its processes."""
    ready = f"setsid sleep 600 & echo $! >{standin.home}/other"
    script = script.format(ready=ready)
    number = standin.submit(script, f"on_cancel=((15, {patience}),)")
    other = standin.home / "other"
    standin.wait(lambda: other.exists() and other.read_text() != "")
    standin.of(number, "job.cancel()")

    assert end == standin.end(number)
    assert not Path(f"/proc/{other.read_text().strip()}").exists()


def test_a_time_limit_ends_a_job(standin: StandIn) -> None:
    """Unless it is moved before."""
    number = standin.submit("exec sleep 600", "limit=600, on_limit=((10, 5),)")
    standin.until(number, "running")
    standin.of(number, "job.change(limit=0.1)")

    assert (None, 10, "limit") == standin.end(number)


def test_a_job_is_stopped_and_goes_on(standin: StandIn) -> None:
    """And is ended although it is stopped."""
    number = standin.submit("exec sleep 600")
    standin.until(number, "running")
    standin.of(number, "job.suspend()")
    assert "suspended" == standin.of(number, "job.state")
    standin.of(number, "job.suspend(False)")
    assert "running" == standin.of(number, "job.state")
    standin.of(number, "job.suspend()")
    standin.of(number, "job.cancel()")

    assert (None, 15, "cancel") == standin.end(number)


def test_nobody_answers(standin: StandIn) -> None:
    """While a file of that name is there."""
    assert standin.run("print(json.dumps(jobs.answers()))")
    (standin.home / "asleep").touch()
    assert not standin.run("print(json.dumps(jobs.answers()))")
