"""`remote-kernels clean`, with real jobs of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.live import GONE, end, is_over, job, record_of
from click.testing import Result
from rich.console import Console

from remote_kernels import records
from remote_kernels.cli import rows, running
from remote_kernels.errors import ControllerError
from remote_kernels.kernel import inventory, stock
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.stock import Item
from remote_kernels.records import JobEnd, Record
from remote_kernels.scheduler.job import JobId, JobStatus, Phase

Run = Callable[..., Result]

PROGRAM = [sys.executable, "-c", "from remote_kernels.cli.main import main; main()"]
STRAY = f"jupyter-{os.getpid():08x}"


@pytest.fixture(autouse=True)
def here(
    tmp_path: Path,
    no_batch_system: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Records are in `tmp_path`; other people's jobs on this machine are not seen."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    everybody_s, ours = stock.strays, STRAY.removeprefix("jupyter-")

    async def strays(
        runtime: Runtime, bases: list[Path], everything: bool
    ) -> list[Item]:
        found = await everybody_s(runtime, bases, everything)
        return [item for item in found if item.kernel == ours]

    monkeypatch.setattr(stock, "strays", strays)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Callable[..., JobId]]:
    """`jobs(name)` is a job that runs; it ends with the test."""
    made: list[JobId] = []

    def submit(name: str = "test") -> JobId:
        made.append(job(tmp_path, name))
        return made[-1]

    yield submit
    for job_id in made:
        end(job_id)


def test_nothing(run: Run) -> None:
    """Empty output, and it says so beside it."""
    assert "nothing left over" in run("clean").stderr
    assert "[]\n" == run("clean", "--json").stdout


def test_a_kernel_that_runs(run: Run, jobs: Callable[..., JobId]) -> None:
    """One line, with the number that the scheduler knows the job by; nothing to do."""
    job_id = jobs()
    record_of("k1", job_id)

    result = run("clean")

    what = "last used by process 17 on login1"
    number = str(job_id)
    expected = f"k1\tPython\t{number}\tRUNNING\tn1\t{what}\t\n"
    assert (expected, "", 0) == (result.stdout, result.stderr, result.exit_code)


def test_all_ends_kernels_that_run(run: Run, jobs: Callable[..., JobId]) -> None:
    """Job and record."""
    job_id = jobs()
    record = record_of("k1", job_id)

    result = run("clean", "--all", input="y\n")

    assert "End 1 kernel? [y/N]" in result.stderr
    assert "k1: done (end kernel)" in result.stderr
    assert is_over(job_id)
    assert not record.path.exists()


def remembered() -> Path:
    """Where it is that something is remembered beside records."""
    base = records.state_dir(None)
    (base / "kernel_info").mkdir(parents=True)
    records.CarrierCache(base).remember("c n#", "ssh")
    (base / "kernel_info" / "a.json").write_text("{}")
    return base


def test_what_is_left(run: Run) -> None:
    """It is named, with how it goes."""
    record_of("k1", GONE).seal(JobEnd("CANCELLED", text="It ended."))
    base = remembered()

    result = run("clean", "--yes")

    assert f"Left in {base}: which carriers worked (carriers.json)" in result.stderr
    assert "`remote-kernels clean --all` removes that, too" in result.stderr


@pytest.mark.parametrize("kernels", [0, 1])
def test_all_leaves_nothing(run: Run, kernels: int) -> None:
    """Not the directory, either."""
    for _ in range(kernels):
        record_of("k1", GONE).seal(JobEnd("CANCELLED", text="It ended."))
    base = remembered()

    result = run("clean", "--all", "--yes")

    assert 0 == result.exit_code
    assert not base.exists()


def test_a_record_whose_job_has_ended(run: Run) -> None:
    """It goes; what it says of the end is on one line."""
    record = record_of("k1", GONE)
    record.seal(JobEnd("CANCELLED", text="The job ran\tout of\ntime."))

    result = run("clean", "--yes")

    row = result.stdout.split("\t")
    assert ["The job ran out of time.", "remove record\n"] == row[-2:]
    assert not record.path.exists()


@pytest.mark.parametrize(
    ("args", "answer", "code"),
    [(["--dry-run", "--yes"], "", 0), (["--json"], "", 0), ([], "n\n", 1), ([], "", 1)],
)
def test_nothing_is_removed_unasked(
    run: Run, args: list[str], answer: str, code: int
) -> None:
    """Nor is a program that reads JSON asked."""
    record = record_of("k1", GONE)

    result = run("clean", *args, input=answer)

    assert code == result.exit_code
    assert (code == 1) == ("Remove 1 record? [y/N]" in result.stderr)
    assert record.path.exists()


def test_several_are_counted(run: Run) -> None:
    """As one says it."""
    for kernel in ("k1", "k2"):
        record_of(kernel, GONE)
    assert "Remove 2 records? [y/N]" in run("clean", input="n\n").stderr


def test_json(run: Run) -> None:
    """All that is known; --yes does it, too."""
    record = record_of("k1", GONE)

    result = run("clean", "--json", "--yes")

    (item,) = json.loads(result.stdout)
    assert {
        "kernel": "k1",
        "name": "Python",
        "job": "1-1",
        "state": "UNKNOWN",
        "node": "n1",
        "what": "The job is gone, and nothing says how it ended.",
        "action": "remove record",
        "record": str(record.path),
    } == item
    assert not record.path.exists()


def test_a_record_that_never_got_a_job(run: Run) -> None:
    """Ten minutes are enough for a submission."""
    made = [Record(records.state_dir(None), kernel) for kernel in ("old", "new")]
    for record in made:
        record.create()
    then = time.time() - stock.UNSUBMITTED - 1
    os.utime(made[0].path, (then, then))

    result = run("clean", "--yes")

    assert "old\t\t\t\t\twas never submitted\tremove record\n" == result.stdout
    assert [False, True] == [record.path.exists() for record in made]


def test_a_job_that_runs_without_a_record(run: Run, jobs: Callable[..., JobId]) -> None:
    """Its record is elsewhere, or it would have ended: only --all ends it."""
    job_id = jobs(STRAY)

    shown = run("clean", "--yes")
    assert "has no record here\t\n" in shown.stdout
    done = run("clean", "--yes", "--all")

    assert "has no record here\tcancel job\n" in done.stdout
    assert is_over(job_id)


def test_a_job_that_waits_without_a_record() -> None:
    """It would wait for nothing."""
    for phase, action in ((Phase.PENDING, "cancel job"), (Phase.SUSPENDED, "")):
        status = JobStatus(JobId("17"), phase, "ANY", name="jupyter-12345678")
        stray = stock._OwnJob("slurm", status)
        assert action == stock._stray(stray, everything=False).action


def test_one_that_cannot_be_ended(
    run: Run, jobs: Callable[..., JobId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, keeps its record, and the others go all the same."""
    records = [record_of("k1", jobs()), record_of("k2", GONE)]

    async def cancel(runtime: Runtime, scheduler: str, job_id: JobId) -> None:
        raise ControllerError("no answer", ["scancel"], 1)

    monkeypatch.setattr(inventory, "cancel", cancel)

    result = run("clean", "--yes", "--all")

    assert "k1: no answer" in result.stderr
    assert 1 == result.exit_code
    assert [True, False] == [record.path.exists() for record in records]


def test_table(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal: a table; what looks like markup is shown as it is."""
    job, state = JobId("17", "x"), "RUNNING"
    item = stock.Item("12345678-9", "w", "act", "[red]hot", job, state, "n1")
    console = Console(width=200)
    monkeypatch.setattr(rows, "Console", lambda: console)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    running._show([item])

    header, row = capsys.readouterr().out.splitlines()
    assert ["Kernel", "Job", "State", "Node", "To", "do"] == header.split()
    assert ["12345678", "[red]hot", "17", "RUNNING", "n1", "w", "act"] == row.split()


def test_ctrl_c_at_the_question(jupyter: Path) -> None:
    """The real signal: 130, and nothing is removed."""
    record = record_of("k1", GONE)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*PROGRAM, "clean"], stdin=pipe, stdout=pipe, stderr=pipe
    ) as program:
        assert program.stderr is not None
        question = b""
        while not question.endswith(b"[y/N]: "):
            question += os.read(program.stderr.fileno(), 1000) or pytest.fail("none")
        program.send_signal(signal.SIGINT)
        _, stderr = program.communicate(timeout=20)
    assert (130, b"\nInterrupted.\n") == (program.returncode, stderr)
    assert record.path.exists()
