"""kernel.process_end: what is said of a process that ended, or did not come."""

from __future__ import annotations

import pytest

from remote_kernels.kernel.process_end import (
    death,
    not_listening,
    not_started,
    stood_still,
)
from remote_kernels.wire.codes import Cause, ProcessState
from remote_kernels.wire.control import KernelState

GOES_ON = "Its job goes on."


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            KernelState("k", 1, ProcessState.EXITED, exit_code=3),
            "ended with exit code 3.",
        ),
        (
            KernelState("k", 1, ProcessState.EXITED, signum=9),
            "ended by signal 9 (SIGKILL).",
        ),
        (
            KernelState("k", 1, ProcessState.EXITED, signum=99),
            "by signal 99 (unknown).",
        ),
        (
            KernelState(
                "k",
                1,
                ProcessState.EXITED,
                signum=9,
                cause=Cause.OUT_OF_MEMORY,
                detail="no",
            ),
            "more memory than it asked for",
        ),
    ],
)
def test_a_death(state: KernelState, said: str) -> None:
    """How it came, and that a restart needs no new job."""
    text = death(state, "c1")

    assert said in text
    assert text.startswith("The kernel's process on c1 ")
    assert text.endswith(GOES_ON)


@pytest.mark.parametrize(
    "state",
    [
        KernelState("k", 1, ProcessState.EXITED, exit_code=0),
        KernelState("k", 1, ProcessState.EXITED, signum=15, cause=Cause.ENDED),
    ],
)
def test_an_end_that_is_none_of_its_own(state: KernelState) -> None:
    """A cell that said exit() needs no explanation, and a job has its own end."""
    assert "" == death(state, "c1")


@pytest.mark.parametrize(
    ("cause", "detail", "lacks", "said", "unsaid"),
    [
        (Cause.NONE, "no such GPU", "", "on c1: no such GPU", "\n"),
        (Cause.NO_PROGRAM, "no python", "", "must be one that the node can", "lo is"),
        (Cause.NO_LOOPBACK, "no address", "", "interface lo is down", "argv"),
        (Cause.HIDDEN, "not seen", "/tmp/rk", "container around the kernel", "argv"),
    ],
)
def test_a_process_that_was_not_started(
    cause: Cause, detail: str, lacks: str, said: str, unsaid: str
) -> None:
    """What the agent said of it, and what helps against just that."""
    state = KernelState(
        "k", 1, ProcessState.FAILED, cause=cause, detail=detail, lacks=lacks
    )

    text = not_started(state, "c1", "py")

    assert text.startswith(f"The kernel could not be started on c1: {detail}")
    assert said in text
    assert unsaid not in text


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            KernelState("k", 1, ProcessState.EXITED, exit_code=2, output="oops"),
            "code 2",
        ),
        (
            KernelState("k", 1, ProcessState.EXITED, signum=11, output="oops"),
            "signal 11",
        ),
    ],
)
def test_a_process_that_ended_too_early(state: KernelState, said: str) -> None:
    """With what it wrote."""
    text = not_started(state, "c1", "py")

    assert f"before it was ready, with exit {said}. It wrote:\noops" in text


def test_a_process_that_ended_without_a_word() -> None:
    """That is said, too; and who lacks ipykernel is told how to get it."""
    silent = KernelState("k", 1, ProcessState.EXITED, exit_code=1)
    lacking = KernelState(
        *("k", 1, ProcessState.EXITED),
        exit_code=1,
        output="/usr/bin/python3: No module named ipykernel_launcher",
    )

    assert not_started(silent, "c1", "").endswith("(nothing)")
    assert "/usr/bin/python3 has no ipykernel" in not_started(lacking, "c1", "py")


def test_a_process_that_does_not_listen() -> None:
    """After how long, what to set, and the logs; without any it ends with the advice."""
    text = not_listening("c1", 2.5, "--- job.log\noops")

    assert "sockets within 2.5 s on c1" in text
    assert "'start_timeout'" in text
    assert text.endswith("--- job.log\noops")
    assert not_listening("c1", 2.5, "").endswith("what it waits for.")


def test_an_agent_that_stood_still() -> None:
    """Output may be missing, which nothing else would tell."""
    text = stood_still("c1", 12.4)

    assert "agent on c1 stood still for 12 s" in text
    assert "output may be missing" in text
