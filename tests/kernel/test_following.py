"""kernel.following: a log as it is written."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from remote_kernels.kernel import following
from remote_kernels.kernel.following import follow

TIMEOUT = 60.0


class Kernel:
    """Who writes it."""

    has_ended = False

    async def is_over(self) -> bool:
        return self.has_ended


@pytest.mark.asyncio
async def test_until_its_end(tmp_path: Path) -> None:
    """A log that is not there yet, is written, renamed, and then still."""
    log, kernel, got = tmp_path / "kernel.log", Kernel(), b""
    async with aclosing(follow(log, 5, kernel.is_over, 0.01)) as texts:
        assert b"" == await anext(texts)
        log.write_bytes(b"one\n")
        got += await asyncio.wait_for(anext(texts), TIMEOUT)
        log.replace(tmp_path / "kernel.log.1")
        log.write_bytes(b"two\n")
        got += await asyncio.wait_for(anext(texts), TIMEOUT)
        kernel.has_ended = True
        rest = [text async for text in texts]

    assert (b"one\ntwo\n", []) == (got, rest)


@pytest.mark.asyncio
async def test_a_log_that_grows_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes in pieces of a size, without a pause between them, and all of it."""
    monkeypatch.setattr(following, "MOST", 4)
    log, kernel = tmp_path / "job.log", Kernel()
    log.write_bytes(b"0123456789\n")
    got = []
    async with aclosing(follow(log, 5, kernel.is_over, 0.01)) as texts:
        got.append(await anext(texts))
        with log.open("ab") as file:
            file.write(b"abcdefghij")
        kernel.has_ended = True
        got += [text async for text in texts]

    assert [b"789\n", b"abcd", b"efgh", b"ij"] == got


@pytest.mark.asyncio
async def test_a_client_that_leaves(tmp_path: Path) -> None:
    """Nothing of it goes on."""
    texts = follow(tmp_path / "job.log", 5, Kernel().is_over, 3600)
    assert b"" == await anext(texts)
    waiting = asyncio.ensure_future(anext(texts))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(StopAsyncIteration):
        await anext(texts)
