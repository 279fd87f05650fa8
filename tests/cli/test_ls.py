"""`remote-kernels ls`, of jobs of this machine and of a played Slurm."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli.conftest import FakeSlurm
from cli.live import (
    GONE,
    TIMEOUT,
    command,
    end,
    install_kernelspec,
    job,
    line,
    mine,
    record_of,
    server,
    shown,
    started,
    telling,
)
from cli.test_main import complete
from cli.test_servers import entry
from cli.test_words import VIEW
from click.testing import Result

from remote_kernels.cli import ls
from remote_kernels.records import JobEnd, Record
from remote_kernels.scheduler.job import JobId

Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("place")
WAITS = "17|PENDING|Resources|n/a||N/A|N/A"


@pytest.fixture
def job_id(tmp_path: Path) -> Iterator[JobId]:
    """A job that runs."""
    made = job(tmp_path)
    yield made
    end(made)


def running(kernel: str, job_id: JobId | str, **facts: object) -> Record:
    return record_of(kernel, job_id, times={"ready": 1.0}, **facts)


def waiting(slurm: FakeSlurm, *rows: str) -> Record:
    slurm.says(*rows or [WAITS])
    return record_of("k2", "17", scheduler="slurm", node=None)


# --- once ---------------------------------------------------------------------------


def test_a_kernel_that_runs(run: Run, job_id: JobId) -> None:
    """One line of seven fields, with the whole ID."""
    record = running("k1-rest-of-its-id", job_id)
    record.write("sessions.json", {"s": {"path": "a.ipynb"}})

    result = run("ls")

    number = str(job_id)
    expected = f"k1-rest-of-its-id\ta.ipynb\t{number}\trunning\tn1\t\t\n"
    assert (expected, "", 0) == (result.stdout, result.stderr, result.exit_code)


def test_a_kernel_that_waits(run: Run, slurm: FakeSlurm) -> None:
    """For what, in plain words, with the scheduler's own in brackets."""
    waiting(slurm)
    expected = "k2\tPython\t17\twaiting for free nodes (Resources)\t\t\t\n"
    assert expected == run("ls").stdout


def test_time_left(run: Run, slurm: FakeSlurm) -> None:
    """Until the time limit."""
    ends = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 7260))
    waiting(slurm, f"17|RUNNING|None|c1|c1|2026-11-21T11:08:18|{ends}")
    *_, state, node, left, memory = run("ls").stdout.split("\t")
    assert ("starting", "c1", "\n") == (state, node, memory)
    assert left.startswith("2 h")


def test_a_scheduler_that_does_not_answer(run: Run, slurm: FakeSlurm) -> None:
    """It is told; the kernel is listed."""
    waiting(slurm)
    slurm.add("squeue", "exit 1")
    assert "unknown; the scheduler does not say" in run("ls").stdout


def test_many_kernels_are_one_question(run: Run, slurm: FakeSlurm) -> None:
    """To the scheduler."""
    waiting(slurm, WAITS, WAITS.replace("17", "18"))
    record_of("k3", "18", scheduler="slurm")
    assert 2 == len(run("ls").stdout.splitlines())
    assert 1 == len(slurm.told("squeue"))


def test_none(run: Run) -> None:
    """Empty output, and it says so beside it."""
    result = run("ls")
    assert ("", 0) == (result.stdout, result.exit_code)
    assert "No kernel of yours waits or runs here." in result.stderr
    said = run("ls", "--all").stderr
    assert "none has ended in the last day" in said
    assert "ls --all" not in said
    assert ("[]\n", "") == ((json := run("ls", "--json")).stdout, json.stderr)


def test_a_record_that_cannot_be_read(run: Run) -> None:
    """Nobody says that there is no kernel; which record it is, and what to do."""
    record = record_of("k1", GONE)
    (record.path / "record.json").write_text("{")

    result = run("ls")

    assert ("", 0) == (result.stdout, result.exit_code)
    assert "No kernel of yours" not in result.stderr
    assert "1 record is not readable" in result.stderr
    assert str(record.path) in result.stderr


def test_the_notebook_of_one_that_ended(run: Run) -> None:
    """It is how people know their kernels."""
    record = record_of("k1", GONE)
    record.write("sessions.json", {"s": {"path": "work/fit.ipynb"}})
    record.seal(JobEnd("CANCELLED", text="The job was cancelled."))

    assert "work/fit.ipynb" == run("ls", "--all").stdout.split("\t")[1]


def test_all(run: Run) -> None:
    """Those that ended are not shown unasked."""
    record_of("k1", GONE).seal(JobEnd("CANCELLED", text="The job\nwas cancelled."))
    assert "" == run("ls").stdout
    expected = "k1\tPython\t1-1\tended: The job was cancelled.\tn1\t\t\n"
    assert expected == run("ls", "--all").stdout


def test_json(run: Run, slurm: FakeSlurm) -> None:
    """A list of views."""
    waiting(slurm)
    record_of("k1", GONE).seal(JobEnd("CANCELLED", text="It ended."))
    (one,) = json.loads(run("ls", "--json").stdout)
    assert set(VIEW.as_json()) == set(one)
    assert ("k2", "waiting", "PENDING", None) == (
        *(one["kernel_id"], one["state"], one["job_state"]),
        one["time_left"],
    )
    assert 2 == len(json.loads(run("ls", "--json", "-a").stdout))


def test_what_its_server_knows(run: Run, job_id: JobId) -> None:
    """Memory, and a connection that is lost."""
    mine("k1", job_id, times={"ready": 1.0})
    usage = {"memory": 1.2 * 2**30, "memory_limit": 4 * 2**30}
    with telling() as told:
        told.says = 200, json.dumps(entry(usage=usage))
        row = run("ls").stdout.split("\t")
        (one,) = json.loads(run("ls", "--json").stdout)
    assert ["lost: the connection is lost", "n1", "", "1.2 of 4.0 GiB\n"] == row[3:]
    assert ("lost", usage) == (one["state"], one["usage"])


def test_beside_a_real_server(run: Run, jupyter: Path) -> None:
    """What it measures is shown, and how the kernel is connected."""
    install_kernelspec(jupyter, usage=1)
    with server() as notebooks:
        kernel = notebooks.kernels(start="left")["id"]
        deadline = time.monotonic() + TIMEOUT
        while "\nCPU\t" not in (lines := run("info", kernel).stdout):  # the second one
            assert time.monotonic() < deadline, lines
        row = run("ls").stdout.split("\t")
        run("stop", kernel, "--yes")
    assert (kernel, "running") == (row[0], row[3])
    assert row[-1].endswith("iB\n")
    assert f"\nServer\tprocess {notebooks.program.pid} on " in lines


def test_table(job_id: JobId) -> None:
    """On a terminal: short IDs, and what looks like markup is shown as it is."""
    running("12345678-9", job_id, name="[red]hot")
    with shown(*command("ls")) as terminal:
        terminal.until("Memory")
        row = terminal.until("n1")
        assert 0 == terminal.program.wait(TIMEOUT)
    assert "12345678 " in row
    assert "[red]hot" in row
    assert "running" in row


@pytest.mark.parametrize("variable", ["NO_COLOR", "RK_ANY"])
def test_colour(job_id: JobId, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Where the terminal takes it and nobody has asked for none (no-color.org)."""
    running("12345678-9", job_id)
    monkeypatch.setenv(variable, "1")
    with shown(*command("ls")) as terminal:
        terminal.until("12345678 ")
        row = terminal.until("n1")
        assert 0 == terminal.program.wait(TIMEOUT)

    colours = re.findall(r"\x1b\[(?:\d+;)*[349][0-7]m", row)

    assert (variable != "NO_COLOR") == bool(colours)


# --- again and again ----------------------------------------------------------------


def test_watch_on_a_terminal(tmp_path: Path) -> None:
    """It is drawn anew; Ctrl-C ends it, and the cursor is back."""
    job_id = job(tmp_path)
    record = running("k1", job_id)
    with shown(*command("ls", "--watch", "2", "--all")) as terminal:
        terminal.until("running")
        record.seal(JobEnd("CANCELLED", text="It was cancelled."))
        terminal.until("ended: It was cancelled.")
        terminal.type("\x03")
        terminal.until("\x1b[?25h")
        assert 0 == terminal.program.wait(TIMEOUT)
    end(job_id)


def test_watch_without_kernels() -> None:
    """It waits for one."""
    with shown(*command("ls", "-w", "2")) as terminal:
        terminal.until("No kernel of yours waits or runs")
        terminal.type("\x03")
        assert 0 == terminal.program.wait(TIMEOUT)


def test_watch_without_a_terminal(slurm: FakeSlurm) -> None:
    """A line for each change; one that is gone has ended."""
    record = waiting(slurm)
    with started("ls", "--watch", "2") as program:
        assert "waiting for free nodes (Resources)" in line(program)
        slurm.says("17|RUNNING|None|c1|c1|2026-11-21T11:08:18|N/A")
        assert "k2\tPython\t17\tstarting\tc1\t\t\n" == line(program)
        record.remove()
        assert "k2\tPython\t17\tended\tc1\t\t\n" == line(program)


@pytest.mark.parametrize(
    ("signum", "code"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_the_end_of_watching(
    slurm: FakeSlurm, signum: signal.Signals, code: int
) -> None:
    """Ctrl-C is no failure."""
    waiting(slurm)
    with started("ls", "--watch") as program:
        line(program)
        program.send_signal(signum)
        out, err = program.communicate(timeout=TIMEOUT)
        assert ("", "", code) == (out, err, program.returncode)


def test_a_scheduler_that_hangs(slurm: FakeSlurm) -> None:
    """Ctrl-C does not wait for it."""
    waiting(slurm)
    fifo = Path(os.environ["XDG_STATE_HOME"]) / "asked"
    os.mkfifo(fifo)
    slurm.add("squeue", f"echo asked > {fifo}; exec sleep 300")
    with started("ls", "--watch") as program:
        assert "asked\n" == fifo.read_text()
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=TIMEOUT)
        assert 0 == program.returncode


def test_what_does_not_go_together(run: Run) -> None:
    """It says so; and nobody asks the scheduler every second."""
    result = run("ls", "--watch", "--json")
    assert (2, True) == (result.exit_code, "exclude each other" in result.stderr)
    result = run("ls", "--watch", "1")
    assert (2, True) == (result.exit_code, "2" in result.stderr)


def test_a_guess_is_no_news() -> None:
    """The scheduler's expectations change with each of its rounds."""
    guess = replace(VIEW, expected_start=1.0, ends=2.0, place=3, text="other words")
    assert ls._key(VIEW) == ls._key(guess)
    assert ls._key(VIEW) != ls._key(replace(VIEW, node="n2"))


def test_completion() -> None:
    """Its options."""
    assert {"--all", "--watch", "--json"} < set(complete("ls", "--"))
