"""One SSH connection to a node for all kernels of a shared job there.

Made when the first one needs it, closed with the last one's pipe. A kernel whose pipe
fell silent, or that finds the connection dead, makes another, which is everybody's from
then on.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Hashable

from remote_kernels import harmless

from .base import P, Pipe
from .ssh import Destination, SshCarrier, SshPipe

log = harmless.logger(__name__)

_turns: weakref.WeakValueDictionary[Hashable, asyncio.Lock]
_turns = weakref.WeakValueDictionary()
_roads: dict[Hashable, _Road] = {}


class SharedSshCarrier:
    """As SshCarrier, for one kernel of several in a job."""

    name = SshCarrier.name

    def __init__(self, destination: Destination, port: int = 22) -> None:
        self._to = destination
        self._own = SshCarrier(destination, port)

    @property
    def answers(self) -> bool:
        return self._own.answers

    async def connect(self, make: Callable[[], P]) -> tuple[Pipe, P]:
        key = (asyncio.get_running_loop(), self._to.job, self._to.hosts[0])
        turn = _turns.setdefault(key, asyncio.Lock())
        async with turn:  # who comes first makes it for those who come meanwhile
            road = _roads.get(key)
            if road is not None:
                joined = await self._own.join(road.pipe, make)
                if joined is not None:
                    return _Part(road, joined[0]), joined[1]
                log.debug("= the connection to %s is dead", self._to.hosts[0])
            pipe, protocol = await self._own.connect(make)
            road = _roads[key] = _Road(key, pipe)
            return _Part(road, pipe), protocol


class _Road:
    """A connection, and who uses it."""

    def __init__(self, key: Hashable, pipe: SshPipe) -> None:
        self.key = key
        self.pipe = pipe
        self.users: set[_Part] = set()


class _Part:
    """One kernel's."""

    def __init__(self, road: _Road, pipe: SshPipe) -> None:
        self._road = road
        self._pipe = pipe
        road.users.add(self)

    async def close(self) -> str:
        road = self._road
        road.users.discard(self)
        self._pipe.channel.close()
        if road.users:
            return self._pipe.said.meaning()
        if _roads.get(road.key) is road:
            del _roads[road.key]
        return await road.pipe.close()
