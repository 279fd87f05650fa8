"""kernel.reach: coming back to an agent, past whoever else may have its kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from scheduler.asking import job

from remote_kernels.config import parse
from remote_kernels.errors import TunnelError
from remote_kernels.kernel.connection import Connection
from remote_kernels.kernel.job import Job
from remote_kernels.kernel.job_end import End
from remote_kernels.kernel.reach import Reach
from remote_kernels.kernel.status import KernelStatus
from remote_kernels.records import Record
from remote_kernels.scheduler.job import JobStatus, Phase
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire.codes import Refusal
from remote_kernels.wire.hello import Refused

CANCELLED = JobStatus(job("7"), Phase.ENDED, "CANCELLED")
AGENT = {
    "node": "n",
    "hostname": "n",
    "socket": "s",
    "python": "python3",
    "pyz": "a",
}


class Answers:
    """A connection, by what comes of each attempt to open it; the last again."""

    carrier = None

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)

    async def open(self, *args: object, take: bool) -> object:
        assert not take
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Looked(Job):
    """A job, by what is found at each look."""

    def __init__(self, directory: Path, *statuses: JobStatus | None) -> None:
        super().__init__(parse({"scheduler": "local"}), Record(directory, "k"))
        self.id = job("7")
        self._statuses = list(statuses)

    async def ended(self, timeout: float = 1e9) -> JobStatus | None:
        return self._statuses.pop(0) if self._statuses else None


class Reached(Tunnel):
    """One that is open."""

    def __init__(self) -> None:
        self.rejected = {}


async def again(
    directory: Path,
    answers: Sequence[object],
    *statuses: JobStatus | None,
    dead_after: float = 0.01,
) -> Tunnel | End:
    settings = parse({"state_dir": str(directory), "dead_after": dead_after})
    status = KernelStatus(
        "k", settings, "", "", outlives=True, on_news=lambda action, view, text: None
    )
    connection: Any = Answers(*answers)
    reach = Reach(
        status,
        Looked(directory, *statuses),
        AGENT,
        cast("Connection", connection),
    )
    return await asyncio.wait_for(reach.again(), 10.0)


@pytest.mark.asyncio
async def test_a_node_that_answers_again(tmp_path: Path) -> None:
    """However often it did not."""
    found = await again(tmp_path, [TunnelError("no"), Reached()])

    assert isinstance(found, Reached)


@pytest.mark.asyncio
async def test_a_job_that_ended_meanwhile(tmp_path: Path) -> None:
    """Nobody is looked for any more."""
    found = await again(tmp_path, [TunnelError("no")], None, CANCELLED)

    assert isinstance(found, End)
    assert CANCELLED == found.status
    assert not found.taken


@pytest.mark.asyncio
async def test_another_server_was_faster(tmp_path: Path) -> None:
    """The kernel is its; ours is over, but nobody may seal or remove the record."""
    found = await again(tmp_path, [Refused(Refusal.IN_USE, "just now")])

    assert isinstance(found, End)
    assert "Another server has kernel k" in found.text
    assert found.taken


@pytest.mark.asyncio
async def test_another_server_that_answers_is_believed_at_once(tmp_path: Path) -> None:
    """Heard since we asked first, it lives; heard before, it may just have died."""
    heard = [Refused(Refusal.IN_USE, "", s) for s in (4.0, 0.3, 0.1)]

    found = await again(tmp_path, heard, dead_after=60)

    assert isinstance(found, End)
    assert found.taken


@pytest.mark.asyncio
async def test_another_server_that_died_is_not_believed(tmp_path: Path) -> None:
    """It is silent since we asked first, and soon has the kernel no more."""
    silent = [Refused(Refusal.IN_USE, "", s) for s in (0.1, 0.5, 0.9)]

    found = await again(tmp_path, [*silent, Reached()], dead_after=60)

    assert isinstance(found, Reached)


@pytest.mark.asyncio
async def test_the_agent_does_not_give_it(tmp_path: Path) -> None:
    """No other server has it then: how it ended is to be told."""
    no = Refused(Refusal.NO_KERNEL, "kernel k has ended")
    found = await again(tmp_path, [no], None, CANCELLED)

    assert isinstance(found, End)
    assert not found.taken
