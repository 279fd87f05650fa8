"""Something stands around the kernel: a container, a script, a launcher."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from login.conftest import START_TIMEOUT, Running, run, running
from login.specs import write_spec
from remote_kernels.agent.processes import every

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

NAME = "t-around"

PYTHON = [sys.executable, "-c"]
CALLS = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
FORWARDS = (
    "import signal, subprocess, sys; process = subprocess.Popen(sys.argv[1:]); "
    "[signal.signal(n, lambda n, _: process.send_signal(n)) for n in (2, 15)]; "
    "sys.exit(process.wait())"
)
BWRAP = (
    "bwrap --ro-bind / / --dev /dev --proc /proc --bind /home /home --bind /tmp /tmp"
)

WRAPPERS: dict[str, list[str]] = {
    # Interrupt always worked with these.
    "exec": ["nice", "-n", "1"],
    "forwards": [*PYTHON, FORWARDS],
    "ignores": ["sh", "-c", "trap '' INT; \"$@\"; exit $?", "sh"],
    "script": ["sh", "-c", '"$@"; exit $?', "sh"],
    "unshare": ["unshare", "--user", "--map-root-user", "--pid", "--fork"],
    # These died of it, or kept it from the kernel.
    "setsid": ["setsid", "--wait"],
    "waiting": ["sh", "-c", '"$@" & wait $!', "sh"],
    "launcher": [*PYTHON, CALLS],
    "launcher and script": [*PYTHON, CALLS, "bash", "-c", '"$@"; exit $?', "bash"],
    "pipe": ["sh", "-c", '"$@" 2>&1 | cat', "sh"],
    "bwrap": BWRAP.split(),
    "bwrap, all unshared": f"{BWRAP} --unshare-all --new-session".split(),
}


def require(wrapper: list[str]) -> None:
    """Skip where it is not installed, or may not be used."""
    if not shutil.which(wrapper[0]):
        pytest.skip(f"{wrapper[0]} is not installed here")
    tried = subprocess.run([*wrapper, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"{wrapper[0]} does not work here: {tried.stderr.decode()}")


def wrapped(wrapper: list[str], jupyter: Path, **more: Any) -> None:
    """Write a kernelspec with this command before the kernel's; skip if that is in vain."""
    require(wrapper)
    config = {"scheduler": "local", "prefix": wrapper, **more}
    write_spec(NAME, {**config, "state_dir": str(jupyter / "state")})


Lives = set[tuple[int, int]]


@asynccontextmanager
async def leaving_nothing() -> AsyncIterator[tuple[Running, Lives]]:
    """A kernel, and its processes with all around it, which end when it does."""
    async with running(NAME) as found:
        lives = processes(found)
        yield found, lives
    assert not lives & now(), "they live on"


def now() -> Lives:
    return {(p.pid, p.started) for p in every().values() if p.state != "Z"}


def processes(found: Running) -> Lives:
    """From the one that the agent started, downwards."""
    remote = found[0].provisioner.remote_kernel  # type: ignore[union-attr]
    outer = remote.status.connection.state.pid
    there, chosen = every(), [outer]
    for pid in chosen:
        chosen += [p.pid for p in there.values() if p.parent == pid]
    return {(pid, there[pid].started) for pid in chosen}


LOOP = """
import subprocess
child = subprocess.Popen(["sleep", "600"])
print("looping", flush=True)
while True: pass
"""


async def interrupted(found: Running) -> str:
    """A loop with a child; what became of it."""
    manager, client = found
    looping = asyncio.Event()

    def hook(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            looping.set()

    cell = asyncio.ensure_future(
        client.execute_interactive(LOOP, output_hook=hook, timeout=START_TIMEOUT)
    )
    await asyncio.wait_for(looping.wait(), START_TIMEOUT)
    await manager.interrupt_kernel()
    reply = await cell
    return str(reply["content"].get("ename"))


@pytest.mark.parametrize("wrapper", WRAPPERS)
async def test_interrupt(wrapper: str, jupyter: Path) -> None:
    """The cell ends, and its children; the kernel goes on, and so does what is around it."""
    wrapped(WRAPPERS[wrapper], jupyter)
    async with leaving_nothing() as (found, lives):
        await run(found[1], "kept = 42")
        assert "KeyboardInterrupt" == await interrupted(found)
        assert "42 -2" == await run(found[1], "print(kept, child.wait(20))")
        await found[0].interrupt_kernel()  # of a kernel that has nothing to do

        assert "42" == await run(found[1], "print(kept)")
        assert lives <= now()


async def test_interrupt_of_one_that_listens_on_ports(jupyter: Path) -> None:
    """As with sockets of the file system."""
    wrapped(WRAPPERS["launcher"], jupyter, transport="tcp")
    async with leaving_nothing() as (found, lives):
        assert "KeyboardInterrupt" == await interrupted(found)
        assert "-2" == await run(found[1], "print(child.wait(20))")
        assert lives <= now()


@pytest.mark.parametrize("wrapper", ["setsid", "bwrap, all unshared", "pipe"])
async def test_a_restart_and_an_end_by_force_leave_nothing(
    wrapper: str, jupyter: Path
) -> None:
    """Not the wrapper, nor the kernel in it, whatever groups they are in."""
    wrapped(WRAPPERS[wrapper], jupyter)
    async with running(NAME) as found:
        first = processes(found)
        await found[0].restart_kernel(now=True)
        await found[1].wait_for_ready(timeout=START_TIMEOUT)
        second = processes(found)
        assert not first & now()
        await found[0].shutdown_kernel(now=True)
    assert not second & now()
