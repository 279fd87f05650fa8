"""A step: srun's command line and environment, waiting, and errors."""

from __future__ import annotations

import sys
import time

import pytest

from remote_kernels.cluster import step
from remote_kernels.cluster.allocation import Allocation, Node
from remote_kernels.cluster.slurm import Srun
from remote_kernels.cluster.step import Order, Step
from remote_kernels.errors import StepError
from remote_kernels.scheduler.slurm.commands import UNCOUNTED

srun = Srun()
HERE = Allocation("56", "c1", (Node("c1", 2, None), Node("c2", 2, None)), srun)
ORDER = Order().line("127.0.0.1", srun)
# Like srun: passes its standard input on, and ends with it.
SRUN = "import sys; print(sys.stdin.readline(), flush=True); print(sys.stdin.read())"


def test_srun() -> None:
    """A step shares everything with the kernel, and is given no secret."""
    argv = srun.argv(HERE, ["c1", "c2"], [], tasks=3, mpi="pmix")
    assert "srun" == argv[0]
    assert {"--overlap", "--mem=0", "--nodes=2", "--nodelist=c1,c2"} <= set(argv)
    assert {"--ntasks=6", "--ntasks-per-node=3", "--mpi=pmix"} <= set(argv)
    assert "--overcommit" in argv
    assert "--gres=none" not in argv
    assert not {"--overcommit", "--gres=none"} & set(srun.argv(HERE, ["c1"], []))
    alone = srun.argv(HERE, ["c1"], [])
    assert [*UNCOUNTED, "srun"] == alone[: len(UNCOUNTED) + 1]
    assert "srun" == srun.argv(HERE, ["c1"], [], mpi="pmix")[0]
    assert "--gres=none" in srun.argv(HERE, ["c1"], [], gpus=False)


def test_environment() -> None:
    """What belongs to the kernel's own step is no wish for another."""
    given = {
        "HOME": "/home/me",
        "SLURM_CONF": "/etc/slurm/slurm.conf",
        "SLURM_MEM_PER_CPU": "100",
        "SLURM_JOB_ID": "56",
        "CUDA_VISIBLE_DEVICES": "0",
        "PMI_RANK": "0",
    }
    kept = {"HOME": "/home/me", "SLURM_CONF": "/etc/slurm/slurm.conf"}
    assert kept == srun.environment(given)


def test_what_it_says() -> None:
    """Its lines are kept; where its directories are is taken from them."""
    code = (
        "print('1: remote_kernels:ready "
        '{"node": "c2", "directory": "/tmp/rk-1", "step": "4"}\')\n'
        "print('1: at tls://c1:99')\nimport sys\nsys.stdin.read()"
    )
    one = Step("A program", [sys.executable, "-c", code], HERE, ORDER)
    try:
        wanted = r"tls://(\S+)"
        step.until(
            "an address", lambda: bool(one.find(wanted)), [one], time.monotonic() + 30
        )
        assert "/tmp/rk-1" == str(one.directories["c2"])
        assert "1: at tls://c1:99\n" == one.said()
    finally:
        one.close()
    assert 0 == one.returncode


def test_it_ends_before_it_is_ready() -> None:
    """The error has its command and its last words."""
    one = Step(
        "A program", [sys.executable, "-c", "raise SystemExit('no room')"], HERE, ORDER
    )
    with pytest.raises(StepError, match=r"A program ended(.|\n)*no room"):
        step.until("nothing", lambda: False, [one], time.monotonic() + 30)
    one.close()


def test_waiting_in_vain() -> None:
    """The error says what for, and how to wait longer."""
    one = Step("A program", [sys.executable, "-c", SRUN], HERE, ORDER)
    try:
        with pytest.raises(StepError, match=r"Gave up waiting for 4 workers; timeout="):
            step.until("4 workers", lambda: False, [one], time.monotonic())
    finally:
        one.close()


def test_srun_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to get it."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StepError, match=r"no `srun`(.|\n)*prologue"):
        step.start("A program", HERE, Order())
