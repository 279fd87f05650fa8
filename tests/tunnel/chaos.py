"""A carrier whose pipes break in every way, and a clock that waits for nobody.

`Storm` is the weather of one example; its pipes lead to the agent's real socket.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, cast

from hypothesis import strategies as st

from remote_kernels.tunnel.carriers.base import CarrierError, P

T = TypeVar("T")

HIGH = 100_000  # bytes under way above which the writer is paused
ALL = 1 << 60


class Clock(asyncio.SelectorEventLoop):
    """Time passes when there is nothing else to do, and then at once."""

    def __init__(self) -> None:
        self._now = 0.0
        self._errors: list[dict[str, Any]] = []
        clock = self

        class Selector(selectors.SelectSelector):
            def select(self, timeout: float | None = None) -> Any:
                ready = super().select(0)
                if not ready:
                    assert timeout is not None, "all wait for ever"
                    clock._now += timeout
                return ready

        self._files = Selector()
        super().__init__(self._files)
        self.set_exception_handler(lambda _, error: self._errors.append(error))

    def time(self) -> float:
        return self._now

    def left(self) -> list[object]:
        """Tasks, timers, sockets but for the loop's own, and exceptions nobody saw."""
        timers = self._scheduled  # type: ignore[attr-defined]  # asyncio.base_events
        return [
            *asyncio.all_tasks(self),
            *(timer for timer in timers if not timer.cancelled()),
            *list(self._files.get_map().values())[1:],
            *self._errors,
        ]

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """To its end, after which nothing may be left."""
        try:
            result = self.run_until_complete(main)
            left = self.left()
            assert [] == left, left
            return result
        finally:
            for task in asyncio.all_tasks(self):
                task.cancel()
            self.run_until_complete(asyncio.sleep(0))
            self.close()


class Fate(Enum):
    BREAK = "both ends learn of it; of what was under way, all, half or nothing arrives"
    GHOST = "the agent gets what was under way to it late, when newer pipes are there"
    HOLE = "nothing arrives any more, and nobody is told"
    HALF = "nothing arrives any more, and only the agent is told"
    STALL = "nothing arrives until the login end has given up, and then everything"


@dataclass(frozen=True)
class Weather:
    """Of one connect.

    `at` bytes after its beginning, in direction `down` (to the login end) or up, or
    after `life` milliseconds, the pipe meets its `fate`. The `seed` is that of the
    sizes and delays of pieces, and of what is said meanwhile.
    """

    refused: bool
    fate: Fate
    down: bool
    at: int
    life: int
    seed: int


def _weather(*fates: Fate, down: st.SearchStrategy[bool], at: int) -> Any:
    return st.builds(
        Weather,
        refused=st.sampled_from([False] * 7 + [True]),
        fate=st.sampled_from(fates),
        down=down,
        at=st.integers(0, at),
        life=st.integers(0, 2000),
        seed=st.integers(0, 1 << 16),
    )


# The hello is about 270 bytes down and 230 up; a frame has 65556 at most.
_weather_of_any_kind = st.one_of(
    _weather(*Fate, down=st.booleans(), at=400),
    _weather(*Fate, down=st.booleans(), at=5000),
    _weather(*Fate, down=st.booleans(), at=200_000),
    _weather(Fate.STALL, down=st.just(True), at=70_000),
    _weather(Fate.BREAK, Fate.GHOST, down=st.booleans(), at=70_000),
)
# First contact, overtaken by the next.
_overtaken = _weather(Fate.GHOST, down=st.just(False), at=230)


def weathers(least: int) -> st.SearchStrategy[list[Weather]]:
    """Of one example."""
    most = st.lists(_weather_of_any_kind, min_size=least, max_size=2 * least)
    first = st.lists(_overtaken, max_size=2)
    return st.builds(list.__add__, first, most)


class Lane:
    """One direction of a pipe: bytes arrive later, in pieces."""

    def __init__(
        self,
        pipe: Pipe,
        deliver: Callable[[bytes], None],
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self._pipe = pipe
        self._deliver = deliver
        self._pause, self._resume = pause, resume
        self._paused = self._frozen = self._dead = False
        self._timer: asyncio.TimerHandle | None = None
        self._at_end: Callable[[], None] = lambda: None
        self.under_way = bytearray()
        self.limit = ALL

    def put(self, data: bytes) -> None:
        if self._dead:
            return
        self.under_way += data
        if len(self.under_way) > HIGH and not self._paused:
            self._paused = True
            self._pause()
        self._go_on()

    def _go_on(self) -> None:
        if self.under_way and not self._frozen and self._timer is None:
            size, delay = self._pipe.piece()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay, self._piece, size)

    def _piece(self, size: int) -> None:
        self._timer = None
        self.flush(min(size, self.limit))
        if not self.limit:
            self._pipe.strike()
        self._go_on()

    def flush(self, size: int = ALL) -> None:
        data = bytes(self.under_way[:size])
        del self.under_way[:size]
        self.limit -= len(data)
        self._pipe.storm.bytes += len(data)
        if data:
            self._deliver(data)
        if self._paused and len(self.under_way) < HIGH:
            self._paused = False
            self._resume()
        if not self.under_way:
            self._at_end()

    def end(self, then: Callable[[], None]) -> None:
        """Call `then` when all has arrived."""
        self._at_end = then
        if not self.under_way:
            then()

    def freeze(self) -> None:
        self._frozen = True
        if self._timer is not None:
            self._timer.cancel()
        if self._paused:
            self._paused = False
            self._resume()

    def die(self) -> None:
        self._dead = True
        self.under_way.clear()
        self.freeze()


class Near(asyncio.Transport):
    """A pipe's end in the login end."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._pipe.up.put(bytes(data))

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        pass

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._pipe.given_up)

    abort = close


class Pipe(asyncio.Protocol):
    """A pipe: protocol of a connection to the agent, transport's maker for a link."""

    def __init__(self, storm: Storm, weather: Weather | None) -> None:
        self.storm = storm
        self._weather = weather
        self._dice = random.Random(weather.seed if weather else 0)
        self._fate: Fate | None = None
        self._gone = asyncio.Event()  # for the login end
        self._life: asyncio.TimerHandle | None = None
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._far = cast(asyncio.Transport, transport)
        self.storm.pipes.add(self)

    def join(self, link: asyncio.Protocol) -> None:
        self._link = link
        far, near = self._far, Near(self)
        self._near = near
        self.up = Lane(self, far.write, link.pause_writing, link.resume_writing)
        self.down = Lane(
            self, link.data_received, far.pause_reading, far.resume_reading
        )
        if self._weather is not None:
            (self.down if self._weather.down else self.up).limit = self._weather.at
            loop = asyncio.get_running_loop()
            self._life = loop.call_later(self._weather.life / 1000, self.strike)
        link.connection_made(near)

    def piece(self) -> tuple[int, float]:
        """How many bytes arrive at once, after how many seconds."""
        if self._weather is None:
            return ALL, 0.0
        size = self._dice.choice((1, 30, 3000, HIGH, HIGH))
        return size, self._dice.choice((0.0, 0.001, 0.02))

    def data_received(self, data: bytes) -> None:
        self.down.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The agent has closed it."""
        self.storm.pipes.discard(self)
        if self._late is not None:
            self._late.cancel()
        if self._fate is None:
            self.up.die()
            self.down.end(self._finish)
        self.storm.changed()

    def given_up(self) -> None:
        """The login end has closed it; a command's output may come all the same."""
        if self._fate is None:
            self.down.die()
            self.up.end(self._finish)
            return
        if self._fate is Fate.STALL and not self._gone.is_set():
            self.up.flush()
            self.down.flush()
        self._finish()

    async def close(self) -> str:
        """Called by the tunnel."""
        self._near.close()
        await self._gone.wait()
        return ""

    def strike(self) -> None:
        """Now, unless it has an end already."""
        if self._weather is None or self._fate or self._gone.is_set():
            return
        self._fate = self._weather.fate
        self.storm.cuts += 1
        for lane in (self.up, self.down):
            lane.freeze()
            if self._fate is Fate.BREAK:
                lane.flush(len(lane.under_way) // self._dice.choice((1, 2, ALL)))
            if self._fate in (Fate.HOLE, Fate.HALF):
                lane.die()
        if self._fate is Fate.HALF:
            self._far.close()
        if self._fate is Fate.GHOST:
            delay = self._dice.choice((0.1, 0.3, 1.0, 9.0))
            self._late = asyncio.get_running_loop().call_later(delay, self._haunt)
        if self._fate in (Fate.BREAK, Fate.GHOST) or self._near.is_closing():
            self._finish()

    def _haunt(self) -> None:
        if not self._far.is_closing():
            self.up.flush()
            self._far.close()

    def _finish(self) -> None:
        """The login end has seen the last of it."""
        if self._gone.is_set():
            return
        self._gone.set()
        if self._life is not None:
            self._life.cancel()
        self.down.die()
        if self._fate not in (Fate.HOLE, Fate.GHOST):
            self.up.die()
            self._far.close()
        broken = self._fate in (Fate.BREAK, Fate.GHOST)
        self._link.connection_lost(ConnectionResetError("chaos") if broken else None)


class Storm:
    """The weather of one example, and what it did.

    Parameters
    ----------
    weathers:
        Of the connects; later ones are calm.
    agent:
        The agent's socket.
    talk:
        Called with each connect's dice.
    changed:
        Called when a pipe is gone for the agent.
    """

    def __init__(
        self,
        weathers: list[Weather],
        agent: Path,
        talk: Callable[[random.Random], None],
        changed: Callable[[], None],
    ) -> None:
        self._weathers = iter(weathers)
        self.agent = agent
        self._talk = talk
        self.changed = changed
        self.pipes: set[Pipe] = set()  # that the agent has
        self.calm = False
        self.cuts = self.bytes = 0

    async def connect(self, make: Callable[[], P]) -> tuple[Pipe, P]:
        weather = next(self._weathers, None)
        self.calm = weather is None
        if weather is not None:
            self._talk(random.Random(weather.seed))
            if weather.refused:
                raise CarrierError("chaos")
        loop = asyncio.get_running_loop()
        _, pipe = await loop.create_unix_connection(
            lambda: Pipe(self, weather), str(self.agent)
        )
        link = make()
        pipe.join(link)
        self.changed()
        return pipe, link


@dataclass
class ChaosCarrier:
    name: str
    storm: Storm
    answers = False
    slow = 0.0

    async def connect(self, make: Callable[[], P]) -> tuple[Pipe, P]:
        return await self.storm.connect(make)
