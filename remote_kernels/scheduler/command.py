"""Run one command to its end: `Completed`, or CommandError with all that it said.

Rules: never through a shell; the command gets a session of its own, and when we give
up (timeout, cancellation) everything in its process group ends before we return.
What it says is kept up to a bound. Called by `jobs.py`, which takes any function of
this signature instead, for example one that runs commands on another host.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from remote_kernels.bounded import within
from remote_kernels.errors import CommandError
from remote_kernels.scheduler.job import Completed

T = TypeVar("T")

KEPT = 512 * 1024  # bytes, at the beginning and again at the end of a stream
ROOM = (
    "Shut down kernels that you no longer need, or start the server or program from a "
    "shell with a higher limit: `ulimit -n` shows it, `ulimit -Hn` how far it goes."
)
EXHAUSTED = (errno.EMFILE, errno.ENFILE)
GRACE = 2.0  # seconds between SIGTERM and SIGKILL


async def run(
    argv: Sequence[str],
    *,
    input: str = "",
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    cwd: str | None = None,
) -> Completed:
    """Run argv; whatever its exit code is. CommandError if it cannot or will not end."""
    # asyncio would kill it alone, not its group, if it is cancelled here.
    process = await or_undo(_start(argv, env, cwd), _end_started)
    out, err = _Bounded(), _Bounded()
    try:
        await within(_talk(process, input, out, err), timeout)
    except asyncio.TimeoutError:
        await _end(process)
        raise _too_slow(argv, timeout, out, err) from None
    except asyncio.CancelledError:
        await _end(process)
        raise
    return Completed(tuple(argv), process.returncode or 0, out.text(), err.text())


async def or_undo(
    work: Coroutine[Any, Any, T],
    undo: Callable[[asyncio.Future[T]], Coroutine[Any, Any, None]],
) -> T:
    """Return what some work comes to.

    Cancelled half way, it has `undo` see to what the work may have done, then lets the
    cancellation pass.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await to_the_end(undo(task))
        raise


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for it although we are cancelled meanwhile; the cancellation then passes."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # seen; the cancellation is what the caller asked for
        raise cancelled
    return task.result()


async def _end_started(task: asyncio.Future[asyncio.subprocess.Process]) -> None:
    with contextlib.suppress(CommandError):
        await _end(await task)


async def _start(
    argv: Sequence[str], env: Mapping[str, str] | None, cwd: str | None
) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        summary = f"{argv[0]} could not be started: {error.strerror}."
        advice = (
            f"Is {argv[0]} installed on this machine and on PATH? "
            "On many clusters only the login nodes have it, or a module must be loaded."
        )
        if error.errno in EXHAUSTED:
            advice = ROOM
        raise CommandError(summary, argv, None, advice=advice) from error


async def _talk(
    process: asyncio.subprocess.Process, text: str, out: _Bounded, err: _Bounded
) -> None:
    assert process.stdout is not None
    assert process.stderr is not None
    await asyncio.gather(
        _feed(process, text.encode()),
        out.read(process.stdout),
        err.read(process.stderr),
    )
    await process.wait()


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    # It may end without reading; its exit code says why.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await process.stdin.wait_closed()  # or asyncio (3.11) logs it


def _too_slow(
    argv: Sequence[str], timeout: float, out: _Bounded, err: _Bounded
) -> CommandError:
    summary = f"{argv[0]} did not answer within {timeout:g} s and was ended."
    advice = "The scheduler may be overloaded or down; try again in a while."
    return CommandError(summary, argv, None, out.text(), err.text(), advice)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the whole group: SIGTERM, and SIGKILL after a grace or a second cancel."""
    _signal(process, signal.SIGTERM)
    try:
        await within(process.wait(), GRACE)
    except asyncio.TimeoutError:
        pass
    finally:
        _signal(process, signal.SIGKILL)
        # A process that left the group may hold our pipes, and wait() waits for them.
        process._transport.close()  # type: ignore[attr-defined]
    await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # It may have become another user, as programs with the set-user-ID bit do.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class _Bounded:
    """The beginning and the end of a stream."""

    def __init__(self) -> None:
        self.head = bytearray()
        self.tail = bytearray()
        self.dropped = 0

    async def read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(65536):
            room = max(0, KEPT - len(self.head))
            self.head += chunk[:room]
            self.tail += chunk[room:]
            excess = max(0, len(self.tail) - KEPT)
            self.dropped += excess
            del self.tail[:excess]

    def text(self) -> str:
        gap = f"\n[{self.dropped} bytes left out]\n" if self.dropped else ""
        return (self.head + gap.encode() + self.tail).decode(errors="replace")
