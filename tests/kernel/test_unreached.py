"""kernel.unreached: a job that runs, and of which no answer comes."""

from __future__ import annotations

from scheduler.asking import job

from remote_kernels.kernel.unreached import no_answer
from remote_kernels.scheduler.local.driver import Local
from remote_kernels.scheduler.slurm.driver import Slurm


def test_ssh_alone() -> None:
    """Other ways may be open, and the way to try is one that anybody can run."""
    text = no_answer(["ssh"], "login1", "c1", job("7"), Slurm())

    assert "Job 7 runs on c1, but no answer gets from there to login1" in text
    assert "'carrier' auto" in text
    assert "\n  ssh c1 true\n" in text
    assert "srun" not in text


def test_every_way() -> None:
    """Each is to be tried, and what may be in the scheduler's is said."""
    text = no_answer(["ssh", "srun"], "login1", "c1", job("7"), Slurm())

    assert Slurm.way_back in text
    assert "\n  ssh c1 true\n" in text
    assert "hostname\n" in text
    assert "ssh and srun from login1 to c1 got no answer" in text
    assert "'carrier' auto" not in text


def test_a_way_that_nothing_is_known_of() -> None:
    """Only the command is named."""
    text = no_answer(["pipe"], "here", "here", job("7-1"), Local())

    assert "\n  hostname\n" in text
    assert "ssh here true" not in text
    assert "\n\n" not in text
