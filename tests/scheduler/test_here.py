"""scheduler.here: which batch system `auto` finds, by small programs on a PATH."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from remote_kernels.scheduler import here
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.here import detected
from scheduler.captured import captured

# What each command says: exit code and text. What is not asked says nothing.
SLURM = {"sbatch": (0, ""), "scontrol": (0, "Slurmctld(primary) at ctl is UP\n")}
GRID_ENGINE = {"qsub": (0, ""), "qstat": (0, ""), "qconf": (0, "ctl\n")}
PBS = {"qsub": (0, ""), "pbsnodes": (0, ""), "qstat": (0, "pbs_version = 22.05.11\n")}
TORQUE = {**PBS, "qstat": (0, "Version: 6.1.2\nCommit: 661e092552de\n")}
DOWN = captured("qconf-sss-down", "gridengine-8.1.9")
USAGE = (2, "usage: FILE\n")
HANGS = (-1, "")
PATIENT = 60  # seconds; what hangs, hangs for 99

Commands = Mapping[str, tuple[int, str]]


@pytest.fixture(autouse=True)
def bin_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH."""
    for name in ("sh", "sleep"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(here, "TIMEOUT", 20.0)
    return tmp_path


def put(where: Path, *systems: Commands) -> None:
    """Programs of these systems; of two with one name the first comes first on PATH."""
    for commands in reversed(systems):
        for name, (code, text) in commands.items():
            told = f"echo {name} >>'{where}/asked'; printf %s {shlex.quote(text)}"
            end = "sleep 99; true" if code < 0 else f"exit {code}"
            (where / name).write_text(f"#!/bin/sh\n{told}\n{end}\n")
            (where / name).chmod(0o755)


@pytest.mark.parametrize(
    ("systems", "expected"),
    [
        ((SLURM,), "slurm"),
        ((GRID_ENGINE,), "gridengine"),
        ((PBS,), "pbs"),
        ((TORQUE,), "torque"),
        ((), "local"),
    ],
)
def test_one_that_is_alone(
    bin_: Path, systems: tuple[Commands, ...], expected: str
) -> None:
    """PBS and Torque have the same commands: their qstat tells."""
    put(bin_, *systems)
    assert expected == detected().name


@pytest.mark.parametrize(
    ("systems", "expected"),
    [
        # Both answer: the one that more sites have.
        ((SLURM, GRID_ENGINE), "slurm"),
        ((GRID_ENGINE, SLURM), "slurm"),
        # One has gone, or is coming: its commands are there, its daemon is not.
        (({**SLURM, "scontrol": (1, "Slurmctld(primary) at ctl is DOWN\n")}, GRID_ENGINE), "gridengine"),
        ((SLURM, {**GRID_ENGINE, "qconf": (1, DOWN.stdout + DOWN.stderr)}), "slurm"),
        (({**SLURM, "scontrol": (1, "")}, {**GRID_ENGINE, "qconf": (1, DOWN.stderr)}), "gridengine"),
        # One qsub is before the other: whose, its own commands tell.
        ((GRID_ENGINE, PBS), "gridengine"),
        ((PBS, GRID_ENGINE), "pbs"),
        # Commands of one that another one has for those who come from it.
        (({"sbatch": USAGE}, GRID_ENGINE), "gridengine"),
        (({"sbatch": USAGE, "squeue": (0, "a list\n")}, PBS), "pbs"),
        ((SLURM, {"qsub": USAGE, "qstat": USAGE, "pbsnodes": USAGE}), "slurm"),
        (({"qsub": USAGE}, SLURM), "slurm"),
        # A site's own program.
        (({"qsub": USAGE},), "local"),
        (({"qsub": USAGE, "squeue": USAGE},), "local"),
        # Nobody says a word: the one that more sites have.
        (({**SLURM, "scontrol": (1, "")}, {**GRID_ENGINE, "qconf": (1, "")}), "slurm"),
    ],
)  # fmt: skip
def test_several_are_told_apart_by_asking(
    bin_: Path, systems: tuple[Commands, ...], expected: str
) -> None:
    """One that answers comes before one that only says that it cannot."""
    put(bin_, *systems)
    assert expected == detected().name


@pytest.mark.parametrize(
    ("systems", "expected"),
    [
        (({**SLURM, "scontrol": HANGS}, GRID_ENGINE), "gridengine"),
        ((SLURM, {**GRID_ENGINE, "qconf": HANGS}), "slurm"),
        (({**SLURM, "scontrol": HANGS}, {**GRID_ENGINE, "qconf": HANGS}), "slurm"),
        (({**SLURM, "scontrol": HANGS}, {**PBS, "qstat": HANGS}), "slurm"),
        (({**PBS, "qstat": HANGS}, SLURM), "slurm"),
        # Its server hangs, and its qstat has said before whose it is.
        (({**TORQUE, "qstat": (-1, "Version: 6.1.2\n")},), "torque"),
        (
            (
                {**SLURM, "scontrol": HANGS},
                {**PBS, "qstat": (-1, "pbs_version = 22\n")},
            ),
            "pbs",
        ),
    ],
)
def test_one_that_hangs(
    bin_: Path,
    systems: tuple[Commands, ...],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All are asked at once; who does not answer in time has not answered."""
    monkeypatch.setattr(here, "TIMEOUT", 2.0)
    put(bin_, *systems)
    began = time.monotonic()

    assert expected == detected().name

    assert time.monotonic() - began < PATIENT
    while processes_of(bin_):  # a process that is killed takes its time
        assert time.monotonic() - began < PATIENT


def test_one_that_does_not_stop_talking(
    bin_: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended in time, and little of what it said is kept."""
    monkeypatch.setattr(here, "TIMEOUT", 2.0)
    put(bin_, SLURM, GRID_ENGINE)
    (bin_ / "qconf").write_text("#!/bin/sh\nwhile :; do echo y; done\n")
    began = time.monotonic()

    assert "slurm" == detected().name

    assert time.monotonic() - began < PATIENT


def processes_of(where: Path) -> list[str]:
    """What still runs of the programs there."""
    found = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        try:
            environ = each.read_bytes()
        except OSError:  # another user's, or it has ended
            continue
        if f"PATH={where}\0".encode() in environ and each.parent.name != str(
            os.getpid()
        ):
            found.append(each.parent.name)
    return found


def test_two_that_cannot_be_asked(bin_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As other packages' may be: the first by its rank."""
    put(bin_, SLURM, GRID_ENGINE)
    for name in ("slurm", "gridengine"):
        monkeypatch.setattr(type(DRIVERS[name]), "question", ())
    assert "slurm" == detected().name


def test_a_host_is_asked_once(bin_: Path) -> None:
    """In a process; one that has only one is not asked at all."""
    put(bin_, GRID_ENGINE)
    detected()
    assert not (bin_ / "asked").exists()
    put(bin_, SLURM)
    detected()
    asked = (bin_ / "asked").read_text().split()
    detected()
    assert ["qconf", "scontrol"] == sorted(asked)
    assert asked == (bin_ / "asked").read_text().split()
