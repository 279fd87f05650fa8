"""agent.environment: a kernel sees some of the GPUs that its job has."""

from __future__ import annotations

import pytest

from remote_kernels.agent.environment import visible_gpus

CUDA = "CUDA_VISIBLE_DEVICES"
ROCR = "ROCR_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    ("wanted", "job", "seen"),
    [
        ("0", {CUDA: "2,3"}, {CUDA: "2"}),
        ("1", {CUDA: "2,3"}, {CUDA: "3"}),
        ("1,0", {CUDA: "2,3"}, {CUDA: "3,2"}),
        ("1", {CUDA: "0,1", ROCR: "4,5"}, {CUDA: "1", ROCR: "5"}),
        ("1", {CUDA: "MIG-a,MIG-b"}, {CUDA: "MIG-b"}),
        ("none", {CUDA: "0,1"}, {CUDA: ""}),
        ("none", {ROCR: "0"}, {ROCR: ""}),
        ("none", {}, {CUDA: ""}),
    ],
)
def test_what_is_seen(wanted: str, job: dict[str, str], seen: dict[str, str]) -> None:
    """Places in the job's own lists, in each that the job has."""
    assert seen == visible_gpus(wanted, {**job, "PATH": "/bin"})


@pytest.mark.parametrize(
    ("wanted", "job", "has"),
    [
        ("2", {CUDA: "0,1"}, 2),
        ("0", {}, 0),
        ("0,1", {CUDA: "0"}, 1),
        ("0", {CUDA: ""}, 0),
        ("0", {CUDA: "NoDevFiles"}, 0),
    ],
)
def test_what_the_job_lacks(wanted: str, job: dict[str, str], has: int) -> None:
    """It is said, with what there is."""
    with pytest.raises(OSError, match=f"has {has} on this node"):
        visible_gpus(wanted, job)
