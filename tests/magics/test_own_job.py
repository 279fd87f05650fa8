"""The kernel's own job: known, and not cancelled by mistake."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_kernels.errors import CommandError, ControllerError
from remote_kernels.magics.own_job import OwnJob
from remote_kernels.magics.own_job import own_job as job_of
from remote_kernels.magics.slurm.own_job import (
    SlurmJob,
    asks_back,
    own_job,
    why_not_cancel,
)
from remote_kernels.scheduler.job import Completed

CAPTURES = Path(__file__).parents[1] / "scheduler" / "captures"
PBS_JOB = "1147579.polaris-pbs-01.hsn.cm.polaris.alcf.anl.gov"
ENV = {
    "SLURM_JOB_ID": "124",
    "SLURM_ARRAY_JOB_ID": "120",
    "SLURM_CLUSTER_NAME": "here",
    "SLURM_JOB_NAME": "jupyter-1",
    "SLURM_JOB_PARTITION": "debug",
    "SLURM_CPUS_ON_NODE": "4",
    "SLURM_MEM_PER_CPU": "500",
    "SLURMD_NODENAME": "c1",
    "SLURM_JOB_END_TIME": "1700000000",
}


def job() -> SlurmJob:
    found = own_job(ENV)
    assert found is not None
    return found


def asked(stdout: str, argvs: list[list[str]] | None = None) -> object:
    def ask(argv: list[str]) -> Completed:
        if argvs is not None:
            argvs.append(argv)
        return Completed(tuple(argv), 0, stdout, "")

    return ask


def refusal(typed: str, stdout: str = "", argvs: list[list[str]] | None = None) -> str:
    ask = asked(stdout, argvs)
    return why_not_cancel(typed.split(), job(), ask) or ""  # type: ignore[arg-type]


def test_what_slurm_told_it() -> None:
    """From its environment; without a job there is none."""
    found = job()

    assert ("124", "debug", "c1", 4) == (
        found.id,
        found.partition,
        found.node,
        found.cpus,
    )
    assert 1_700_000_000 == found.promised_end
    assert own_job({"SLURM_CONF": "/etc/slurm.conf"}) is None


@pytest.mark.parametrize(
    ("asked_for", "mib"),
    [
        ({"SLURM_MEM_PER_NODE": "3000"}, 3000),
        ({"SLURM_MEM_PER_CPU": "500"}, 2000),
        ({"SLURM_MEM_PER_NODE": "0"}, None),  # all that the node has
        ({}, None),
    ],
)
def test_memory(asked_for: dict[str, str], mib: int | None) -> None:
    """Of this node, whichever way it was asked for."""
    environ = {"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "4", **asked_for}
    found = own_job(environ)

    assert found is not None
    assert (None if mib is None else mib << 20) == found.memory


@pytest.mark.parametrize(
    "typed",
    ["124", "1 124", "1,124", "120", "120_3", "124.batch", "-f 124", "-s USR1 124"],
)
def test_its_number(typed: str) -> None:
    """In every way to write it, beside others and with options."""
    assert "this kernel's own" in refusal(typed)


@pytest.mark.parametrize(
    "typed",
    ["1", "1 2_[1-3]", "1240", "124.0", "--name=x 1", "-M there 124", "-n 124 1"],
)
def test_other_jobs(typed: str) -> None:
    """Other numbers, steps of its own that srun made, another cluster's."""
    argvs: list[list[str]] = []

    assert "" == refusal(typed, argvs=argvs)
    assert [] == argvs


def test_the_others() -> None:
    """The refusal says how to cancel only those."""
    assert "\n  %scancel 1 2_[3,4]" in refusal("1,2_[3,4],124")


def test_jobs_by_their_properties() -> None:
    """squeue is asked which they are."""
    argvs: list[list[str]] = []
    typed = "--user=bob -p debug --state PENDING -s KILL"

    assert "" == refusal(typed, "1\n2\n", argvs)
    filters = ["--user=bob", "--partition=debug", "--states=PENDING"]
    assert [["squeue", "-a", "-h", "-o", "%i", *filters]] == argvs
    assert "\n  %scancel 1 2_[1-3]" in refusal("-u bob", "1\n124\n2_[1-3]\n")


@pytest.mark.parametrize("typed", ["--unheard-of", "--wckey=x"])
def test_what_cannot_be_looked_up(typed: str) -> None:
    """It may end the kernel, so it is refused."""
    assert "this kernel's own" in refusal(typed)


def test_nobody_answers() -> None:
    """What cannot be known is refused, with what squeue said."""

    def silent(argv: list[str]) -> Completed:
        raise ControllerError("Slurm did not answer.", argv, 1)

    def failing(argv: list[str]) -> Completed:
        return Completed(tuple(argv), 1, "", "squeue: error: no")

    for ask, words in ((silent, "did not answer"), (failing, "squeue: error: no")):
        assert words in (why_not_cancel(["--me"], job(), ask) or "")


@pytest.mark.parametrize(
    ("typed", "asks"),
    [("-i 1", True), ("-fi 1", True), ("--interactive", True), ("-pgpu-i 1", False)],
)
def test_scancel_that_asks(typed: str, asks: bool) -> None:
    """At the end of its input it would ask for ever (22.05.8)."""
    assert asks == asks_back(typed.split())


# A job of a batch system that has no magics


@pytest.fixture
def in_pbs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], OwnJob | None]:
    """In a job of PBS's, on a node that has its commands and those that others have, too."""
    answer = CAPTURES / "pbs" / "qstat-jobs-2022.1.json"
    scripts = {
        "qstat": f'[ "$1" = --version ] && exec echo pbs_version = 22.05.11; cat {answer}',
        "qsub": "",
        "pbsnodes": "",
    }
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("sh", "cat"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    return lambda number: job_of({"RK_JOB_ID": number, "RK_NODE": "n1"})


def test_a_job_of_another_system(in_pbs: Callable[[str], OwnJob | None]) -> None:
    """Who is here is asked who it is, and then when the job ends."""
    found = in_pbs(PBS_JOB)

    assert found is not None
    assert ("n1", "") == (found.node, found.name)
    assert time.mktime((2023, 11, 10, 13, 5, 50, 0, 0, -1)) == found.end_time()
    gone = in_pbs("1.nowhere")
    assert gone is not None
    with pytest.raises(ControllerError, match=r"PBS.* does not list job 1\.nowhere"):
        gone.end_time()


def test_a_job_where_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is said."""
    monkeypatch.setenv("PATH", "/nowhere")
    found = job_of({"RK_JOB_ID": "7"})

    assert found is not None
    with pytest.raises(CommandError, match="cannot be asked from here"):
        found.end_time()
