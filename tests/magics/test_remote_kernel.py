"""`%remote_kernel` in a real IPython, inside and outside of a job."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from scheduler.captured import captured

from magics.commands import Commands, run, wait_until
from remote_kernels.magics import remote_kernel
from remote_kernels.magics.command import Failure
from remote_kernels.scheduler.job import Completed

JOB = "40"  # as captured


def ends(commands: Commands, end: float) -> None:
    """squeue says that the job ends then."""
    said = captured("squeue-running").stdout.strip()
    clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(end))
    row = f"{said.rpartition('|')[0]}|{clock}\n"
    row = f"{JOB}|{row.partition('|')[2]}"
    commands.answer("squeue", Completed((), 0, row, ""))


@pytest.fixture
def in_job(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """In a job that ends in an hour."""
    for name, value in {
        "SLURM_JOB_ID": JOB,
        "SLURM_JOB_NAME": "jupyter-1234abcd",
        "SLURM_JOB_PARTITION": "debug",
        "SLURM_CPUS_ON_NODE": "4",
        "SLURM_MEM_PER_NODE": "2048",
        "SLURM_JOB_GPUS": "0,1",
        "SLURMD_NODENAME": "c1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    ends(commands, time.time() + 3670)
    return commands


@pytest.mark.usefixtures("in_job")
def test_in_a_job(shell: InteractiveShell) -> None:
    """Where, how long, how much: as text, as HTML, and as attributes."""
    report = run(shell, "%remote_kernel")

    text, page = str(report), report._repr_html_()
    for words in ("on c1", f"{JOB} jupyter-1234abcd in debug", "1 h 1 min", "4 CPUs"):
        assert words in text
        assert words in page
    assert "2 GiB of memory, GPU 0,1" in text
    assert 3660 < report.time_left <= 3670
    assert (2048 << 20, os.getpid(), JOB) == (
        report.memory_asked,
        report.pid,
        report.job_id,
    )
    assert () == report.notes
    assert report is run(shell, "_")


def test_outside_of_a_job(shell: InteractiveShell, commands: Commands) -> None:
    """It says so, asks no Slurm, and shows what the kernel uses."""
    commands.answer("squeue", Completed((), 0, "", ""))

    report = run(shell, "%remote_kernel")

    assert "not in a job" in str(report)
    assert "time left" not in str(report)
    assert report.memory > 0
    assert report.cpus_usable >= 1
    assert [] == commands.calls("squeue")
    with pytest.raises(UsageError, match="no time limit"):
        run(shell, "%remote_kernel --warn 5m")


def test_what_it_uses(shell: InteractiveShell) -> None:
    """CPU and memory are those of this kernel, measured anew each time."""
    run(shell, "%remote_kernel")
    before = time.process_time()
    while time.process_time() < before + 0.3:
        pass

    report = run(shell, "%remote_kernel")

    assert report.cpu_percent > 10
    assert report.cpu_since >= 0.3
    assert f"{report.cpu_percent:.0f} % of one CPU in the last" in str(report)


def test_as_a_dict(shell: InteractiveShell) -> None:
    """All of it, ready for JSON."""
    found = json.loads(json.dumps(run(shell, "%remote_kernel --json")))

    assert os.getpid() == found["pid"]
    assert {"time_left", "memory_limit", "gpus", "notes"} <= found.keys()


def test_gpus(
    shell: InteractiveShell, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line for each that nvidia-smi tells of; what one does not tell is left out."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    rows = (
        "0, GPU-a, NVIDIA A100-SXM4-40GB, 35, 2048, 40960\n"
        "1, GPU-b, NVIDIA <A100>, [N/A], [N/A], [N/A]\n"
    )
    commands.answer("nvidia-smi", Completed((), 0, rows, ""))

    report = run(shell, "%remote_kernel")

    lines = str(report).splitlines()
    assert "GPU 0   NVIDIA A100-SXM4-40GB, 35 %, 2 GiB of 40 GiB" in lines
    assert "GPU 1   NVIDIA <A100>" in lines
    assert "NVIDIA &lt;A100&gt;" in report._repr_html_()


def test_slurm_is_not_asked_too_often(
    shell: InteractiveShell, in_job: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop over `%remote_kernel` is no loop over squeue."""
    for _ in range(3):
        run(shell, "%remote_kernel")
    assert 1 == len(in_job.calls("squeue"))

    monkeypatch.setattr(remote_kernel, "FRESH", 0.0)
    run(shell, "%remote_kernel")
    assert 2 == len(in_job.calls("squeue"))


def test_slurm_is_silent(
    shell: InteractiveShell, in_job: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was promised at the job's start counts, and the report says so."""
    in_job.answer("squeue", captured("squeue-down"))
    monkeypatch.setattr(remote_kernel, "FRESH", 0.0)

    report = run(shell, "%remote_kernel")
    assert report.time_left is None
    assert "unknown" in str(report)
    assert "Unable to contact slurm controller" in str(report)
    with pytest.raises(Failure, match="Unable to contact"):
        run(shell, "%remote_kernel --warn 5m")

    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 600))
    report = run(shell, "%remote_kernel")
    assert 590 < report.time_left <= 600
    assert "does not say" in str(report)
    run(shell, "%remote_kernel --warn 5m")


def test_a_job_that_slurm_does_not_list(
    shell: InteractiveShell, in_job: Commands
) -> None:
    """The report says so instead of a time."""
    in_job.answer("squeue", Completed((), 0, "", ""))

    assert f"does not list job {JOB}" in str(run(shell, "%remote_kernel"))


@pytest.mark.usefixtures("in_job")
def test_warnings(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """They are set, replaced and taken away, and the cell says so."""
    run(shell, "%remote_kernel --warn 5m,1h30m --warn 0:00:30")
    run(shell, "%remote_kernel --warn off")
    run(shell, "%remote_kernel --warn off")

    lines = capsys.readouterr().out.splitlines()
    assert "A warning comes 5 min, 30 s before the end." in lines[0]
    assert "Too late for: 1 h 30 min." in lines[0]
    assert ["No more warnings.", "No warning was set."] == lines[1:]


def test_a_warning_comes(
    shell: InteractiveShell, in_job: Commands, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the notebook, after Slurm was asked once more."""
    ends(in_job, time.time() + 302)
    run(shell, "%remote_kernel --warn 5m")
    said: list[str] = []

    def warned() -> bool:
        said.append(capfd.readouterr().err)
        return re.search(r"(5 min|4 min 5\d s) left", "".join(said)) is not None

    wait_until("the warning", warned, 20)
    assert 2 == len(in_job.calls("squeue"))


@pytest.mark.usefixtures("in_job")
def test_unloading_ends_the_timer(shell: InteractiveShell) -> None:
    """No thread stays."""
    run(shell, "%remote_kernel --warn 5m")
    run(shell, "%unload_ext remote_kernels")

    names = "warns of the time limit"
    wait_until("its end", lambda: names not in {t.name for t in threading.enumerate()})
    run(shell, "%load_ext remote_kernels")


@pytest.mark.parametrize("words", ["--warn", "--warn soon", "--nope", "5m"])
@pytest.mark.usefixtures("in_job")
def test_what_it_does_not_take(shell: InteractiveShell, words: str) -> None:
    """The error says what it does take."""
    with pytest.raises(UsageError, match=r"--warn with times|write 5m"):
        run(shell, f"%remote_kernel {words}")


def test_importing_the_package_is_cheap() -> None:
    """IPython is only needed, and our magics only read, by who loads them."""
    code = (
        "import sys, remote_kernels; print([n for n in sys.modules "
        "if n.startswith(('IPython', 'remote_kernels.'))])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, check=True
    )

    assert b"[]\n" == said.stdout
