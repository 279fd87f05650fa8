"""What the login node has, and the kernel's node or its container has not."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import AsyncKernelManager

from login.conftest import START_TIMEOUT, run, running
from login.specs import KERNELS, on_cluster, params, write_spec
from login.test_around import require
from remote_kernels.errors import AgentError

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

NAME = "t-lacking"
ELSEWHERE = "[remote_kernels] The notebook's directory {} is not there for its kernel"


def spec(jupyter: Path, argv: list[str] | None = None, **config: Any) -> None:
    config = {"scheduler": "local", "state_dir": str(jupyter / "state"), **config}
    write_spec(NAME, config, argv)


# --- the notebook's directory -------------------------------------------------------


@pytest.mark.parametrize("kernel", params("t-local", "t-ssh"))
async def test_the_first_cell_says_that_the_notebook_s_directory_is_not_there(
    kernel: str, jupyter: Path
) -> None:
    """And where to look; the next one has only its own output; a restart says it again."""
    spec(jupyter, **KERNELS[kernel])
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:  # the login host's own
        cwd = directory if on_cluster(kernel) else "/nowhere/at all"
        async with running(NAME, cwd=cwd) as (manager, client):
            cells = [await run(client, "import os; print(os.getcwd())") for _ in "ab"]
            await manager.restart_kernel()
            await client.wait_for_ready(timeout=START_TIMEOUT)
            later = await run(client, "pass")
    home = str(Path.home())
    assert ELSEWHERE.format(cwd) in cells[0]
    assert cells[0].endswith(f"\n{home}") or cells[0].startswith(f"{home}\n")
    assert home == cells[1]
    assert ELSEWHERE.format(cwd) in later


async def test_a_container_without_the_notebook_s_directory(jupyter: Path) -> None:
    """It is the same to the person at the notebook."""
    with tempfile.TemporaryDirectory(dir=jupyter) as directory:
        below = Path(directory) / "below"
        below.mkdir()
        bwrap = ["bwrap", "--dev-bind", "/", "/", "--tmpfs", directory]
        require(bwrap)
        spec(jupyter, prefix=bwrap)
        async with running(NAME, cwd=str(below)) as (_, client):
            first = await run(client, "pass")
    assert ELSEWHERE.format(below) in first


async def test_a_directory_that_is_there_is_not_spoken_of(jupyter: Path) -> None:
    """Also by another name, and if a container shows it."""
    with tempfile.TemporaryDirectory(dir=jupyter) as directory:
        link = Path(directory) / "link"
        link.symlink_to(jupyter)
        bwrap = ["bwrap", "--dev-bind", "/", "/"]
        require(bwrap)
        spec(jupyter, prefix=bwrap)
        async with running(NAME, cwd=str(link)) as (_, client):
            said = await run(client, "import os; print(os.getcwd())")
    assert str(jupyter) == said


# --- programs and libraries ---------------------------------------------------------


async def failure() -> str:
    """Of a kernel that cannot start."""
    manager = AsyncKernelManager(kernel_name=NAME)
    with pytest.raises(AgentError) as raised:
        await asyncio.wait_for(manager.start_kernel(), START_TIMEOUT)
    return str(raised.value)


# As glibc 2.36, dash 0.5.12 and Python 3.11 say it.
LIBRARY = (
    "R: error while loading shared libraries: libgfortran.so.5: cannot open shared "
)
MISSING = {
    "library": ["sh", "-c", f"echo '{LIBRARY}object file: No such file'; exit 127"],
    "program": ["sh", "-c", "exec no-such-program"],
    "module": ["python3", "-m", "no_such_module"],
    "command": ["no-such-program"],
}


@pytest.mark.parametrize("what", MISSING)
async def test_what_the_node_lacks_is_answered_by_the_cure(
    what: str, jupyter: Path
) -> None:
    """The prologue, and the variables of the server that may pass."""
    spec(jupyter, [*MISSING[what], "{connection_file}"])

    said = await failure()

    install = f"remote-kernels install --from {NAME} --name {NAME}"
    assert f"{install} --prologue 'module load ...'" in said
    assert f"{install} --env-keep LD_LIBRARY_PATH" in said


async def test_a_command_around_the_kernel_that_does_not_run_it(jupyter: Path) -> None:
    """It ends well, and yet there is no kernel: what it must do is said."""
    spec(jupyter, prefix=["true"])

    said = await failure()

    assert "exit code 0. It wrote:\n(nothing)" in said
    assert "must run the kernel's command and wait for it" in said


async def test_another_failure_is_answered_by_nothing_of_it(jupyter: Path) -> None:
    """Advice that does not fit would hide what the kernel wrote."""
    spec(jupyter, ["sh", "-c", "echo my own reason; exit 3", "{connection_file}"])

    said = await failure()

    assert "exit code 3. It wrote:\nmy own reason" in said
    assert "--env-keep" not in said


# --- a container with a /tmp of its own ---------------------------------------------


async def test_a_container_that_hides_the_sockets_is_named_soon(jupyter: Path) -> None:
    """Long before the start's time is over; with the cure, which cures."""
    bwrap = ["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/tmp"]
    require(bwrap)
    spec(jupyter, prefix=bwrap, start_timeout=10 * START_TIMEOUT)

    said = await failure()

    assert "does not see /tmp/rk-" in said
    assert " ".join(bwrap) in said
    assert "The container around the kernel has a /tmp of its own" in said
    assert f"install --from {NAME} --name {NAME} --node-dir DIRECTORY" in said
    spec(jupyter, prefix=bwrap, node_dir=str(Path.home()))
    async with running(NAME) as (_, client):
        assert "42" == await run(client, "print(6 * 7)")
