"""How a job that waits stands, in words for the person who waits. Pure.

Called by queue_display.py.
"""

from __future__ import annotations

import time

from remote_kernels import spans
from remote_kernels.scheduler.driver import Driver
from remote_kernels.scheduler.job import JobId, JobStatus, Phase


def progress(
    job_id: JobId,
    driver: Driver,
    status: JobStatus | None,
    waited: float,
    now: float,
    *,
    unanswered: bool = False,
) -> list[str]:
    """Return what is said below a cell, by line; the first can stand alone.

    Parameters
    ----------
    job_id:
        The job.
    driver:
        For its scheduler's words.
    status:
        The scheduler's last word, None before the first.
    waited:
        Seconds since its submission.
    now:
        Seconds since the epoch.
    unanswered:
        Whether the scheduler did not answer the last time.
    """
    job = f"Job {job_id}"
    since = f"waited {spans.say(waited)} so far"
    if unanswered and (status is None or status.phase is Phase.PENDING):
        silent = f"{driver.title} does not answer at the moment, and is asked again"
        return [f"{job} waits, for all we know: {silent}; {since}."]
    if status is None:
        return [f"{job} is submitted ({since})."]
    if status.phase is not Phase.PENDING:
        where = f" on {status.node}" if status.node else ""
        if status.phase is Phase.RUNNING:
            return [f"{job} runs{where}; the kernel is starting ({since})."]
        return [f"{job}{where} is {status.state}{_reason(status)} ({since})."]
    lines = [f"{job} waits: {driver.pending_text(status)}; {since}."]
    lines += filter(None, (_when(status, now), driver.pending_advice(status)))
    return lines


def _reason(status: JobStatus) -> str:
    return f" ({status.reason})" if status.reason else ""


def _when(status: JobStatus, now: float) -> str:
    """Return the scheduler's guess; one that lies in the past is none."""
    parts = []
    if status.place is not None:
        parts.append(f"It is number {status.place} in its queue.")
    if status.start_time is not None and status.start_time > now:
        left = spans.say(status.start_time - now)
        parts.append(
            f"Expected to start at {clock(status.start_time, now)}, in {left}."
        )
    return " ".join(parts)


def clock(moment: float, now: float) -> str:
    """Return the time of day, with the date unless it is today's."""
    there, here = time.localtime(moment), time.localtime(now)
    same_day = there[:3] == here[:3]
    return time.strftime("%H:%M" if same_day else "%a %d %b, %H:%M", there)
