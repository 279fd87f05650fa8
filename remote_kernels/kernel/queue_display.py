"""Show the state of the queue while a job waits, and let the stand-in know its kernel.

Called by startup.py for as long as the kernel is not there.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from remote_kernels import harmless
from remote_kernels.agent.environment import filled
from remote_kernels.front.standin import StandIn
from remote_kernels.records import KernelInfoCache
from remote_kernels.wrapping import WIDTH, wrapped

from .launch import ProcessSpec
from .progress import progress
from .status import KernelStatus

log = harmless.logger(__name__)

FIRST_LOOK = 1.0  # seconds; a start on an idle cluster shows nothing
PATIENCE = 2.0  # seconds before a probe costs the login node an interpreter's start
SAY_STATE = 60.0  # seconds; servers cull kernels after minutes of silence

OnProgress = Callable[[list[str]], None]
# `introduce` for one kernel
Introduction = Callable[[], Coroutine[Any, Any, None]]

HINT = (
    "The cell runs as soon as the kernel is there. Interrupt cancels the cell; "
    "shutting the kernel down cancels the job."
)


@asynccontextmanager
async def queue_display(
    status: KernelStatus, introduction: Introduction, on_progress: OnProgress
) -> AsyncIterator[None]:
    """Keep people informed until the context is left.

    Parameters
    ----------
    status:
        What is known of the kernel; its job was submitted.
    introduction:
        Tells the stand-in about the kernel.
    on_progress:
        Called with the lines of progress.progress, less and less often.
    """
    tasks = [
        asyncio.create_task(_show(status, on_progress)),
        asyncio.create_task(introduction()),
    ]
    for task in tasks:
        task.add_done_callback(_note_failure)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _note_failure(task: asyncio.Task[None]) -> None:
    """Log a failure: people hear less then; the kernel starts all the same."""
    if not task.cancelled() and task.exception() is not None:
        log.error("%s failed", task.get_coro(), exc_info=task.exception())


async def _show(status: KernelStatus, on_progress: OnProgress) -> None:
    job, standin, since = status.job, status.here.standin, status.times["submitted"]
    assert job is not None
    assert job.id is not None
    said, was_silent = time.time(), False
    await asyncio.sleep(FIRST_LOOK - (said - since))
    while True:
        now = time.time()
        waited = now - since
        about, silent = status.job_status, job.is_unanswered
        if silent is not was_silent:
            was_silent = silent
            status.changed()
        lines = progress(job.id, job.driver, about, waited, now, unanswered=silent)
        standin.show(wrapped("\n".join([*lines, HINT]), WIDTH))
        on_progress(lines)
        if now - said > SAY_STATE:
            standin.say_state()
            said = now
        # A second looks alive; later, minutes matter.
        await asyncio.sleep(min(max(1.0, waited / 12), 15.0))


async def introduce(
    known: KernelInfoCache,
    process: ProcessSpec | None,
    standin: StandIn,
    directory: Path,
) -> None:
    """Tell the stand-in about its kernel, as soon as anything is known.

    Parameters
    ----------
    known:
        What such kernels said of themselves.
    process:
        What is to start, if it can be tried on this host.
    standin:
        Who answers for the kernel.
    directory:
        A private directory with a short path.
    """
    info = await asyncio.to_thread(known.recall)
    if info is None and process is not None:
        await asyncio.sleep(PATIENCE)
        from .probe import probe

        env = {**process.env, **filled(process.env_lines, os.environ)}
        info = await probe(list(process.argv), env, directory)
        if info is not None:
            await asyncio.to_thread(known.remember, info)
    if info is not None:
        standin.introduce(info)
