"""kernel.progress: the words for a person who waits."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from scheduler.asking import job

from remote_kernels.kernel.progress import clock, progress
from remote_kernels.scheduler.job import JobStatus, Phase
from remote_kernels.scheduler.slurm.driver import Slurm

NOW = time.mktime((2026, 11, 21, 12, 0, 0, 0, 0, -1))
PENDING = JobStatus(job("17;big"), Phase.PENDING, "PENDING", "Priority")


def said(status: JobStatus | None, waited: float = 75, **more: bool) -> list[str]:
    return progress(job("17;big"), Slurm(), status, waited, NOW, **more)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (None, "Job 17 is submitted (waited 1 min 15 s so far)."),
        (
            JobStatus(job("17"), Phase.RUNNING, "RUNNING", node="c1"),
            "Job 17 runs on c1; the kernel is starting (waited 1 min 15 s so far).",
        ),
        (
            JobStatus(job("17"), Phase.RUNNING, "RUNNING"),
            "Job 17 runs; the kernel is starting (waited 1 min 15 s so far).",
        ),
        (
            JobStatus(job("17"), Phase.SUSPENDED, "SUSPENDED", node="c1"),
            "Job 17 on c1 is SUSPENDED (waited 1 min 15 s so far).",
        ),
        (
            JobStatus(job("17"), Phase.UNKNOWN, "DREAMING", "Sheep"),
            "Job 17 is DREAMING (Sheep) (waited 1 min 15 s so far).",
        ),
        (
            JobStatus(job("17"), Phase.ENDED, "FAILED", "NonZeroExitCode", "c1"),
            "Job 17 on c1 is FAILED (NonZeroExitCode) (waited 1 min 15 s so far).",
        ),
    ],
)
def test_a_job_that_does_not_wait(status: JobStatus | None, line: str) -> None:
    """One line: what it does, and how long it has taken so far."""
    assert [line] == said(status)


def test_a_job_that_waits() -> None:
    """What it waits for, and what can be done about that."""
    first, advice = said(PENDING)

    expected = (
        "Job 17 waits: other jobs are ahead in the queue (Priority); "
        "waited 1 min 15 s so far."
    )
    assert expected == first
    assert Slurm().pending_advice(PENDING) == advice


@pytest.mark.parametrize("status", [PENDING, None])
def test_a_scheduler_that_does_not_answer(status: JobStatus | None) -> None:
    """One line says so, and nothing of what was true before."""
    expected = (
        "Job 17 waits, for all we know: Slurm does not answer at the moment, and is "
        "asked again; waited 1 min 15 s so far."
    )
    assert [expected] == said(status, unanswered=True)


def test_a_job_that_runs_while_nobody_answers() -> None:
    """Its own word is enough."""
    running = JobStatus(job("17"), Phase.RUNNING, "RUNNING", node="c1")

    assert said(running) == said(running, unanswered=True)


def test_a_job_of_which_nothing_more_is_known() -> None:
    """One line; there is none that is empty."""
    assert 1 == len(said(replace(PENDING, reason="None")))


@pytest.mark.parametrize(
    ("place", "start", "line"),
    [
        (3, None, "It is number 3 in its queue."),
        (None, NOW + 3720, "Expected to start at 13:02, in 1 h 2 min."),
        (None, NOW + 86400, "Expected to start at Sun 22 Nov, 12:00, in 1 day."),
        (
            1,
            NOW + 60,
            "It is number 1 in its queue. Expected to start at 12:01, in 1 min.",
        ),
    ],
)
def test_when_it_will_start(place: int | None, start: float | None, line: str) -> None:
    """As far as the scheduler says."""
    assert line == said(replace(PENDING, place=place, start_time=start))[1]


@pytest.mark.parametrize("start", [NOW, NOW - 1])
def test_a_start_that_should_have_been(start: float) -> None:
    """A guess that has not come true is not shown."""
    assert said(PENDING) == said(replace(PENDING, start_time=start))


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (11.9, "23:54"),
        (12, "Sun 22 Nov, 00:00"),
        (-13, "Fri 20 Nov, 23:00"),
        (24 * 365, "Sun 21 Nov, 12:00"),
    ],
)
def test_a_time_of_another_day_has_its_date(hours: float, text: str) -> None:
    """Also the same day of another year."""
    assert text == clock(NOW + hours * 3600, NOW)
