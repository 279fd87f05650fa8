"""agent.endpoint: when a kernel's use is measured and told, and when not."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from tunnel.chaos import ChaosCarrier, Clock, Fate, Storm, Weather

from remote_kernels.agent import threads
from remote_kernels.agent.endpoint import Agent
from remote_kernels.agent.measuring import FRESH
from remote_kernels.agent.supervisor import Kernel
from remote_kernels.agent.usage import Sample, Sampler
from remote_kernels.relay.link import DEAD_AFTER
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire import control
from remote_kernels.wire.codes import ProcessState

SECRET = b"s" * 32
SECONDS = 10.0
EVERY = 2.0
HELLO = 1000  # bytes down, with the states of all kernels; some samples follow it
LATE = 1.0  # second between a sample and its arrival


class Process:
    """Stands where the agent has a Kernel: unless told otherwise, this session."""

    id = "k"
    buffer = sockets = None

    def __init__(self, record: str) -> None:
        self.record = record
        self.pid, self.alive = os.getsid(0), True
        self.sessions = [self.pid]

    def watch(self, tell: Callable[[control.KernelState], None]) -> None:
        pass

    def state(self) -> control.KernelState:
        return control.KernelState("k", 1, ProcessState.RUNNING)

    async def end(self) -> None:
        pass


class World:
    """An agent, and a login end that comes when it is told to."""

    def __init__(self, directory: Path, weathers: list[Weather], **spec: Any) -> None:
        self.kernel = Process(str(directory))
        self.usage: asyncio.Queue[tuple[float, control.Usage]] = asyncio.Queue()
        spec |= {"agent": "a", "secret": SECRET.hex(), "attach": 1e6, "silence": 1e6}
        kernels = {"k": cast(Kernel, self.kernel)}
        self._agent = Agent(spec, kernels, str(directory))
        self._storm = Storm(
            weathers, directory / "agent", lambda dice: None, lambda: None
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        listening = asyncio.Event()
        running = asyncio.ensure_future(
            self._agent.run(str(self._storm.agent), listening.set, [])
        )
        await listening.wait()
        try:
            yield self
        finally:
            os.kill(os.getpid(), signal.SIGHUP)  # which the agent obeys
            await running

    @asynccontextmanager
    async def attached(self) -> AsyncIterator[Tunnel]:
        carrier = ChaosCarrier("chaos", self._storm)
        tunnel = Tunnel([carrier], SECRET, self._heard)
        await tunnel.open()
        yield tunnel
        await tunnel.close()

    def _heard(self, message: control.Message) -> None:
        now = asyncio.get_running_loop().time()
        if isinstance(message, control.Usage):
            self.usage.put_nowait((now, message))

    async def told(self) -> tuple[float, control.Usage]:
        """The next sample, and when it came."""
        return await asyncio.wait_for(self.usage.get(), 1000)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When samples were taken; each says so in `memory`, in milliseconds.

    They take no thread, for which the clock would not wait.
    """
    times: list[float] = []

    async def sample(take: Callable[[], Sample]) -> Sample:
        times.append(asyncio.get_running_loop().time())
        return {**take(), "memory": round(1000 * times[-1])}

    monkeypatch.setattr(threads, "in_thread", sample)
    return times


def test_at_the_interval_that_was_asked_for(tmp_path: Path, taken: list[float]) -> None:
    """For as long as somebody is there."""

    async def main() -> list[float]:
        async with World(tmp_path, [], usage=EVERY).running() as world:
            async with world.attached():
                times = [(await world.told())[0] for _ in range(5)]
            await asyncio.sleep(10 * EVERY)
            return times

    times = Clock().run(main())

    steps = [after - before for before, after in pairwise(times)]
    assert steps == pytest.approx([EVERY] * 4)
    assert 5 == len(taken)


@pytest.mark.parametrize("spec", [{}, {"usage": None}])
def test_it_was_not_asked_for(
    tmp_path: Path, taken: list[float], spec: dict[str, Any]
) -> None:
    """Nothing is measured."""

    async def main() -> bool:
        world = World(tmp_path, [], **spec)
        async with world.running(), world.attached():
            await asyncio.sleep(1000)
            return world.usage.empty()

    assert Clock().run(main())
    assert [] == taken


def test_nobody_is_there(tmp_path: Path, taken: list[float]) -> None:
    """Nothing is measured until somebody comes, who hears only what is then."""

    async def main() -> float:
        async with World(tmp_path, [], usage=EVERY).running() as world:
            await asyncio.sleep(1000)
            assert [] == taken
            async with world.attached():
                _, usage = await world.told()
        return usage.memory / 1000

    assert 1000 < Clock().run(main()) < 1000 + 2 * EVERY


def test_the_kernel_has_ended(tmp_path: Path, taken: list[float]) -> None:
    """Its restart may take a while, or never come."""

    async def main() -> int:
        world = World(tmp_path, [], usage=EVERY)
        async with world.running(), world.attached():
            world.kernel.alive = False
            await asyncio.sleep(100 * EVERY)
            missed = len(taken)
            world.kernel.alive = True
            await world.told()
        return missed

    assert 0 == Clock().run(main())


@pytest.mark.parametrize("fate", [Fate.HOLE, Fate.STALL, Fate.BREAK, Fate.HALF])
def test_the_pipe_is_down(tmp_path: Path, taken: list[float], fate: Fate) -> None:
    """Then samples do not pile up: one at most comes late, and the others go on."""
    weather = Weather(False, fate, down=True, at=HELLO, life=1 << 30, seed=1)

    async def main() -> list[tuple[float, float]]:
        world = World(tmp_path, [weather], usage=EVERY / 2)
        async with world.running(), world.attached():
            told = [await world.told() for _ in range(30)]
        return [(usage.memory / 1000, heard) for heard, usage in told]

    told = Clock().run(main())

    late = [taken for taken, heard in told if heard - taken > LATE]
    assert len(late) <= 1
    assert len(taken) - len(told) <= 1
    if fate in (Fate.HOLE, Fate.STALL):  # noticed by its silence only
        gaps = [after - before for before, after in pairwise(taken)]
        assert max(gaps) > DEAD_AFTER / 2


@pytest.fixture
def leader() -> Iterator[int]:
    """The process ID of one that leads its session, as a kernel does."""
    argv = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True) as it:
        yield it.pid


@pytest.mark.asyncio
async def test_a_sample_of_real_processes(tmp_path: Path, leader: int) -> None:
    """With all that a message has."""
    world = World(tmp_path, [], usage=0.05)
    world.kernel.sessions = [leader]
    async with world.running(), world.attached():
        first, second = [(await world.told())[1] for _ in range(2)]

    assert "k" == second.kernel
    assert (first.cpu_percent, type(second.cpu_percent)) == (None, float)
    assert 1 <= second.cpus <= len(os.sched_getaffinity(0))
    assert second.memory > 0


@pytest.mark.asyncio
async def test_a_sample_that_takes_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the agent does its work, and takes no other; it ends without it."""
    begun, go_on = threading.Semaphore(0), threading.Event()
    waits: list[str] = []

    def sample(self: Sampler) -> Sample:
        begun.release()
        waits.append("begin")
        waits.append("end" if go_on.wait(SECONDS) else "gave up")
        raise AssertionError

    monkeypatch.setattr(Sampler, "sample", sample)
    world = World(tmp_path, [], usage=0.001)
    async with world.running():
        async with world.attached():
            begins: Awaitable[bool] = asyncio.to_thread(begun.acquire, timeout=SECONDS)
            assert await begins
        async with world.attached():
            assert world.usage.empty()
    assert ["begin"] == waits
    go_on.set()

    assert not begun.acquire(blocking=False)


@pytest.mark.asyncio
async def test_a_sample_that_cannot_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job's log says why, and the kernel lives on."""
    written = asyncio.Event()

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            written.set()
            return super().write(text)

    def sample(self: Sampler) -> Sample:
        msg = "nothing in /proc"
        raise OSError(msg)

    log = Log()
    monkeypatch.setattr(Sampler, "sample", sample)
    monkeypatch.setattr(sys, "stderr", log)
    world = World(tmp_path, [], usage=0.001)
    async with world.running():
        async with world.attached():
            await asyncio.wait_for(written.wait(), SECONDS)
        async with world.attached():
            pass

    said = log.getvalue()
    assert "agent: kernel k: measures no longer: OSError('nothing in /proc')\n" == said


def test_somebody_asks(tmp_path: Path, taken: list[float]) -> None:
    """It is measured at once, though not now and then; for a second it is told again."""

    async def main() -> list[float]:
        world = World(tmp_path, [])
        async with world.running(), world.attached() as tunnel:
            heard: list[float] = []
            for _ in range(3):
                tunnel.send(control.Measure("k"))
                tunnel.send(control.Measure("k"))
                heard += [(await world.told())[1].memory for _ in range(2)]
                await asyncio.sleep(FRESH)
            return heard

    heard = Clock().run(main())

    assert 3 == len(taken)
    assert [round(1000 * each) for each in taken for _ in range(2)] == heard
