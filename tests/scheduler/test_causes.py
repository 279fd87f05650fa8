"""Why jobs ended, as programs are told it: on captured answers, and by each driver's words."""

from __future__ import annotations

from typing import cast

import pytest

from remote_kernels import shapes
from remote_kernels.causes import EndCause
from remote_kernels.records import JobEnd
from remote_kernels.scheduler.driver import Ends
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.job import JobId, JobStatus, Phase
from scheduler.asking import how_it_ended
from scheduler.captured import captured

CAPTURED = [
    ("slurm", "22.05", "scontrol-completed", "", EndCause.FINISHED),
    ("slurm", "26.05", "scontrol-failed", "", EndCause.FAILED),
    ("slurm", "24.11", "scontrol-signalled", "", EndCause.KILLED),
    ("slurm", "26.05", "scontrol-cancelled", "", EndCause.CANCELLED),
    ("slurm", "26.05", "scontrol-timeout", "", EndCause.TIME),
    ("slurm", "22.05", "scontrol-out-of-memory", "", EndCause.MEMORY),
    ("slurm", "22.05", "scontrol-node-fail", "", EndCause.NODE),
    ("gridengine", "gridengine-8.1.9", "qacct-ok", "68", EndCause.FINISHED),
    ("gridengine", "gridengine-8.1.9", "qacct-7", "69", EndCause.FAILED),
    ("gridengine", "gridengine-8.1.9", "qacct-time", "65", EndCause.TIME),
    ("gridengine", "gridengine-8.1.9", "qacct-memory-together", "79", EndCause.MEMORY),
    ("gridengine", "gridengine-8.1.9", "qacct-cancelled", "73", EndCause.CANCELLED),
    ("gridengine", "gridengine-8.1.9", "qacct-killed", "57", EndCause.KILLED),
    ("gridengine", "gridengine-8.1.9", "qacct-prolog", "92", EndCause.START),
]
SAID = [
    ("slurm", "CANCELLED by 1000", "", EndCause.CANCELLED),
    ("slurm", "PREEMPTED", "", EndCause.PREEMPTED),
    ("slurm", "FAILED", "TimeLimit", EndCause.TIME),
    ("slurm", "FAILED", "launch failed requeued held", EndCause.START),
    ("htcondor", "HELD 46", "The job exceeded", EndCause.TIME),
    ("htcondor", "HELD 34", "", EndCause.MEMORY),
    ("htcondor", "REMOVED", "via condor_rm", EndCause.CANCELLED),
    ("htcondor", "EVICTED", "", EndCause.PREEMPTED),
    ("oar", "Error", "WALLTIME", EndCause.TIME),
    ("oar", "Error", "FRAG_JOB_REQUEST by alice", EndCause.CANCELLED),
    ("oar", "Error", "BESTEFFORT_KILL", EndCause.PREEMPTED),
    ("pbs", "F -29", "", EndCause.TIME),
    ("pbs", "F -27", "", EndCause.MEMORY),
    ("pbs", "F deleted", "", EndCause.CANCELLED),
    ("torque", "C -11", "", EndCause.TIME),
    ("torque", "C", "", EndCause.CANCELLED),
    ("lsf", "EXIT", "TERM_RUNLIMIT: job killed after it ran too long", EndCause.TIME),
    ("lsf", "EXIT", "TERM_MEMLIMIT", EndCause.MEMORY),
    ("lsf", "EXIT", "TERM_PREEMPT", EndCause.PREEMPTED),
    ("flux", "TIMEOUT", "timeout: resource allocation expired", EndCause.TIME),
    ("flux", "FAILED", "alloc: unsatisfiable request", EndCause.START),
    ("local", "CANCELLED", "", EndCause.CANCELLED),
    ("slurm", "A_NEW_STATE", "NewReason", EndCause.UNKNOWN),
    ("lsf", "EXIT", "TERM_NEW", EndCause.UNKNOWN),
]


@pytest.mark.parametrize(("name", "of", "answer", "number", "cause"), CAPTURED)
def test_as_captured(
    name: str, of: str, answer: str, number: str, cause: EndCause
) -> None:
    """Each of these ends has its cause."""
    driver, done = DRIVERS[name], captured(answer, of)

    status = how_it_ended(cast("Ends", driver), done, number or done.argv[-1])

    assert status is not None
    assert cause is driver.cause(status)


@pytest.mark.parametrize(("name", "state", "reason", "cause"), SAID)
def test_by_its_words(name: str, state: str, reason: str, cause: EndCause) -> None:
    """By the state, or the reason, or the first word of either; a new one is unknown."""
    status = JobStatus(JobId("1"), Phase.ENDED, state, reason)

    assert cause is DRIVERS[name].cause(status)


def test_a_cause_of_another_version() -> None:
    """Is unknown, as is none."""
    assert EndCause.TIME is EndCause.read("time")
    assert [EndCause.UNKNOWN] * 2 == [EndCause.read("boredom"), EndCause.read("")]
    old = {"word": "FAILED", "exit_code": 1, "signal": None, "text": "It failed."}
    record = shapes.shaped("record.json", {"end": old})
    assert JobEnd("FAILED", 1, None, "It failed.") == JobEnd.read(record)
