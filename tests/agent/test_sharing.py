"""agent.sharing: who is in a shared job, and until when."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from remote_kernels.agent import endpoint
from remote_kernels.agent.sharing import Sharing

from .shared import SECONDS, Place, until

pytestmark = pytest.mark.asyncio

HOLD = """
import fcntl, sys
with open(sys.argv[1], "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("RK_JOB_ID", "RK_NODE"):
        monkeypatch.delenv(name, raising=False)
    return Place(tmp_path)


def sharing(place: Place, node: str = "") -> Sharing:
    return Sharing(place.spec, str(place.path), node)


class Running:
    """What `Sharing.run` does: whom it lets in, and when it ends."""

    def __init__(self) -> None:
        self.joined: list[str] = []
        self.looks = 0
        self.is_busy = False

    def busy(self) -> bool:
        self.looks += 1
        return self.is_busy

    async def look(self) -> None:
        """It has looked once more, from the beginning to the end."""
        seen = self.looks
        await until("two looks", lambda: self.looks >= seen + 2)

    @asynccontextmanager
    async def of(self, sharing: Sharing) -> AsyncIterator[asyncio.Future[None]]:
        run = asyncio.ensure_future(sharing.run(self.joined.append, self.busy))
        yield run
        run.cancel()
        await asyncio.wait((run,))


@contextmanager
def held(path: Path) -> Iterator[None]:
    """The lock, by another process."""
    holder = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        yield
        holder.communicate()


async def ends(run: asyncio.Future[None]) -> None:
    await asyncio.wait_for(run, SECONDS)


async def test_where_a_kernel_belongs(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first node has several names, any other the one that kernelspecs give it."""
    monkeypatch.setenv("RK_NODE", "c1")
    wanted = [None, "0", "c1", socket.gethostname(), "1", "c2"]

    first = [sharing(place).is_here({"node": node}) for node in wanted]
    assert [True, True, True, True, False, False] == first
    second = [sharing(place, "1").is_here({"node": node}) for node in wanted]
    assert [False, False, False, False, True, False] == second


async def test_members_are_let_in(place: Place) -> None:
    """Those that belong here; whose record is gone is none."""
    place.add("here", node="1")
    place.add("elsewhere")
    shutil.rmtree(place.add("gone", node="1"))
    running = Running()
    async with running.of(sharing(place, "1")):
        await running.look()
    assert {"here"} == set(running.joined)
    assert {"here", "elsewhere"} == set(os.listdir(place.members))  # noqa: PTH208


async def test_one_that_cannot_be_read_now(place: Place) -> None:
    """It stays: a file system may stall."""
    spec = place.add("k") / "spec.json"
    spec.unlink()
    spec.mkdir()  # an OSError to whoever reads it
    running = Running()
    async with running.of(sharing(place)) as run:
        await running.look()
        assert not run.done()
        spec.rmdir()
        await ends(run)
    assert [] == running.joined


async def test_the_job_is_kept(place: Place) -> None:
    """While somebody is in it, and for a while after that; then nothing is left."""
    place.add("k")
    running = Running()
    async with running.of(sharing(place)) as run:
        await running.look()
        running.is_busy = True
        (place.members / "k").unlink()
        await running.look()
        assert not run.done()
        running.is_busy = False
        await ends(run)
    assert [] == os.listdir(place.path.parent)  # noqa: PTH208


async def test_all_records_are_gone(place: Place) -> None:
    """There is no kernel that could be lost."""
    place.add("k")
    running = Running()
    async with running.of(sharing(place)) as run:
        await running.look()
        shutil.rmtree(place.base)
        await ends(run)


async def test_somebody_is_coming(place: Place) -> None:
    """He holds the lock: the job waits for him."""
    running = Running()
    async with running.of(sharing(place)) as run:
        with held(place.path / "lock"):
            await running.look()
            assert not run.done()
            place.add("k")
        await running.look()
        assert not run.done()
        assert "k" in running.joined


async def test_who_comes_at_the_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He finds no allocation, not one that is being taken to pieces."""
    found: list[bool] = []
    rmtree = shutil.rmtree

    def watched(path: str, ignore_errors: bool) -> None:
        found.append(place.path.exists())
        rmtree(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", watched)
    async with Running().of(sharing(place)) as run:
        await ends(run)
    assert [False] == found


async def test_another_job_is_in_its_place(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends, and leaves the members to that one."""
    monkeypatch.setenv("RK_JOB_ID", "7")
    place.add("k")
    place.write(place.path, "record.json", {"job_id": "8;cluster"})
    running = Running()
    async with running.of(sharing(place)) as run:
        await ends(run)
    assert [] == running.joined
    assert (place.members / "k").exists()


async def test_a_job_that_comes_too_late(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another was submitted meanwhile: it is not to be taken for that one."""
    monkeypatch.setenv("RK_JOB_ID", "7")
    place.write(place.path, "record.json", {"job_id": "8"})
    async with place.agent() as running:
        await ends(running)
    assert not place.announced


async def test_a_node_that_the_job_lacks(place: Place) -> None:
    """Who wants to be there is told so, and is no member."""
    record = place.add("k", node="1")
    running = Running()
    async with running.of(sharing(place)) as run:
        await ends(run)
    assert "There is no node 1" in (record / "agent.json").read_text()


async def test_each_warning_reaches_its_kernels_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes twice is the same; one of another number is not."""
    monkeypatch.setattr(endpoint, "ONCE", 60.0)
    record, heard = place.add("k"), place.base / "heard"
    traps = "; ".join(
        f"trap 'echo {name} >>{heard}' {name}" for name in ("USR1", "USR2")
    )
    body = json.loads((record / "spec.json").read_text())
    waits = f"{traps}; echo ready >>{heard}; while :; do read -t 0.02 <>{place.base}/fifo; done"
    body["kernels"]["k"]["argv"] = ["bash", "-c", waits]
    os.mkfifo(place.base / "fifo")
    place.write(record, "spec.json", body)

    def told() -> list[str]:
        return heard.read_text().split() if heard.exists() else []

    async with place.agent():
        await until("the kernel is there", lambda: told() == ["ready"])
        os.kill(os.getpid(), signal.SIGUSR1)
        await until("it is warned", lambda: "USR1" in told())
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
        await until("it is warned otherwise", lambda: "USR2" in told())

    assert ["ready", "USR1", "USR2"] == told()
