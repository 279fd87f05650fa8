"""scheduler.command: real commands of this machine."""

from __future__ import annotations

import asyncio
import gc
import os
import select
from pathlib import Path

import pytest

from remote_kernels.errors import CommandError
from remote_kernels.scheduler import command


def ends(pid: str) -> bool:
    """Whether a process is dead, or dies in a moment."""
    try:
        handle = os.pidfd_open(int(pid))
    except ProcessLookupError:
        return True
    try:
        return select.select([handle], [], [], 5) != ([], [], [])
    finally:
        os.close(handle)


@pytest.mark.asyncio
async def test_input_output_and_exit_code() -> None:
    """Everything is told as it came; an exit code is no error."""
    done = await command.run(["sh", "-c", "cat; echo no >&2; exit 3"], input="yes")

    assert (3, "yes", "no\n") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.asyncio
async def test_a_command_that_does_not_read_its_input_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its exit code says what was wrong; nobody logs that nobody heard of it."""
    argv = ["sh", "-c", "head -c 1 >/dev/null; exit 4"]  # while more is to be written
    done = await command.run(argv, input="x" * 1_000_000)
    gc.collect()

    assert 4 == done.returncode
    assert "never retrieved" not in caplog.text


@pytest.mark.asyncio
async def test_only_the_given_environment_is_seen() -> None:
    """Nothing of the server's leaks into sbatch."""
    done = await command.run(["/usr/bin/env"], env={"ONE": "1"})

    assert "ONE=1\n" == done.stdout


@pytest.mark.asyncio
async def test_a_flood_is_kept_at_both_ends() -> None:
    """Beginning and end, with a word on what is missing between them."""
    done = await command.run(["sh", "-c", "echo a; head -c 3000000 /dev/zero; echo z"])

    assert done.stdout.startswith("a\n")
    assert done.stdout.endswith("z\n")
    assert "bytes left out" in done.stdout
    assert 2 * command.KEPT + 100 > len(done.stdout)


@pytest.mark.asyncio
async def test_cancelling_ends_the_whole_group(tmp_path: Path) -> None:
    """The command and what it started are gone when the cancellation passes."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    text = f"sleep 60 & echo $! $$ > {fifo}; wait"
    task = asyncio.ensure_future(command.run(["sh", "-c", text]))
    pids = (await asyncio.to_thread(fifo.read_text)).split()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [True, True] == [ends(pid) for pid in pids]


@pytest.mark.asyncio
async def test_a_child_that_holds_the_output_is_ended_too() -> None:
    """The command has ended, but its streams never do."""
    with pytest.raises(CommandError) as caught:
        await command.run(["sh", "-c", "sleep 60 & echo $!"], timeout=5)

    assert ends(caught.value.stdout)
