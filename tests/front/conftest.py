"""One agent with its kernel, and as many notebook servers, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import zmq
import zmq.asyncio

from front.house import SECONDS, Connect, House, house
from front.reception import Client, Reception
from front.world import Agent, Kernel, Scene, Server

Serve = Callable[..., Server]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    yield made
    made.end()


@pytest.fixture
def kernel(agent: Agent) -> Kernel:
    return Kernel(agent)


@pytest.fixture
def serve(agent: Agent, tmp_path: Path) -> Iterator[Serve]:
    """`serve()`: the server that was there dies, and another takes its place."""
    made: list[Server] = []

    def serve(info: dict[str, Any] | None = None) -> Server:
        for server in made:
            server.die()
        made[:] = [Server(agent, tmp_path, info)]
        made[0].start()
        return made[0]

    yield serve
    for server in made:
        server.die()


@pytest.fixture
def scene(agent: Agent, kernel: Kernel, serve: Serve) -> Scene:
    return Scene(agent, kernel, serve)


@pytest.fixture
def reception() -> Reception:
    return Reception()


@pytest.fixture
def client(reception: Reception) -> Client:
    return Client(reception)


@pytest_asyncio.fixture
async def router() -> AsyncIterator[House]:
    async with house(publishes=False) as made:
        yield made


@pytest_asyncio.fixture
async def publisher() -> AsyncIterator[House]:
    async with house(publishes=True) as made:
        yield made


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes clients."""
    context = zmq.asyncio.Context()
    all_made: list[zmq.asyncio.Socket] = []

    def connect(house: House, kind: int, identity: bytes = b"") -> zmq.asyncio.Socket:
        made = context.socket(kind)
        all_made.append(made)
        made.setsockopt(zmq.RCVTIMEO, int(SECONDS * 1000))
        if identity:
            made.setsockopt(zmq.IDENTITY, identity)
        if kind == zmq.SUB:
            made.subscribe(b"")
        made.connect(f"ipc://{house.path}")
        return made

    yield connect
    for sock in all_made:
        sock.close(linger=0)
    context.term()
