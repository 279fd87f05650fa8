"""front.clients: whatever dies and whenever, notebooks show each output once."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from front.world import Agent, Browser, Kernel, Msg, Parts, Server, read, show, timeless
from remote_kernels.front.delivery import SETTLE


@dataclass(frozen=True)
class Round:
    """What happens, in this order."""

    page: int  # which one acts
    comes: bool  # back, if it was away
    asks: bool  # for another cell
    prints: int
    flows: int  # messages of each channel that reach the server
    waits: int  # tenths of SETTLE
    then: str  # a method of World, with
    arrived: int  # messages in the browser when the server dies


class Page(Browser):
    """A notebook; messages take up to SETTLE seconds to it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.online = False
        self.cells: dict[str, list[str]] = {}  # what each one must show
        self.shown: dict[str, list[str]] = defaultdict(list)
        self._coming: deque[tuple[float, Msg]] = deque()

    def send(self, msg: Msg, now: float) -> None:
        if self.online:
            self._coming.append((now, msg))

    def arrive(self, count: int) -> None:
        for _ in range(min(count, len(self._coming))):
            show(self._coming.popleft()[1], self.shown)

    def arrive_until(self, end: float) -> None:
        self.arrive(sum(sent <= end for sent, _ in self._coming))

    def lose(self) -> None:
        """The server is dead, and with it what was on its way."""
        self.online = False
        self._coming.clear()


class NotebookServer(Server):
    def __init__(self, agent: Agent, directory: Path, pages: list[Page]) -> None:
        super().__init__(agent, directory, {})
        self._pages = pages

    def send(self, target: str, parts: Parts) -> None:
        for page in self._pages:
            page.send(read(parts), asyncio.get_running_loop().time())


class World:
    """One kernel and its notebooks."""

    def __init__(self, directory: Path, pages: int) -> None:
        self._directory = directory
        self.agent = Agent(directory)
        self.pages = [Page(str(number)) for number in range(pages)]
        self._kernel = Kernel(self.agent)
        self._queue: deque[tuple[Page, Msg]] = deque()
        self._cell: tuple[Page, Msg] | None = None
        self._said = 0
        self._server: NotebookServer | None = None

    async def play(self, part: Round) -> None:
        page = self.pages[part.page % len(self.pages)]
        if part.comes or part.asks:
            self.come_back(page)
        if part.asks:
            self.execute(page)
        self.speak(part.prints)
        self.agent.flow(part.flows)
        await self.wait(part.waits)
        if part.then == "die":
            self.die(part.arrived)
        elif part.then == "end":
            self.end()
        elif part.then == "crash":
            self.crash()

    # The notebook server

    def start(self) -> NotebookServer:
        if self._server is None:
            self._server = NotebookServer(self.agent, self._directory, self.pages)
            self._server.start()
        return self._server

    def die(self, arrived: int = 0) -> None:
        if self._server is not None:
            self._server.die()
            self._server = None
        for page in self.pages:
            page.arrive(arrived)
            page.lose()

    async def wait(self, tenths: int) -> None:
        await asyncio.sleep(SETTLE * tenths / 10)
        for page in self.pages:
            page.arrive_until(asyncio.get_running_loop().time() - SETTLE)

    # Pages

    def come_back(self, page: Page) -> None:
        if not page.online:
            page.online = True
            page.come_back(self.start())

    def execute(self, page: Page) -> None:
        cell = page.ask(self.start())
        page.cells[cell["header"]["msg_id"]] = []
        self._queue.append((page, cell))

    # The kernel

    def speak(self, count: int) -> None:
        """In the running cell, or the next one."""
        if self._cell is None and self._queue:
            self._cell = self._queue.popleft()
            self._kernel.busy(self._cell[1])
        for _ in range(count if self._cell else 0):
            self._say()

    def _say(self) -> None:
        assert self._cell is not None
        page, cell = self._cell
        self._said += 1
        self._kernel.print(cell, str(self._said))
        page.cells[cell["header"]["msg_id"]].append(str(self._said))

    def end(self) -> None:
        """The running cell ends."""
        if self._cell is not None:
            self._kernel.reply(self._cell[1])
            self._kernel.idle(self._cell[1])
            self._cell = None

    def crash(self) -> None:
        """The kernel is started again; what it was to do is forgotten."""
        self._cell = None
        self._queue.clear()
        self._kernel.status("starting", None)

    async def finish(self) -> None:
        """All is well from now on."""
        for page in self.pages:
            self.come_back(page)
        while self._cell or self._queue:
            self.speak(1)
            self.end()
        self.agent.flow()
        await self.wait(30)

    def close(self) -> None:
        self.die()
        self.agent.end()


THEN = ["go on", "end", "die", "die", "die", "crash"]
few = st.integers(0, 6)
ROUNDS = st.builds(
    Round,
    page=st.integers(0, 1),
    comes=st.booleans(),
    asks=st.booleans(),
    prints=few,
    flows=few,
    waits=st.integers(0, 25),
    then=st.sampled_from(THEN),
    arrived=few,
)


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 2), st.lists(ROUNDS, min_size=2, max_size=15))
@timeless
async def test_each_output_is_shown_once_and_in_order(
    pages: int, story: list[Round]
) -> None:
    """In the end, and then the agent keeps nothing."""
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), pages)
        try:
            for part in story:
                await world.play(part)
            await world.finish()

            for page in world.pages:
                assert page.cells == {cell: page.shown[cell] for cell in page.cells}
            assert [0] * 4 == [spool.size for spool in world.agent.spools.values()]
        finally:
            world.close()
