"""Warnings before a job's time limit. Called by supervision.py."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from functools import partial

from remote_kernels import harmless
from remote_kernels.errors import CommandError
from remote_kernels.scheduler.job import JobStatus, Phase

from .job import Job

log = harmless.logger(__name__)

FIRST = (1.0, 10.0)  # seconds until the first question: thirty students start at once
AGAIN = (30.0, 60.0)  # seconds until the next one when the controller is silent
LATE = 0.9  # of the job's time: who starts one of 10 minutes needs no warning at once
MOVED = 30.0  # seconds by which an end is another one
AT_MOST = 1800.0  # seconds between questions: an administrator may move the end


async def mind_time_limit(
    job: Job,
    warn_before: Sequence[float],
    tell: Callable[[str, Callable[[], bool]], None],
) -> None:
    """Tell of the coming end; returns when there is nothing left to tell.

    After the last warning it looks again when the end is there: if that was moved, it
    is warned of anew.

    Parameters
    ----------
    job:
        Asked once if its end is not known yet, again before each warning, at least each
        half hour, and at the end.
    warn_before:
        When to warn: seconds before the end.
    tell:
        Called with the text, and with what says whether it holds.
    """
    told, told_of = float("inf"), 0.0
    status = job.status
    pause = random.uniform(*FIRST)  # noqa: S311
    while True:
        if (
            status is None
            or status.phase is not Phase.RUNNING
            or status.end_time is None
        ):
            await asyncio.sleep(pause)
            try:
                status = await job.ask()
            except CommandError as exc:
                log.info("job=%s no time limit known yet: %s", job.id, exc)
                pause = random.uniform(*AGAIN)  # noqa: S311
                continue
        end = status.end_time
        if end is None and status.phase is Phase.SUSPENDED:  # its time stands still
            pause = random.uniform(*AGAIN)  # noqa: S311
            continue
        if end is None:  # no limit
            return
        left = end - time.time()
        spans = _spans(warn_before, _whole(status))
        if end > told_of + MOVED:
            told = float("inf")
        due = [seconds for seconds in spans if left <= seconds < told]
        if due and left > 0:
            told, told_of = min(due), end
            tell(_warning(str(job.id), left, end), partial(_holds, job, end))
        ahead = [seconds for seconds in spans if seconds < min(left, told)]
        if not spans or left <= 0:
            return
        pause = min(left - max(ahead, default=0.0), AT_MOST) + 0.5
        status = None


def _holds(job: Job, end: float) -> bool:
    """Whether the end is still there, as far as we have heard."""
    now = None if job.status is None else job.status.end_time
    return now is None or now <= end + MOVED


def _spans(warn_before: Sequence[float], whole: float) -> list[float]:
    """Return the warnings that fit into such a job; if none does, one at its half."""
    fit = [seconds for seconds in warn_before if seconds < LATE * whole]
    return fit or [whole / 2 for _ in warn_before[:1]]


def _whole(status: JobStatus) -> float:
    """Return how long the job may run in all, in seconds."""
    if status.start_time is None or status.end_time is None:
        return float("inf")
    return status.end_time - status.start_time


def _warning(job_id: str, left: float, end: float) -> str:
    clock = time.strftime("%H:%M", time.localtime(end))
    count, unit = (left / 60, "minute") if left >= 90 else (left, "second")
    unit += "s" * (round(count) != 1)
    return (
        f"{count:.0f} {unit} left: job {job_id} reaches its time limit at {clock}, and "
        "the kernel's memory goes with it. Save what you need; ask for more 'time' in "
        "the kernelspec for the next one."
    )
