"""Several kernels in one job, by each carrier: the job, its kernels, and its end."""

from __future__ import annotations

import asyncio
import inspect
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cli.live import done
from jupyter_client.manager import AsyncKernelManager

from login.conftest import Running, run, running
from login.specs import EVERY_CARRIER, KERNELS, write_spec
from remote_kernels.errors import RemoteKernelError

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]
by_each_carrier = pytest.mark.parametrize("carrier", EVERY_CARRIER)

KEEP = 1.0  # seconds
OF_THE_JOB = "import os; print(os.getppid())"  # the agent's


@pytest.fixture
def team(carrier: str, jupyter: Path) -> str:
    """A kernelspec whose kernels share a job; its name."""
    name = f"{carrier}-team"
    more = {"allocation": carrier, "keep": KEEP, "state_dir": str(jupyter / "state")}
    write_spec(name, {**KERNELS[carrier], **more})
    return name


@asynccontextmanager
async def several(name: str, count: int) -> AsyncIterator[list[Running]]:
    """Started at once."""
    async with AsyncExitStack() as stack:
        starts = [stack.enter_async_context(running(name)) for _ in range(count)]
        yield await asyncio.gather(*starts)


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done("ls", "--json").stdout)
    return found


async def is_gone(place: Path) -> None:
    """The job has ended: its agent has removed what belonged to it."""
    await until_not(place.exists)


async def until_not(there: Callable[[], Any]) -> None:
    """Wait, also for a coroutine function's answer."""
    end = time.monotonic() + 30
    while True:
        answer = there()
        if inspect.isawaitable(answer):
            answer = await answer
        if not answer:
            return
        assert time.monotonic() < end, there
        await asyncio.sleep(0.05)


@by_each_carrier
async def test_they_share_a_job(carrier: str, team: str, jupyter: Path) -> None:
    """Also when all start at once; one that dies, restarts or ends is alone in it."""
    place = jupyter / "state" / "allocations" / carrier
    async with several(team, 3) as kernels:
        agents = {await run(client, OF_THE_JOB) for _, client in kernels}
        assert 1 == len(agents)
        assert 1 == len({view["job_id"] for view in listed()})
        (_, asked), (second, other), (third, _) = kernels
        for _, client in kernels:
            await run(client, "kept = 41")

        await second.restart_kernel()
        await other.wait_for_ready(timeout=60)
        assert "no" == await run(other, "print('kept' in globals() or 'no')")
        other.execute(f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})")
        await until_not(second.is_alive)
        await third.shutdown_kernel()
        assert "42" == await run(asked, "print(kept + 1)")
        assert agents == {await run(asked, OF_THE_JOB)}
        assert 2 == len([*(place / "members").iterdir()])
    await is_gone(place)
    assert [] == listed()


@by_each_carrier
async def test_the_next_one_finds_the_job(
    carrier: str, team: str, jupyter: Path
) -> None:
    """It is kept for a while; after that there is a new one."""
    place = jupyter / "state" / "allocations" / carrier
    async with running(team) as (_, client):
        agent = await run(client, OF_THE_JOB)
    async with running(team) as (_, client):
        assert agent == await run(client, OF_THE_JOB)
    await is_gone(place)
    async with running(team) as (_, client):
        assert agent != await run(client, OF_THE_JOB)
    await is_gone(place)


@by_each_carrier
async def test_one_that_cannot_start(carrier: str, team: str, jupyter: Path) -> None:
    """Its error is its own."""
    config = {**KERNELS[carrier], "allocation": carrier, "keep": KEEP}
    config["state_dir"] = str(jupyter / "state")
    async with running(team) as (_, client):
        for more, words in (
            ({"visible_gpus": 7}, "there is no GPU 7 here"),
            ({"node": 7}, "There is no node 7|no kernel on a further node of its job"),
        ):
            write_spec("wrong", {**config, **more})
            manager = AsyncKernelManager(kernel_name="wrong")
            with pytest.raises(RemoteKernelError, match=words):
                await manager.start_kernel()
        assert "42" == await run(client, "print(6 * 7)")
        assert 1 == len(listed())
    await is_gone(jupyter / "state" / "allocations" / carrier)
