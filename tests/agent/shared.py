"""The agent of a shared job in this process, and login ends that come to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from remote_kernels.agent.endpoint import Agent
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire import control

SECRET = b"s" * 32
SECONDS = 20.0
LASTING = ["sleep", "1d"]  # a kernel that never listens, but lives
P = TypeVar("P", bound=asyncio.Protocol)


async def until(what: str, is_so: Callable[[], bool]) -> None:
    async def poll() -> None:
        while not is_so():
            await asyncio.sleep(0.01)

    try:
        await asyncio.wait_for(poll(), SECONDS)
    except asyncio.TimeoutError:
        raise AssertionError(what) from None


class _Pipe:
    async def close(self) -> str:
        return ""


class Straight:
    """A carrier to a Unix socket of this machine."""

    name = "straight"
    answers = False
    slow = 0.0

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    async def connect(self, make: Callable[[], P]) -> tuple[_Pipe, P]:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_unix_connection(make, self._path)
        return _Pipe(), protocol


class Place:
    """A state directory with one allocation and some kernels."""

    def __init__(self, base: Path, **spec: Any) -> None:
        self.base = base
        self.path = base / "allocations" / "team"
        self.members = self.path / "members"
        self.members.mkdir(parents=True)
        self.spec = {"agent": "team", "secret": SECRET.hex(), "keep": 0.1, "shell": []}
        self.spec |= {"kernels": {}, **spec}
        self.write(self.path, "spec.json", self.spec)
        self.announced = False  # by its agent
        self.states: list[control.KernelState] = []

    def write(self, record: Path, name: str, body: dict[str, Any]) -> None:
        (record / name).write_text(json.dumps(body))

    def record(self, kernel: str) -> Path:
        return self.base / "kernels" / kernel

    def add(self, kernel: str, *, member: bool = True, **spec: Any) -> Path:
        """A kernel's record."""
        record = self.record(kernel)
        record.mkdir(parents=True)
        connection = {"transport": "ipc", "key": "", "signature_scheme": "hmac-sha256"}
        what = {"argv": LASTING, "connection": connection}
        self.write(record, "spec.json", {"kernels": {kernel: what}, **spec})
        if member:
            (self.members / kernel).touch()
        return record

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[asyncio.Future[None]]:
        """Running, on the job's first node; done when it has ended."""
        listening = asyncio.Event()
        agent = Agent(self.spec, {}, str(self.path))
        running = asyncio.ensure_future(
            agent.run(str(self.base / "agent"), listening.set, [])
        )
        heard = asyncio.ensure_future(listening.wait())
        await asyncio.wait((running, heard), return_when=asyncio.FIRST_COMPLETED)
        self.announced = listening.is_set()
        heard.cancel()
        try:
            yield running
        finally:
            if not running.done():
                os.kill(os.getpid(), signal.SIGHUP)  # which the agent obeys
            await running
            agent.kill()

    @asynccontextmanager
    async def attached(self, kernel: str, **options: Any) -> AsyncIterator[Tunnel]:
        """A login end of this kernel."""
        tunnel = Tunnel(
            [Straight(self.base / "agent")],
            SECRET,
            self._heard,
            kernel=kernel,
            record=str(self.record(kernel)),
            **options,
        )
        await tunnel.open()
        yield tunnel
        await tunnel.close()

    def _heard(self, message: control.Message) -> None:
        if isinstance(message, control.KernelState):
            self.states.append(message)
