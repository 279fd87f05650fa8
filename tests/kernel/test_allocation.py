"""kernel.allocation: its directory, and who is in it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from remote_kernels.config import parse
from remote_kernels.kernel.allocation import SharedAllocation
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.shared_job import SharedJob
from remote_kernels.records import Record
from remote_kernels.scheduler.job import JobId
from remote_kernels.scheduler.jobs import Jobs

SECONDS = 10.0


@pytest.fixture
def generous() -> Iterator[None]:
    """A umask by which a group may write."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.mark.usefixtures("generous")
def test_nobody_else_may_write_there(tmp_path: Path) -> None:
    """The job runs what it finds there."""
    place = SharedAllocation(tmp_path / "state", "team")

    async def main() -> None:
        async with place.entered("k", Runtime()):
            pass

    asyncio.run(main())
    paths = place.path.parent, place.path, place.members
    assert [0o700] * 3 == [path.stat().st_mode & 0o777 for path in paths]


def test_a_new_job(tmp_path: Path) -> None:
    """Kernels of the one that ended are not started in it."""
    place = SharedAllocation(tmp_path, "team")

    async def main() -> None:
        runtime = Runtime()
        for kernel in ("old", "new"):
            async with place.entered(kernel, runtime):
                pass
        place.begin("new")

    asyncio.run(main())
    assert ["new"] == [member.name for member in place.members.iterdir()]


def test_loop_after_loop(tmp_path: Path) -> None:
    """A script may run one event loop after the other, kernels at once in each."""
    place = SharedAllocation(tmp_path, "team")

    async def enter(runtime: Runtime, kernel: str) -> None:
        async with place.entered(kernel, runtime):
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*map(partial(enter, Runtime()), "abc"))

    for _ in range(2):
        asyncio.run(main())


class Cancelling:
    """A queue that has been asked to cancel a job, and does so when it is let."""

    def __init__(self) -> None:
        self.asked, self.goes = asyncio.Event(), asyncio.Event()

    async def cancel(self, job_id: JobId) -> None:
        self.asked.set()
        await self.goes.wait()

    async def wait_ended(self, job_id: JobId, timeout: float) -> None:
        pass


def test_who_comes_while_the_last_one_leaves(tmp_path: Path) -> None:
    """He must not find a job that is about to be cancelled."""
    settings = parse({"scheduler": "local", "allocation": "team"})
    place = SharedAllocation(tmp_path, "team")

    async def main() -> None:
        runtime = Runtime()
        last = SharedJob(runtime, settings, Record(tmp_path, "last"), place)
        last.id = JobId("7")
        queue = Cancelling()
        last.jobs = cast("Jobs", queue)
        came = asyncio.Event()

        async def come() -> None:
            async with place.entered("next", runtime):
                came.set()

        async with place.entered("last", runtime):
            pass
        leaving = asyncio.create_task(last.cancel())
        await asyncio.wait_for(queue.asked.wait(), SECONDS)
        coming = asyncio.create_task(come())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not came.is_set()
        queue.goes.set()
        await asyncio.wait_for(asyncio.gather(leaving, coming), SECONDS)

    asyncio.run(main())
    assert ["next"] == [member.name for member in place.members.iterdir()]
