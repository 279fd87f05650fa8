"""A kernel's connection before its agent is reached."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from remote_kernels.front.heartbeat import Heartbeat
from remote_kernels.kernel.connection import Connection
from remote_kernels.records import Record


@pytest.mark.asyncio
async def test_a_beat_that_comes_early(tmp_path: Path) -> None:
    """It is lost; the next goes to the agent that is reached, not to one that was not."""
    record = Record(tmp_path, "k")
    connection = Connection("k", b"key", None, tmp_path, record, "node", 15.0)
    first, second = MagicMock(carrier=None), MagicMock(carrier="srun")
    heart = Heartbeat(MagicMock(), connection._heartbeat)

    connection.tunnel = first
    heart.send([b"ping"])
    connection.tunnel = second
    heart.send([b"ping"])

    assert not first.channel.called
    assert second.channel.called
    heart.close()
    await asyncio.sleep(0)
    connection.tunnel = None
    await connection.close()
