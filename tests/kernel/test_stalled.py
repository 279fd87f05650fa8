"""A file server that does not answer stops one kernel at most, and no other."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from scheduler.asking import job

from remote_kernels.errors import (
    RecordError,
    RemoteKernelError,
    TunnelError,
    UnknownError,
)
from remote_kernels.kernel import inventory, service
from remote_kernels.kernel.connection import Connection
from remote_kernels.kernel.connector import Connector
from remote_kernels.kernel.lifecycle import Event, State
from remote_kernels.kernel.news import News
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.waiting import Waiting
from remote_kernels.records import JobEnd
from remote_kernels.records import record as record_module
from remote_kernels.scheduler.job import JobStatus, Phase
from remote_kernels.worker import Worker

from .test_job import PLACE
from .test_shared_job import made as shared
from .test_waiting import Said
from .world import LAUNCH, World, hurry

SESSIONS = {"s": {"path": "a.ipynb", "name": "", "type": "notebook"}}
DETACHED = 2  # MNT_DETACH of umount2(2)
SECONDS = 10.0


@contextmanager
def frozen(directory: Path) -> Iterator[None]:
    """Whoever looks into it waits: a FUSE file system of which nobody answers.

    fuse(4): what asks waits for the server, which is us, until that closes the device;
    then it gets an error.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as exc:
        pytest.skip(f"no FUSE for us: {exc}")
    path, options = os.fsencode(directory), b"fd=%d,rootmode=40000,user_id=0,group_id=0"
    try:
        if libc.mount(b"frozen", path, b"fuse", 0, options % device) != 0:
            pytest.skip(f"no FUSE for us: {os.strerror(ctypes.get_errno())}")
        try:
            yield
        finally:
            libc.umount2(path, DETACHED)
    finally:
        os.close(device)


@pytest.mark.asyncio
async def test_another_kernel_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its start to its end; and the one whose record stalls is reached, too."""
    monkeypatch.setattr(record_module, "STALLED", 0.01)
    hurry(monkeypatch)
    stalled, other = World(tmp_path), World(tmp_path, "other")
    await stalled.run()

    with frozen(stalled.status.record.path):
        stalled.status.note_sessions(SESSIONS, "a.ipynb")
        stalled.tunnel.change(connected=False)
        await stalled.until(lambda: stalled.status.state is State.LOST)
        stalled.tunnel.change(connected=True)
        await asyncio.wait_for(other.run(), SECONDS)
        end = JobEnd("TIMEOUT", text="It ran out of time.")
        await asyncio.wait_for(other.actions.carry_out(Event.JOB_ENDED, end), SECONDS)
        await asyncio.wait_for(other.gone.wait(), SECONDS)
        await asyncio.wait_for(stalled.actions.carry_out(Event.JOB_ENDED, end), SECONDS)

    assert [News.LOST, News.RESUMED, News.ENDED] == stalled.news[-3:]
    assert [News.ATTACHED, News.ENDED] == other.news[-2:]
    await asyncio.wait_for(stalled.gone.wait(), SECONDS)


@pytest.mark.asyncio
async def test_a_shared_job_s_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes into the job waits, who leaves it, too; all others go on."""
    hurry(monkeypatch)
    coming, leaving, other = shared(tmp_path), shared(tmp_path, "l"), World(tmp_path)
    coming.place.make("members")
    leaving.place.member("l").touch()

    with frozen(coming.place.path):
        waits = [
            asyncio.ensure_future(work)
            for work in (
                coming.submit(LAUNCH),
                coming.agent(lambda status: None),
                leaving.cancel(),
            )
        ]
        await asyncio.wait_for(other.run(), SECONDS)
        await asyncio.wait_for(other.actions.carry_out(Event.DETACH), SECONDS)
        assert not any(work.done() for work in waits)
        for work in waits:
            work.cancel()
    await asyncio.wait(waits, timeout=SECONDS)
    assert all(work.done() for work in waits)


@pytest.mark.asyncio
async def test_a_kernel_that_is_shut_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job, and what it has here; its record goes as soon as that can be."""
    monkeypatch.setattr(record_module, "STALLED", 0.01)
    world = World(tmp_path)
    await world.run()
    record = world.status.record

    with frozen(record.path):
        await asyncio.wait_for(world.actions.carry_out(Event.RELEASE), SECONDS)
        assert "close" == world.local.did[-1]
    await asyncio.wait_for(record.worker.run(lambda: None), SECONDS)

    assert not record.path.exists()


@pytest.mark.asyncio
async def test_lists_of_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks is told so, however often; one thread waits for all of them."""
    looks, entries = [], inventory._entries

    def look(bases: tuple[Path, ...]) -> Any:
        looks.append(bases)
        return entries(bases)

    monkeypatch.setattr(inventory, "STALLED", 0.01)
    monkeypatch.setattr(inventory, "_entries", look)
    world, runtime = World(tmp_path), Runtime()
    await world.submit()
    base = world.status.record.base

    with frozen(world.status.record.path):
        for _ in range(5):
            with pytest.raises(UnknownError, match="file server does not answer"):
                await service.others(runtime, [base], [], 0.05)
        assert [(base,)] == looks

    await asyncio.wait_for(service.others(runtime, [base], [], None), SECONDS)


def unreached() -> Connection:
    """One that cannot be opened."""

    class Unreached:
        async def open(self, *args: object, take: bool) -> None:
            msg = "no answer"
            raise TunnelError(msg)

    return cast("Connection", Unreached())


@pytest.mark.asyncio
async def test_errors_that_quote_logs(tmp_path: Path) -> None:
    """Who is told of them waits for the logs, and all others do not."""
    stalled, other = World(tmp_path), World(tmp_path, "other")
    connection = await stalled.connect()
    connection.expect(1)
    status, settings = stalled.status, stalled.status.settings
    early = Said(JobStatus(job("7"), Phase.ENDED, "FAILED"))
    waiting = Waiting(job("7"), early, status.record, settings, lambda status: None)

    with frozen(status.record.path):
        errors = [
            asyncio.ensure_future(work)
            for work in (
                connection.await_running(0.0),
                Connector(status, stalled.job, PLACE, unreached()).open(take=True),
                waiting.agent(),
            )
        ]
        await asyncio.wait_for(other.run(), SECONDS)
        await asyncio.wait_for(other.actions.carry_out(Event.DETACH), SECONDS)
        assert not any(error.done() for error in errors)
    await asyncio.wait(errors, timeout=SECONDS)
    assert all(isinstance(error.exception(), RemoteKernelError) for error in errors)
    await stalled.actions.carry_out(Event.DETACH)


@pytest.mark.asyncio
async def test_what_is_written_while_it_stalls_comes_in_its_order(
    tmp_path: Path,
) -> None:
    """Once the file server answers again."""
    world = World(tmp_path)
    await world.run()
    record = world.status.record
    with frozen(record.path):
        stalls = record.worker.run(lambda: record.read("record.json"))
        waits = asyncio.ensure_future(stalls)
        await asyncio.wait((waits,), timeout=0.05)
        assert not waits.done()
        world.status.note_sessions(SESSIONS, "a.ipynb")
        world.status.note_sessions(SESSIONS, "b.ipynb")
    await asyncio.wait((waits,), timeout=SECONDS)
    waits.exception()  # what it got in the end is the kernel's affair
    await world.status.record.written()

    assert SESSIONS == record.sessions()
    assert "b.ipynb" == (record.read("record.json") or {})["notebook"]
    await world.actions.carry_out(Event.DETACH)


@pytest.mark.asyncio
async def test_a_worker() -> None:
    """One call after the other; each failure is told to who asked, if he still waits."""
    worker, done = Worker(), list[int]()

    def fail() -> None:
        raise RecordError("no")

    first = asyncio.ensure_future(worker.run(lambda: done.append(1)))
    failing = asyncio.ensure_future(worker.run(fail))
    forgotten = asyncio.ensure_future(worker.run(lambda: done.append(2)))
    await asyncio.sleep(0)
    forgotten.cancel()
    worker.post(lambda: done.append(3))

    await first
    with pytest.raises(RecordError):
        await failing
    assert 3 == await worker.run(lambda: len(done))
    assert [1, 2, 3] == done
