"""`remote-kernels logs`: once, and while the kernel runs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.conftest import FakeSlurm
from cli.live import (
    GONE,
    TIMEOUT,
    command,
    end,
    job,
    job_of,
    left_alone,
    line,
    record_of,
    shown,
    started,
)
from cli.test_main import complete
from click.testing import Result

from remote_kernels.cli import logs
from remote_kernels.records import JobEnd, Record
from remote_kernels.scheduler.job import JobId

Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("place")
LINES = "".join(f"{number}\n" for number in range(1, 31))


@pytest.fixture
def job_id(tmp_path: Path) -> Iterator[JobId]:
    """A job that runs."""
    made = job(tmp_path)
    yield made
    end(made)


@pytest.fixture
def record(job_id: JobId) -> Record:
    """A kernel that runs, with both logs."""
    made = record_of("k1", job_id)
    made.job_log.write_text(f"job\n{LINES}")
    made.kernel_log.write_text(f"kernel\n{LINES}")
    return made


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


# --- once ---------------------------------------------------------------------------


def test_both(run: Run, record: Record) -> None:
    """The ends of them, with their names."""
    last = "".join(f"{number}\n" for number in range(11, 31))
    result = run("logs")
    expected = f"==> job.log <==\n{last}\n==> kernel.log <==\n{last}"
    assert (expected, "", 0) == (result.stdout, result.stderr, result.exit_code)


@pytest.mark.parametrize("only", ["job", "kernel"])
def test_one(run: Run, record: Record, only: str) -> None:
    """Nothing but what is in the file."""
    assert f"{only}\n{LINES}" == run("logs", f"--{only}", "-n", "99", "k1").stdout


def test_lines(run: Run, record: Record) -> None:
    """As many as are asked for."""
    assert "29\n30\n" == run("logs", "--job", "--lines", "2").stdout
    assert 2 == run("logs", "-n", "-1").exit_code
    assert "" == run("logs", "-n", "0").stdout


def test_bytes(run: Run, record: Record) -> None:
    """As they are."""
    record.kernel_log.write_bytes(b"\xff\x00\r\n")
    assert b"\xff\x00\r\n" == run("logs", "--kernel").stdout_bytes


def test_one_that_ended(run: Run) -> None:
    """While its record is kept."""
    record = record_of("k1", GONE)
    record.kernel_log.write_text("last words\n")
    record.seal(JobEnd("CANCELLED", text="It was cancelled."))
    assert "==> kernel.log <==\nlast words\n" == run("logs", "k1").stdout


def test_one_that_waits(run: Run, slurm: FakeSlurm) -> None:
    """There is nothing yet, and it says for what."""
    slurm.says("17|PENDING|Resources|n/a||N/A|N/A")
    record_of("k1", "17", scheduler="slurm")
    result = run("logs")
    assert ("", 0) == (result.stdout, result.exit_code)
    assert "The kernel has written nothing yet (waiting for free nodes" in result.stderr


def test_one_that_is_not_there(run: Run, record: Record) -> None:
    """Those that are, are listed."""
    result = run("logs", "x")
    assert 1 == result.exit_code
    assert "No kernel on record matches 'x'" in result.stderr
    assert "  k1  job " in result.stderr


def test_completion() -> None:
    """Also of kernels that ended, with their notebooks; and the options."""
    record_of("k1", GONE).seal(JobEnd("CANCELLED", text="It ended."))
    record_of("k2", GONE)
    assert ["k1", "k2"] == complete("logs", "")
    assert ["k2"] == complete("attach", "")
    assert {"--follow", "--lines", "--job", "--kernel"} < set(complete("logs", "--"))


# --- while it runs ------------------------------------------------------------------


def test_follow(record: Record) -> None:
    """Each line once, through a rotation, to the kernel's end."""
    with started("logs", "-f", "-n", "1", "--kernel") as program:
        assert "30\n" == line(program)
        append(record.kernel_log, "31\n")
        assert "31\n" == line(program)
        append(record.kernel_log, "32\n")
        record.kernel_log.replace(f"{record.kernel_log}.1")
        append(record.kernel_log, "33\n")
        assert ["32\n", "33\n"] == [line(program), line(program)]
        record.seal(JobEnd("CANCELLED", text="The job was cancelled."))
        append(record.kernel_log, "34\n")
        out, err = program.communicate(timeout=TIMEOUT)
    ended = "The kernel has ended: The job was cancelled.\n"
    assert ("34\n", ended, 0) == (out, err, program.returncode)


def test_follow_both(record: Record) -> None:
    """A line says which, whenever that changes."""
    with started("logs", "--follow", "--lines", "1") as program:
        first = ["==> job.log <==\n", "30\n", "\n", "==> kernel.log <==\n", "30\n"]
        assert first == [line(program) for _ in first]
        append(record.kernel_log, "31\n")
        assert "31\n" == line(program)
        append(record.job_log, "31\n")
        assert ["\n", "==> job.log <==\n", "31\n"] == [line(program) for _ in "123"]


def test_follow_a_real_kernel(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a server; its job is cancelled while it is followed."""
    record = left_alone(tmp_path)
    monkeypatch.setattr(logs, "ASK", 0.1)
    monkeypatch.setattr(logs, "LOOK", 0.1)
    begin = logs._Printer.begin
    ends = threading.Thread(target=end, args=(job_of(record),))

    def begin_and_end(printer: logs._Printer) -> None:
        begin(printer)
        ends.start()

    monkeypatch.setattr(logs._Printer, "begin", begin_and_end)
    result = run("logs", "-f")
    ends.join()
    assert "The kernel has ended: The job was cancelled.\n" == result.stderr
    assert "==> kernel.log <==" in result.stdout


def test_news_in_the_job_s_log(
    run: Run, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be of the end, so the scheduler is asked soon."""
    monkeypatch.setattr(logs, "LOOK", 0.01)
    monkeypatch.setattr(logs, "SOON", 0.1)
    slurm.says("17|RUNNING|None|c1|c1|2026-11-21T11:08:18|N/A")
    record = record_of("k1", "17", scheduler="slurm")
    begin = logs._Printer.begin

    def begin_and_end(printer: logs._Printer) -> None:
        begin(printer)
        slurm.says()
        monkeypatch.setattr(logs._Printer, "go_on", lambda printer: cancelled())

    def cancelled() -> None:
        append(record.job_log, "slurmstepd: error: *** JOB 17 ON c1 CANCELLED ***\n")

    monkeypatch.setattr(logs._Printer, "begin", begin_and_end)
    assert "The kernel has ended: " in run("logs", "-f").stderr


@pytest.mark.parametrize("how", ["agent", "record"])
def test_the_end(record: Record, how: str) -> None:
    """As the agent tells it; and a record that was removed."""
    with started("logs", "-f", "--job") as program:
        while "30\n" != line(program):
            pass
        if how == "agent":
            record.write("ended.json", {"reason": "nobody was there"})
        else:
            record.remove()
        _, err = program.communicate(timeout=TIMEOUT)
    why = "nobody was there." if how == "agent" else "it was shut down."
    assert f"The kernel has ended: {why}\n" == err


def test_an_end_that_nobody_writes_down(
    run: Run, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler is asked now and then; not at each look."""
    monkeypatch.setattr(logs, "LOOK", 0.01)
    monkeypatch.setattr(logs, "ASK", 0.3)
    monkeypatch.setattr(logs, "SOON", 0.0)  # there is no news in the job's log
    slurm.says("17|RUNNING|None|c1|c1|2026-11-21T11:08:18|N/A")
    count = f"$(wc -l < {slurm.file('squeue')})"
    slurm.add("squeue", f'test {count} -gt 3 || echo "17|RUNNING|None|c1|c1||N/A"')
    record_of("k1", "17", scheduler="slurm")

    began = time.monotonic()
    result = run("logs", "--follow")

    assert time.monotonic() - began > 3 * 0.27
    assert "The kernel has ended: " in result.stderr
    assert 4 == len(slurm.told("squeue"))


def test_one_that_has_ended_already(run: Run) -> None:
    """There is nothing to wait for."""
    record = record_of("k1", GONE)
    record.kernel_log.write_text("last words\n")
    record.seal(JobEnd("CANCELLED", text="It was cancelled."))
    result = run("logs", "-f", "--kernel")
    assert ("last words\n", 0) == (result.stdout, result.exit_code)
    assert "The kernel has ended: It was cancelled.\n" == result.stderr


def test_ctrl_c(record: Record) -> None:
    """At a terminal it ends the following, cleanly, and not the kernel."""
    with shown(*command("logs", "-f", "--kernel")) as terminal:
        terminal.until("30\r\n")
        terminal.type("\x03")
        assert 0 == terminal.program.wait(TIMEOUT)
        terminal.until("\r\n")
    assert record.is_live


def test_a_pipe_that_is_closed(record: Record) -> None:
    """As with `| head`: no traceback."""
    with started("logs", "-f", "--job") as program:
        line(program)
        assert program.stdout is not None
        program.stdout.close()
        append(record.job_log, "more\n")
        assert program.stderr is not None
        assert "" == program.stderr.read()
        assert 1 == program.wait(TIMEOUT)


def test_terminated(record: Record) -> None:
    """The exit code says so."""
    with started("logs", "-f") as program:
        line(program)
        os.kill(program.pid, signal.SIGTERM)
        program.communicate(timeout=TIMEOUT)
        assert 143 == program.returncode
