"""The commands for kernels that run and wait: ls, info, logs, shell, stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from cli.live import TIMEOUT, command, done, line, shown, started
from jupyter_client.manager import AsyncKernelManager

from login.conftest import Running, running
from login.specs import BATCH, CONFIG, SCHEDULER, on_cluster, params, write_spec
from login.test_daily import where
from remote_kernels.errors import RemoteKernelError
from remote_kernels.scheduler.drivers import DRIVERS
from remote_kernels.scheduler.jobs import Jobs

cluster = pytest.mark.cluster
each_scheduler = pytest.mark.parametrize("kernel", params("t-local", "t-own"))


def listed(kernel: str) -> dict[str, Any]:
    """What `ls` says of it; {} if nothing."""
    views = json.loads(done("ls", "--json").stdout)
    return next((view for view in views if view["kernel_id"] == kernel), {})


def id_of(kernel: Running) -> str:
    provisioner = kernel[0].provisioner
    assert provisioner is not None
    return str(provisioner.kernel_id)


# --- shell --------------------------------------------------------------------------


def use_shell(kernel: str) -> tuple[str, int]:
    """What it says of where it is, and its exit code."""
    with shown(*command("shell", kernel, "--", "/bin/sh")) as terminal:
        # Echoed once or twice, as it was typed: that is not what it prints.
        terminal.type("echo 'a't $(hostname) ${RK_JOB_ID-none}.\n")
        terminal.until("at ")
        place = terminal.until(".\r\n")
        terminal.type("echo ready $((1 + 1)); cat\n")
        terminal.until("ready 2")
        terminal.type("go\n")
        terminal.until("go\r\ngo\r\n")  # as it was typed, and by cat
        terminal.type("\x03")
        terminal.until("^C")
        terminal.until(" ")  # the prompt: what is typed before it, is dropped
        terminal.type("stty size\n")
        terminal.until("40 200")
        terminal.resize(50, 100)
        terminal.type("until [ \"$(stty size)\" = '50 100' ]; do sleep .1; done\n")
        terminal.type("echo resized $((1 + 1)); exit 7\n")
        terminal.until("resized 2")
        return place, terminal.program.wait(TIMEOUT)


@each_scheduler
@pytest.mark.asyncio
async def test_a_shell_in_a_terminal(kernel: str) -> None:
    """In the kernel's job; Ctrl-C, the window's size and the exit code pass."""
    async with running(kernel) as found:
        host, job, *_ = await where(found[1])
        place, code = await asyncio.to_thread(use_shell, id_of(found))
    assert (f"{host} {job or 'none'}", 7) == (place, code)


@each_scheduler
@pytest.mark.asyncio
async def test_a_command_in_the_job(kernel: str) -> None:
    """Its streams and its exit code; srun says a line of its own about that."""
    async with running(kernel) as found:
        host, *_ = await where(found[1])
        argv = ["sh", "-c", "hostname; echo beside >&2; exit 3"]
        result = await asyncio.to_thread(done, "shell", id_of(found), "--", *argv)
    assert (f"{host}\n", 3) == (result.stdout, result.returncode)
    assert "beside" in result.stderr.splitlines()


@cluster
@pytest.mark.only("slurm", "Grid Engine counts GPUs, and tells a job none of them")
@pytest.mark.asyncio
async def test_a_shell_sees_the_job_s_gpus(jupyter: Path) -> None:
    """As many as the kernel, and its CPUs."""
    write_spec("t-gpus", {**CONFIG, **BATCH.gpus, "state_dir": str(jupyter / "state")})
    async with running("t-gpus") as found:
        argv = ["sh", "-c", "echo $CUDA_VISIBLE_DEVICES; nproc"]
        result = await asyncio.to_thread(done, "shell", id_of(found), "--", *argv)
    assert "0,1\n2\n" == result.stdout, result.stderr


# --- logs ---------------------------------------------------------------------------


@each_scheduler
@pytest.mark.asyncio
async def test_logs_are_followed_to_the_end(kernel: str) -> None:
    """What the kernel's process wrote on its node, and that it was shut down."""
    with contextlib.ExitStack() as stack:
        async with running(kernel) as found:
            args = ("logs", "--follow", "--kernel", "-n", "99", id_of(found))
            follower = stack.enter_context(started(*args))
            text = ""
            while "--existing" not in text:  # ipykernel says so
                text += await asyncio.to_thread(line, follower)
        _, err = await asyncio.to_thread(follower.communicate, None, TIMEOUT)
    assert 0 == follower.returncode
    assert "The kernel has ended: " in err


# --- ls, info, stop -----------------------------------------------------------------


@each_scheduler
@pytest.mark.asyncio
async def test_a_kernel_that_runs(kernel: str) -> None:
    """Where, and for how long."""
    async with running(kernel) as found:
        host, job, *_ = await where(found[1])
        view = await asyncio.to_thread(listed, id_of(found))
        told = await asyncio.to_thread(done, "info", id_of(found))
    assert ("running", host) == (view["state"], view["node"])
    assert on_cluster(kernel) == (view["ends"] is not None)
    assert job in (None, view["job_id"])
    assert "State\trunning\n" in told.stdout


@pytest.fixture
def waits(jupyter: Path) -> str:
    """A kernelspec whose job waits for an hour."""
    config = {**CONFIG, **BATCH.later(3600), "state_dir": str(jupyter / "state")}
    write_spec("t-waits", config)
    return "t-waits"


@cluster
@pytest.mark.asyncio
async def test_a_kernel_that_waits(waits: str) -> None:
    """For what, in words; it has no node for a shell; `stop` takes it off the queue."""
    manager = AsyncKernelManager(kernel_name=waits)
    start = asyncio.ensure_future(manager.start_kernel())
    deadline = time.monotonic() + TIMEOUT
    while not (
        views := json.loads((await asyncio.to_thread(done, "ls", "--json")).stdout)
    ):
        assert time.monotonic() < deadline
    (view,) = views
    row = (await asyncio.to_thread(done, "ls")).stdout.split("\t")
    shell = await asyncio.to_thread(done, "shell", view["kernel_id"])
    stop = await asyncio.to_thread(done, "stop", view["kernel_id"], "--yes")
    with pytest.raises(RemoteKernelError):
        await start
    manager.context.destroy(linger=0)

    assert "waiting" == view["state"]
    assert row[3].startswith("waiting")
    assert re.search(rf"\((?:{BATCH.waits_word})\)", row[3])
    assert "has no node yet" in shell.stderr
    assert 0 == stop.returncode, stop.stderr
    assert view["job_id"] not in await own_jobs()


async def own_jobs() -> list[str]:
    """The jobs of this user that are there."""
    return [str(status.job_id) for status in await Jobs(DRIVERS[SCHEDULER]).own()]
