"""One agent with its kernel, and as many notebook servers, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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
