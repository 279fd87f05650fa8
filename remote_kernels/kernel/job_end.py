"""How a kernel's job, or our part in it, comes to its end. Called by supervision.py.

The scheduler is asked only when the session is silent for good or cannot be resumed;
all else is told by the agent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from remote_kernels.bounded import first_of
from remote_kernels.causes import EndCause
from remote_kernels.records import KERNEL_ENDED, UNKNOWN, JobEnd
from remote_kernels.scheduler import script
from remote_kernels.scheduler.driver import Driver
from remote_kernels.scheduler.job import JobStatus
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire.codes import Farewell, RefusalCode

from .lifecycle import Event

if TYPE_CHECKING:
    from .job import Job

NEWER = (Farewell.REPLACED, RefusalCode.UNKNOWN_SESSION)  # there is a newer session
TIMEOUT = 20.0  # seconds for the scheduler to say how a job ended


def end_of(driver: Driver, status: JobStatus | None, text: str) -> JobEnd:
    """Return the end that the scheduler's last word tells of, if it has said any."""
    if status is None:
        return JobEnd(UNKNOWN, text=text)
    cause = script.cause_of_exit(status.exit_code or 0) or driver.cause(status)
    if status.state == KERNEL_ENDED:
        cause = EndCause.FINISHED
    return JobEnd(status.state, status.exit_code, status.signal, text, cause)


async def until_the_end(
    tunnel: Tunnel, job: Job, tell: Callable[[Event], None]
) -> JobEnd:
    """Watch until the job has ended or another server has taken the kernel over.

    Parameters
    ----------
    tunnel:
        The session with its agent.
    job:
        The job.
    tell:
        Called with `Event.LOST` and `Event.RESUMED`.
    """
    while not tunnel.ended.done():
        await tunnel.lost()
        if not tunnel.ended.done():
            tell(Event.LOST)
        status: JobStatus | None = await first_of(job.ended(), tunnel.resumed())
        if status is not None:
            return await job.end("", status)
        if not tunnel.ended.done():
            tell(Event.RESUMED)
    over = tunnel.ended.result()
    if over.code in NEWER:
        return job.taken("another server has taken this kernel over")
    if over.code is Farewell.GIVEN_UP:  # in a shared job, which goes on
        return await job.end(over.text, None)
    status = await job.ended(TIMEOUT)
    return await job.end(over.text, status)
