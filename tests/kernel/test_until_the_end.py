"""How the end of a kernel's job is waited for, with a tunnel that breaks when told to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from scheduler.asking import job

from remote_kernels.config import parse
from remote_kernels.kernel.job import Job
from remote_kernels.kernel.job_end import until_the_end
from remote_kernels.kernel.lifecycle import Event
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.records import TAKEN, Record
from remote_kernels.scheduler.job import JobStatus, Phase
from remote_kernels.tunnel.tunnel import Over, Tunnel
from remote_kernels.wire.codes import Farewell, RefusalCode

CANCELLED = JobStatus(job("7"), Phase.ENDED, "CANCELLED")


class Breaking:
    """A tunnel's life: lost, resumed, lost, ..."""

    def __init__(self, losses: int, over: Over) -> None:
        self._over = over
        self.ended: asyncio.Future[Over] = asyncio.get_running_loop().create_future()
        self._losses = losses

    async def lost(self) -> None:
        if not self._losses:
            self.ended.set_result(self._over)
        self._losses -= 1

    async def resumed(self) -> None:
        await asyncio.sleep(0)


class Ending(Job):
    """A job that never ends, or has ended."""

    def __init__(self, directory: Path, status: JobStatus | None) -> None:
        super().__init__(
            Runtime(), parse({"scheduler": "local"}), Record(directory, "k")
        )
        self.id = job("7")
        self._ending = status

    async def ended(self, timeout: float = 1e9) -> JobStatus | None:
        if self._ending is None and timeout > 1e8:
            await asyncio.Event().wait()
        return self._ending


class LastWord(Ending):
    """A job whose end is known only to who asks for it."""

    async def ended(self, timeout: float = 1e9) -> JobStatus | None:
        await super().ended(timeout)
        return CANCELLED


async def told(losses: int, job: Job) -> list[Event]:
    heard: list[Event] = []
    over = Over("stopping", Farewell.ENDING)
    tunnel: Any = Breaking(losses, over)
    await until_the_end(cast("Tunnel", tunnel), job, heard.append)
    return heard


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "taken", "asked"),
    [
        (Farewell.REPLACED, True, False),
        (RefusalCode.UNKNOWN_SESSION, True, False),
        (Farewell.GIVEN_UP, False, False),
        (Farewell.ENDING, False, True),
        (RefusalCode.NO_KERNEL, False, True),
        (None, False, True),
    ],
)
async def test_the_code_decides(
    tmp_path: Path,
    code: Farewell | RefusalCode | None,
    taken: bool,
    asked: bool,
) -> None:
    """Not the text, which may say anything: taken, or dead, and who knows why."""
    tunnel: Any = Breaking(0, Over("replaced, given up, unknown-session", code))
    job = LastWord(tmp_path, None)

    end = await until_the_end(cast("Tunnel", tunnel), job, lambda word: None)

    assert taken == (end.word == TAKEN)
    assert asked == (end.word == CANCELLED.state)


@pytest.mark.asyncio
async def test_losses_are_told(tmp_path: Path) -> None:
    """Each one and its end; not the end of the session."""
    assert [Event.LOST, Event.RESUMED] * 2 == await told(2, Ending(tmp_path, None))


@pytest.mark.asyncio
async def test_nothing_is_resumed_after_the_end(tmp_path: Path) -> None:
    """The job ended while the session was silent."""
    assert [Event.LOST] == await told(2, Ending(tmp_path, CANCELLED))
