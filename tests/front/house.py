"""A listener, and what was said to it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import zmq
import zmq.asyncio

from remote_kernels.front.listener import Listener

SECONDS = 10.0
Connect = Callable[..., zmq.asyncio.Socket]


class House:
    """A listener, and what was said to it."""

    def __init__(self, path: Path, publishes: bool) -> None:
        self.path = path
        self.came: asyncio.Queue[list[bytes]] = asyncio.Queue()
        self.most = 1 << 30  # that it takes
        self.listener = Listener(publishes, self._take)
        self.listener.bind(path)

    def _take(self, parts: list[bytes]) -> bool:
        self.came.put_nowait(parts)
        return self.came.qsize() < self.most

    async def receive(self) -> list[bytes]:
        return await asyncio.wait_for(self.came.get(), SECONDS)


@asynccontextmanager
async def house(publishes: bool) -> AsyncIterator[House]:
    with tempfile.TemporaryDirectory() as directory:
        made = House(Path(directory, "s"), publishes)
        yield made
        made.listener.close()
        await asyncio.sleep(0)  # asyncio closes the sockets in its next turn


async def until(condition: Callable[[], object]) -> None:
    """Turn by turn of the loop."""

    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0)

    await asyncio.wait_for(wait(), SECONDS)
