"""`remote-kernels stop`, with a real notebook server and with jobs of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.conftest import FakeSlurm
from cli.live import (
    GONE,
    TIMEOUT,
    command,
    end,
    install_kernelspec,
    is_over,
    job,
    job_of,
    left_alone,
    mine,
    record_of,
    runs,
    server,
    shown,
    telling,
)
from cli.test_main import complete
from click.testing import Result

from remote_kernels.errors import ControllerError
from remote_kernels.kernel import inventory
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.records import JobEnd
from remote_kernels.scheduler.job import JobId

Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Callable[[], JobId]]:
    """`jobs()` is a job that runs; it ends with the test."""
    made: list[JobId] = []

    def submit() -> JobId:
        made.append(job(tmp_path, f"job{len(made)}"))
        return made[-1]

    yield submit
    for job_id in made:
        end(job_id)


def test_by_its_server(run: Run, jupyter: Path) -> None:
    """A real one: it knows, and so does its page; the job is over."""
    install_kernelspec(jupyter)
    with server() as notebooks:
        kernels = [notebooks.kernels(start="left")["id"] for _ in range(2)]
        records = [runs(kernel) for kernel in kernels]
        job_id = job_of(records[0])

        result = run("stop", kernels[0][:13], "--yes")

        assert 0 == result.exit_code
        assert f"by its server (process {notebooks.program.pid} here" in result.stdout
        assert f"{kernels[0]}: ended by its server\n" == result.stderr
        assert [kernels[1]] == [kernel["id"] for kernel in notebooks.kernels()]
        assert is_over(job_id)
        assert [False, True] == [record.path.exists() for record in records]
        run("stop", "--all", "-y")
        assert [] == notebooks.kernels()


def test_one_that_a_server_left(run: Run, tmp_path: Path) -> None:
    """Its job is cancelled."""
    record = left_alone(tmp_path)
    job_id = job_of(record)

    result = run("stop", record.kernel_id, "-y")

    assert "\tcancel its job\n" in result.stdout
    assert f"{record.kernel_id}: job {job_id} cancelled\n" == result.stderr
    assert is_over(job_id)
    assert not record.path.exists()


def test_a_server_that_refuses(run: Run, jobs: Callable[[], JobId]) -> None:
    """One that wants a password, say: the job is cancelled, and why is told."""
    job_id = jobs()
    record = mine("k1", job_id)
    with telling() as refusing:
        refusing.says = 403, ""
        result = run("stop", "k1", "-y")
        assert ["DELETE /b/api/kernels/k1 token t"] == refusing.asked
    assert "its server did not end it (it answered 403)" in result.stderr
    assert 0 == result.exit_code
    assert is_over(job_id)
    assert not record.path.exists()


def test_one_that_waits(run: Run, slurm: FakeSlurm) -> None:
    """It leaves the queue."""
    slurm.says("17|PENDING|Resources|n/a||N/A|N/A")
    record = record_of("k1", "17", scheduler="slurm")

    result = run("stop", "17", "-y")

    row = "k1\tPython\t17\twaiting for free nodes (Resources)\tcancel its job\n"
    assert row == result.stdout
    assert ["17"] == slurm.told("scancel")
    assert not record.path.exists()


def test_many(run: Run, jobs: Callable[[], JobId]) -> None:
    """Those that are named, each once, and no other."""
    ids = [jobs() for _ in range(3)]
    records = [record_of(f"k{n}", job_id) for n, job_id in enumerate(ids)]

    result = run("stop", "k0", "k1", "k0", input="y\n")

    assert "End these 2 kernels? [y/N]" in result.stderr
    assert [False, False, True] == [record.path.exists() for record in records]


def test_all(run: Run, jobs: Callable[[], JobId]) -> None:
    """What ended already is left to `clean`."""
    running, ended = record_of("k1", jobs()), record_of("k2", GONE)
    assert 0 == run("stop", "--all", "--yes").exit_code
    assert [False, True] == [record.path.exists() for record in (running, ended)]
    assert "No kernel of yours waits or runs" in run("stop", "--all").stderr


@pytest.mark.parametrize(
    ("args", "answer", "code"),
    [(["--dry-run", "--yes"], "", 0), (["-n"], "", 0), ([], "n\n", 1), ([], "", 1)],
)
def test_nothing_is_ended_unasked(
    run: Run, jobs: Callable[[], JobId], args: list[str], answer: str, code: int
) -> None:
    """What would be done is shown."""
    record = record_of("k1", jobs())

    result = run("stop", "k1", *args, input=answer)

    assert code == result.exit_code
    assert (code == 1) == ("End this kernel? [y/N]" in result.stderr)
    assert "\tcancel its job\n" in result.stdout
    assert record.path.exists()


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        ([], 2, "Name the kernels to end, or give --all."),
        (["k1", "--all"], 2, "Name the kernels to end, or give --all."),
        (["k1", "x"], 1, "No kernel that waits or runs matches 'x'."),
        (["ended"], 1, "Kernel ended has ended: "),
    ],
)
def test_what_is_not_clear(
    run: Run, jobs: Callable[[], JobId], args: list[str], code: int, text: str
) -> None:
    """Nothing is ended, not even what is clear."""
    record = record_of("k1", jobs())
    record_of("ended", GONE)
    result = run("stop", *args, "-y")
    assert (code, True) == (result.exit_code, text in result.stderr)
    assert record.path.exists()


def test_one_that_cannot_be_ended(
    run: Run, jobs: Callable[[], JobId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, keeps its record, and the others go all the same."""
    records = [record_of("k1", jobs()), record_of("k2", jobs())]
    job_id = job_of(records[0])
    cancel = inventory.cancel

    async def cancel_some(runtime: Runtime, scheduler: str, wanted: JobId) -> None:
        if wanted == job_id:
            raise ControllerError("no answer", ["scancel"], 1)
        await cancel(runtime, scheduler, wanted)

    monkeypatch.setattr(inventory, "cancel", cancel_some)

    result = run("stop", "k1", "k2", "--yes")

    assert "k1: no answer" in result.stderr
    assert 1 == result.exit_code
    assert [True, False] == [record.path.exists() for record in records]


def test_on_a_terminal(jobs: Callable[[], JobId]) -> None:
    """A table, a question, and it is done."""
    record = record_of("12345678-9", jobs(), name="[red]hot")
    with shown(*command("stop", "1234")) as terminal:
        terminal.until("To do")
        terminal.until("12345678 ")
        terminal.until("[red]hot")
        terminal.until("cancel its job")
        terminal.until("End this kernel? [y/N]: ")
        terminal.type("y\n")
        terminal.until("cancelled")
        assert 0 == terminal.program.wait(TIMEOUT)
    assert not record.path.exists()


def test_ctrl_c_at_the_question(jobs: Callable[[], JobId]) -> None:
    """The real signal: 130, and nothing is ended."""
    record = record_of("k1", jobs())
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command("stop", "k1"), stdin=pipe, stdout=pipe, stderr=pipe
    ) as program:
        assert program.stderr is not None
        question = b""
        while not question.endswith(b"[y/N]: "):
            question += os.read(program.stderr.fileno(), 1000) or pytest.fail("none")
        program.send_signal(signal.SIGINT)
        _, stderr = program.communicate(timeout=20)
    assert (130, b"\nInterrupted.\n") == (program.returncode, stderr)
    assert record.path.exists()


def test_completion() -> None:
    """One after the other; not those that ended."""
    record_of("k1", GONE)
    record_of("k2", GONE)
    record_of("k3", GONE).seal(JobEnd("CANCELLED", text="It ended."))
    assert ["k1", "k2"] == complete("stop", "")
    assert ["k2"] == complete("stop", "k1", "k")
    assert [""] == complete("stop", "k1", "k2", "")
    assert {"--all", "--dry-run", "--yes"} < set(complete("stop", "--"))
