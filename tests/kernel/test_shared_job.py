"""kernel.shared_job: kernels that come into one job, and leave it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from scheduler.asking import job

from remote_kernels.config import parse
from remote_kernels.errors import (
    CommandError,
    ConfigError,
    RecordError,
    TunnelError,
)
from remote_kernels.kernel import allocation, shared_job
from remote_kernels.kernel.allocation import (
    SharedAllocation,
    allocation_of,
    allocations,
)
from remote_kernels.kernel.job import Job
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.shared_job import SharedJob, job_for
from remote_kernels.records import KERNEL_ENDED, MEMORY, Record
from remote_kernels.scheduler.job import JobStatus, Phase
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.slurm.driver import Slurm
from remote_kernels.wire.codes import RefusalCode
from remote_kernels.wire.hello import Refused

from .test_job import KERNEL, LAUNCH, PLACE, RUNNING, Queue

ENDED = JobStatus(job("7-7"), Phase.ENDED, "TIMEOUT")
OTHER = "another-kernel"
SECONDS = 10.0


def made(directory: Path, kernel: str = KERNEL, **config: Any) -> SharedJob:
    """One whose batch system is played."""
    settings = parse({"scheduler": "local", "allocation": "team", **config})
    record = Record(directory, kernel)
    record.create()
    of = job_for(Runtime(), settings, record, "team")
    assert isinstance(of, SharedJob)
    of.jobs = cast("Jobs", Queue())
    return of


def queue(of: SharedJob) -> Queue:
    return cast("Queue", of.jobs)


def read(of: SharedJob, name: str) -> dict[str, Any]:
    found = of.place.read(name)
    assert found is not None
    return found


@pytest.mark.asyncio
async def test_the_first_kernel_makes_the_job(tmp_path: Path) -> None:
    """And leaves in the allocation's directory what its agents need."""
    of = made(tmp_path, keep=120)

    await of.submit(LAUNCH)

    assert {"job_id": "7-7", "cluster": "big"}.items() <= read(
        of, "record.json"
    ).items()
    spec = read(of, "spec.json")
    assert ("team", 120, {}) == (spec["agent"], spec["keep"], spec["kernels"])
    assert ["bash"] == spec["shell"]
    assert of.secret == bytes.fromhex(spec["secret"])
    assert "bash" in (of.place.path / "node.sh").read_text()
    assert of.place.has_member(KERNEL)
    assert of.place.job_log == of._record.job_log.readlink()
    assert str(of.place.path) in queue(of).script
    assert ("team", of.place.job_name, []) == (of.allocation, of.name, of.cancel_argv)
    assert [of._record.path, of.place.member(KERNEL)] == of.traces


@pytest.mark.asyncio
async def test_the_next_kernel_finds_it(tmp_path: Path) -> None:
    """Nothing is submitted; both count."""
    first, second = made(tmp_path), made(tmp_path, OTHER)
    await first.submit(LAUNCH)

    await second.submit(LAUNCH)

    assert (first.id, "big") == (second.id, second.cluster)
    assert "" == queue(second).script
    assert first.secret == second.secret
    assert all(first.place.has_member(one) for one in (KERNEL, OTHER))


@pytest.mark.asyncio
async def test_a_job_that_has_ended(tmp_path: Path) -> None:
    """There is another one, with another secret, and without the old kernels."""
    first, second = made(tmp_path), made(tmp_path, OTHER)
    await first.submit(LAUNCH)
    secret = first.secret
    queue(second).status_now = ENDED

    await second.submit(LAUNCH)

    assert queue(second).script
    assert secret != second.secret
    assert [OTHER] == [path.name for path in second.place.members.iterdir()]


@pytest.mark.asyncio
async def test_another_cluster_with_the_same_home(tmp_path: Path) -> None:
    """Its job is out of reach, and must be given another name here."""
    first, second = made(tmp_path), made(tmp_path, OTHER)
    await first.submit(LAUNCH)
    first.place.write("record.json", {**read(first, "record.json"), "cluster": "small"})

    with pytest.raises(ConfigError, match="job 7-7 of cluster small, but this is clus"):
        await second.submit(LAUNCH)


@pytest.mark.asyncio
async def test_agents_on_other_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a batch system can start them, it is on record how."""
    of = made(tmp_path, prologue=["true"])
    monkeypatch.setattr(of, "driver", Slurm())

    spec, head = of._spec(), of._node_head()

    assert Slurm.by_name == spec["other_nodes"]["by_name"]
    assert Slurm.by_number == spec["other_nodes"]["by_number"]
    assert Slurm().node_head() == head
    assert ["bash", "-l"] == spec["shell"]


class Played:
    """A session with the job's first agent, by what it says."""

    answer: Exception | None = None
    closed = 0

    def __init__(self, carriers: object, secret: bytes, *_: object, **__: str) -> None:
        assert secret

    async def open(self) -> None:
        if self.answer is not None:
            raise self.answer

    async def close(self) -> None:
        Played.closed += 1


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> type[Played]:
    monkeypatch.setattr(shared_job, "Tunnel", Played)
    monkeypatch.setattr(Played, "closed", 0)
    return Played


async def agent(of: SharedJob, on_asked: Callable[[], None] = lambda: None) -> Any:
    await of.submit(LAUNCH)

    def heard(status: JobStatus) -> None:
        on_asked()

    return await asyncio.wait_for(of.agent(heard), SECONDS)


@pytest.mark.asyncio
async def test_the_agent_of_all(tmp_path: Path) -> None:
    """A kernel that wants no node of its own goes there."""
    of = made(tmp_path)

    found = await agent(of, lambda: of.place.write("agent.json", PLACE))

    assert "c1" == found["node"]


@pytest.mark.asyncio
async def test_an_agent_that_is_on_the_node_already(tmp_path: Path) -> None:
    """It is asked for nothing."""
    of = made(tmp_path, node="c2")
    await of.submit(LAUNCH)
    of.place.write("nodes/c2.json", {**PLACE, "node": "c2"})

    found = await of.agent(lambda status: None)

    assert "c2" == found["node"]


@pytest.mark.asyncio
@pytest.mark.parametrize("elsewhere", [True, False])
async def test_an_agent_that_is_asked_to_start_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    session: type[Played],
    elsewhere: bool,
) -> None:
    """On another node, which reports in the kernel's record; or it takes the kernel."""
    answer = Refused(RefusalCode.ELSEWHERE, "on c2") if elsewhere else None
    monkeypatch.setattr(session, "answer", answer)
    of = made(tmp_path, node="c2")
    of._record.write("agent.json", {**PLACE, "node": "c2"})

    found = await agent(of, lambda: of.place.write("agent.json", PLACE))

    assert ("c2" if elsewhere else "c1") == found["node"]
    assert (0 if elsewhere else 1) == session.closed


@pytest.mark.asyncio
async def test_a_node_that_is_none_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: type[Played]
) -> None:
    """The agent says so, and the kernel does not come."""
    answer = Refused(RefusalCode.NO_KERNEL, "c9 is no node of this job")
    monkeypatch.setattr(session, "answer", answer)
    of = made(tmp_path, node="c9")

    with pytest.raises(TunnelError, match="c9 is no node of this job"):
        await agent(of, lambda: of.place.write("agent.json", PLACE))


@pytest.mark.asyncio
async def test_the_job_ends(tmp_path: Path) -> None:
    """For its scheduler, and so for each kernel."""
    of = made(tmp_path)
    await of.submit(LAUNCH)
    queue(of).status_now = ENDED

    assert ENDED == await asyncio.wait_for(of.ended(1.0), SECONDS)
    queue(of).status_now = RUNNING
    assert await asyncio.wait_for(of.ended(0.01), SECONDS) is None


@pytest.mark.asyncio
async def test_the_agent_on_the_kernel_s_node_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves its last word; the job goes on."""
    monkeypatch.setattr(shared_job, "LOOK", 0.01)
    of = made(tmp_path)
    await of.submit(LAUNCH)
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(queue(of), "wait_ended", lambda *args: never)
    ending = asyncio.ensure_future(of.ended())
    await asyncio.sleep(0)

    of._record.write("ended.json", {"reason": "nobody asked for it"})
    status = await asyncio.wait_for(ending, SECONDS)

    assert status is not None
    assert (Phase.ENDED, KERNEL_ENDED) == (status.phase, status.state)
    why = "Job 7-7: The kernel ended: nobody asked for it. The job goes on."
    assert why == (await of.end("", status)).text


@pytest.mark.asyncio
async def test_why_the_whole_job_ended(tmp_path: Path) -> None:
    """Where the kernel's own agent left no word."""
    of = made(tmp_path)

    assert "nothing says how it ended" in of.why_ended("", ENDED)


@pytest.mark.asyncio
async def test_who_leaves_last(tmp_path: Path) -> None:
    """Takes along a job that no agent would end, and not before."""
    first, second = made(tmp_path), made(tmp_path, OTHER)
    await first.submit(LAUNCH)
    await second.submit(LAUNCH)

    assert await first.cancel() is None
    assert [] == queue(first).cancelled
    assert await second.cancel() is None

    assert [job("7-7")] == queue(second).cancelled
    assert not second.place.path.exists()


@pytest.mark.asyncio
async def test_who_leaves_last_a_job_with_an_agent(tmp_path: Path) -> None:
    """That one ends it; a kernel that leaves does not count, whatever it says before."""
    of = made(tmp_path)
    await of.submit(LAUNCH)
    of.place.write("agent.json", PLACE)

    of.leave()

    assert not of.place.has_member(KERNEL)
    assert await of.cancel() is None
    assert [] == queue(of).cancelled
    assert of.place.path.exists()


@pytest.mark.asyncio
async def test_a_job_that_cannot_be_cancelled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked hears it; a directory that cannot be used is only said."""
    of = made(tmp_path)
    await of.submit(LAUNCH)
    error = queue(of).fails = CommandError("No.", ["cancel"], 1)
    assert error is await of.cancel()

    async def refuse(*_: object) -> bool:
        msg = "no room"
        raise RecordError(msg)

    monkeypatch.setattr(of.place, "give_up", refuse)
    assert await of.cancel() is None
    assert "not cancelled: no room" in caplog.text


def test_a_job_of_its_own(tmp_path: Path) -> None:
    """Of a kernel that names no allocation."""

    async def main() -> Job:
        settings = parse({"scheduler": "local"})
        return job_for(Runtime(), settings, Record(tmp_path, KERNEL), None)

    assert not isinstance(asyncio.run(main()), SharedJob)


def test_no_allocation_there(tmp_path: Path) -> None:
    """Nobody has the job's secret then."""
    record = Record(tmp_path, KERNEL)
    record.create()
    assert allocation_of(record) is None
    record.write("record.json", {"job_id": "7-7", "allocation": "team"})
    found = allocation_of(record)
    assert found is not None
    assert "team" == found.name

    async def main() -> None:
        settings = parse({"scheduler": "local"})
        with pytest.raises(RecordError, match="There is no allocation in"):
            assert SharedJob(Runtime(), settings, record, found).secret

    asyncio.run(main())


# Its directory


@pytest.mark.asyncio
async def test_who_waits_for_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is tried again until it is let go; in the end that is an error."""
    monkeypatch.setattr(allocation, "LOCK_TIMEOUT", 0.0)
    place = SharedAllocation(tmp_path, "team")
    tries = 0

    def taken(file: object, how: int) -> None:
        nonlocal tries
        tries += 1
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "lockf", taken)
        with pytest.raises(RecordError, match="Cannot share an allocation in"):
            async with place.entered("k", Runtime()):
                raise AssertionError

    assert tries in (1, 2)
    async with place.entered("k", Runtime()):
        assert place._lock is not None
    assert place._lock is None


@pytest.mark.asyncio
async def test_a_directory_that_is_removed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the agent, as it ended: the lock is of a file that is gone, and made anew."""
    place = SharedAllocation(tmp_path, "team")
    lockf = fcntl.lockf

    def removed(file: object, how: int) -> None:
        monkeypatch.setattr(fcntl, "lockf", lockf)
        (place.path / "lock").unlink()
        (place.path / "lock").touch()

    monkeypatch.setattr(fcntl, "lockf", removed)
    async with place.entered("k", Runtime()):
        assert place.has_member("k")
        assert fcntl.lockf is lockf


@pytest.mark.asyncio
async def test_who_is_cancelled_while_he_waits_for_the_file_server(
    tmp_path: Path,
) -> None:
    """Nobody has the lock then."""
    place, goes = SharedAllocation(tmp_path, "team"), threading.Event()
    place.worker.post(lambda: goes.wait(SECONDS))
    entering = asyncio.ensure_future(entered(place))
    await asyncio.sleep(0)
    entering.cancel()
    goes.set()
    await asyncio.wait((entering,))

    assert place.has_member("k")
    assert place._lock is None


async def entered(place: SharedAllocation) -> None:
    async with place.entered("k", Runtime()):
        await asyncio.Event().wait()


def test_old_allocations(tmp_path: Path) -> None:
    """Nobody has been in them for a day and as long as they keep a job."""
    gone, kept, used = (
        SharedAllocation(tmp_path, name) for name in ("gone", "kept", "used")
    )
    for place in (gone, kept, used):
        place.make("members")
    kept.write("spec.json", {"secret": "00", "keep": 3600})
    used.member(KERNEL).touch()
    record = Record(tmp_path, KERNEL)
    record.create()
    record.write("spec.json", {"secret": "00"})
    old = gone.members.stat().st_mtime - MEMORY - 1800
    for place in (gone, kept, used):
        set_back(place.members, old)

    for place in allocations(tmp_path):
        place.purge_if_old()

    assert ["kept", "used"] == [place.name for place in allocations(tmp_path)]


def set_back(path: Path, moment: float) -> None:
    os.utime(path, (moment, moment))


def test_an_allocation_that_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays, and nobody counts as being in it."""
    caplog.set_level("INFO", "remote_kernels")
    place = SharedAllocation(tmp_path, "team")
    place.make()

    place.purge_if_old()

    assert "members" in caplog.text
    assert place.path.exists()
    assert not place.has_member("k")
    assert not place.leave("k")
