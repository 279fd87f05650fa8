"""Kernels of batch systems that we have at hand: one invented, others played by stand-ins.

No file of remote_kernels knows the invented one: it comes as any package does that
brings one, by its entry point. So it must be there before a process begins, and each of
these runs in processes of its own.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts.a_kernel import CLI
from contracts.systems import INVENTED, SYSTEMS, System
from remote_kernels.scheduler.job import JobId

Run = Callable[..., subprocess.CompletedProcess[str]]
A_KERNEL = str(Path(__file__).with_name("a_kernel.py"))
PATIENCE = 30.0  # seconds


@dataclass(frozen=True)
class Expected:
    """What a batch system that we have at hand says of its first job.

    Parameters
    ----------
    job
        Its number.
    carrier
        The way into it.
    cores
        How many it was asked for, as it has it in its directory.
    cancelled
        What is said when it was cancelled.
    """

    job: str
    carrier: str
    cores: Callable[[Path], object]
    cancelled: str


def remembered(*keys: str) -> Callable[[Path], object]:
    """What a stand-in remembers of its first job."""

    def look(home: Path) -> object:
        facts = json.loads((home / "1" / "wanted").read_text())["facts"]
        return int(functools.reduce(dict.__getitem__, keys, facts))

    return look


def beads(home: Path) -> object:
    (job,) = home.glob("ƒ*")
    return json.loads((job / "job").read_text())["beads"]


EXPECTED = {
    "abacus": Expected("ƒ1;b", "abjoin", beads, "swept away"),
    "pbs": Expected("1.standin", "ssh", remembered("cpus"), "was deleted"),
    "torque": Expected("1.standin.torque", "ssh", remembered("ppn"), "was deleted"),
    "lsf": Expected("1", "ssh", remembered("options", "-n"), "cancelled by you"),
    "flux": Expected("f2UzHM", "ssh", remembered("cores"), "was cancelled"),
}
# On the nodes of a stand-in, which are this host, an ssh server must know us.
STANDINS = [
    pytest.param(name, marks=pytest.mark.cluster)
    for name in EXPECTED
    if name != "abacus"
]
each_system = pytest.mark.parametrize("name", ["abacus", *STANDINS])


@pytest.fixture
def name() -> str:
    """Where a test does not say which."""
    return "abacus"


@pytest.fixture
def system(name: str, tmp_path: Path) -> System:
    return SYSTEMS[name](tmp_path)


@pytest.fixture
def environ(system: System, tmp_path: Path) -> Mapping[str, str]:
    assert os.getuid() != 0, "kernels never run as root in a test"
    jupyter = {
        f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("DATA", "RUNTIME")
    }
    own = {"IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": str(INVENTED)}
    return {**os.environ, **system.environ, **jupyter, **own}


@pytest.fixture
def run(environ: Mapping[str, str], tmp_path: Path) -> Run:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            env=dict(environ),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )

    return run


def install(
    run: Run, tmp_path: Path, *options: str, scheduler: str = "abacus"
) -> subprocess.CompletedProcess[str]:
    state = f"--state-dir={tmp_path / 'state'}"
    words = "install", "python-compute", "--scheduler", scheduler
    return run("-c", CLI, *words, state, *options)


def write_spec(tmp_path: Path, **config: Any) -> None:
    """A kernelspec `a-kernel`, as `install` would write it."""
    directory = tmp_path / "DATA" / "kernels" / "a-kernel"
    directory.mkdir(parents=True)
    config |= {"state_dir": str(tmp_path / "state")}
    provisioner = {"provisioner_name": "remote-kernels", "config": config}
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "A kernel",
        "language": "python",
        "metadata": {"kernel_provisioner": provisioner},
    }
    (directory / "kernel.json").write_text(json.dumps(spec))


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What `a_kernel.py` tells."""
    assert 0 == done.returncode, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def ours(tmp_path: Path) -> list[str]:
    """The processes that were started from this test's directory, but for this one."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit() or int(path.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes()
            if os.fsencode(tmp_path) in (path / "environ").read_bytes() + words:
                found.append(words.replace(b"\0", b" ").decode())
    return found


def assert_nothing_runs(tmp_path: Path) -> None:
    """No process of a job, an agent or a kernel, sooner or later."""
    deadline = time.monotonic() + PATIENCE
    while (left := ours(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [] == left


@each_system
def test_a_kernel_lives_there(
    run: Run, system: System, name: str, tmp_path: Path
) -> None:
    """It starts, is listed, entered, interrupted, restarted in its job, and ended."""
    expected = EXPECTED[name]
    installed = install(run, tmp_path, "--cores", "2", scheduler=name)
    assert 0 == installed.returncode, installed.stderr

    said = told(run(A_KERNEL, "lives", "python-compute"))

    assert expected.job == said["before"][0] == said["after"][0]
    assert said["before"][1] != said["after"][1]
    listed = said["listed"]
    assert (name, expected.job, expected.carrier) == (
        listed["scheduler"],
        listed["job_id"],
        listed["carrier"],
    )
    assert ("inside\n", "KeyboardInterrupt") == (said["inside"], said["interrupted"])
    assert [] == said["left"]
    assert 2 == expected.cores(tmp_path / "home")
    assert_nothing_runs(tmp_path)


@each_system
def test_a_kernel_waits_and_is_taken_out_of_the_queue(
    run: Run, system: System, name: str, tmp_path: Path
) -> None:
    """Nothing of it ever runs, and who waits for it is told."""
    write_spec(tmp_path, scheduler=name, **(system.waits or {}))

    said = told(run(A_KERNEL, "waits", "a-kernel"))

    assert EXPECTED[name].cancelled in said["said"]
    assert [] == said["left"]
    assert_nothing_runs(tmp_path)


@each_system
def test_a_kernel_whose_job_somebody_ends(
    run: Run, system: System, name: str, tmp_path: Path
) -> None:
    """The cell that runs says how."""
    write_spec(tmp_path, scheduler=name)
    cancel = system.driver.cancel(JobId("{job}")).argv

    said = told(run(A_KERNEL, "is_ended", "a-kernel", *cancel))

    assert EXPECTED[name].job == said["job"]
    assert EXPECTED[name].cancelled in said["said"]
    assert [] == said["left"]
    assert_nothing_runs(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--partition", "debug"], "option 'partition': Abacus has no such option"),
        (["--beads", "none"], "option 'beads' ('cores') is"),
        (["--carrier", "srun"], "carrier 'srun' does not reach jobs of scheduler"),
    ],
)
def test_what_it_does_not_know(
    run: Run, tmp_path: Path, options: list[str], words: str
) -> None:
    """It is told before anything is submitted."""
    done = install(run, tmp_path, *options)
    if done.returncode == 0:
        done = run(A_KERNEL, "lives", "python-compute")

    assert 0 != done.returncode
    assert words in " ".join(done.stderr.split())
    assert [] == [*(tmp_path / "home").glob("ƒ*")]


def test_its_options_are_in_the_help(run: Run) -> None:
    """Under its name."""
    done = run("-c", CLI, "install", "--scheduler", "abacus", "--help")

    assert "as for absub (Abacus)" in done.stdout
    assert "--beads" in done.stdout


def test_it_takes_no_name_from_others(run: Run, tmp_path: Path) -> None:
    """What all batch systems have is each one's own: `--cores` is not always beads."""
    words = "--cores", "2", "--dry-run"
    abacus = install(run, tmp_path, *words)
    slurm = install(run, tmp_path, "--scheduler", "slurm", *words)

    for done, name in ((abacus, "beads"), (slurm, "cpus-per-task")):
        provisioner = json.loads(done.stdout)["metadata"]["kernel_provisioner"]
        assert 2 == provisioner["config"][name]
