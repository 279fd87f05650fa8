"""scheduler.slurm.adoption: whose sessions stay while a job on the node is ending."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from front.world import timeless

from remote_kernels.scheduler.job import JobId
from remote_kernels.scheduler.slurm.adoption import (
    APART,
    ENDING,
    AdoptingNode,
    SlurmAdoption,
    adopter,
)
from remote_kernels.scheduler.slurm.driver import Slurm

V1 = b"""\
4:memory:/slurm_c1/uid_20001/job_47/step_extern/task_0
1:name=systemd:/
"""
V2 = b"0::/system.slice/slurmstepd.scope/job_47/step_extern/user/task_0\n"
NONE = b"0::/user.slice/user-1000.slice/session-3.scope\n"


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(("said", "job"), [(V1, "47"), (V2, "47"), (NONE, "")])
def test_the_job(said: bytes, job: str) -> None:
    """As either version of control groups tells it."""
    assert SlurmAdoption(AdoptingNode(), "1").is_told(said)
    assert job == adopter(said)


def test_what_a_shell_says_first() -> None:
    """It is not taken for the answer."""
    assert not SlurmAdoption(AdoptingNode(), "1").is_told(b"Welcome to c1\n")


@timeless
async def test_no_doubt() -> None:
    """As long as no job has taken a session along, nobody waits."""
    node, begun = AdoptingNode(), now()
    for _ in range(3):
        await node.look()

    assert not node.in_doubt
    assert now() - begun < APART


@timeless
async def test_a_job_that_is_ending() -> None:
    """Nobody stays with it."""
    node = AdoptingNode()
    node.ended("47")

    assert node.in_doubt
    assert not node.keeps("47")


@timeless
async def test_another_job_adopts() -> None:
    """The one that was ending is gone, and nobody waits any more."""
    node = AdoptingNode()
    node.ended("47")

    assert node.keeps("48")
    assert not node.in_doubt


@timeless
async def test_the_job_goes_on() -> None:
    """It was not the job that ended the session, or it has other cares."""
    node = AdoptingNode()
    node.ended("47")
    await asyncio.sleep(ENDING)

    assert not node.in_doubt
    assert node.keeps("47")


@timeless
async def test_one_look_at_a_time() -> None:
    """However many sessions were lost: between looks the job can end."""
    node, begun, looks = AdoptingNode(), now(), []
    node.ended("47")

    async def look() -> None:
        await node.look()
        looks.append(now() - begun)

    await asyncio.gather(*(look() for _ in range(20)))

    early = [at for at in looks if at < ENDING]
    apart = [late - soon for soon, late in itertools.pairwise(early)]
    assert min(early) >= APART
    assert min(apart) >= 0.9 * APART  # as noted, a little after each look
    assert len(early) >= ENDING / APART - 2
    assert max(looks) < ENDING + APART


@timeless
async def test_its_own_job() -> None:
    """Its end is the kernel's, and nobody is to be doubted for it."""
    adoption = Slurm().adoption("mars", "c1", JobId("47"))
    adoption.lost(V1)
    adoption.lost(NONE)
    adoption.lost(b"")

    assert not adoption.in_doubt


@timeless
async def test_all_carriers_to_a_node() -> None:
    """They know the same of it, and nothing of a node of that name elsewhere."""
    slurm, other = Slurm(), JobId("48")
    slurm.adoption("mars", "c1", JobId("46")).lost(V1)

    assert slurm.adoption("mars", "c1", other).in_doubt
    assert not slurm.adoption("mars", "c1", other).keeps(V2)
    assert not slurm.adoption("venus", "c1", other).in_doubt
