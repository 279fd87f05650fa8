"""A login end and an agent end in one event loop, joined by a real pipe."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from remote_kernels.relay.channel import Channel
from remote_kernels.relay.link import Link
from remote_kernels.relay.message_channel import MessageChannel
from remote_kernels.relay.mux import Connect, Mux
from remote_kernels.wire.codes import Farewell
from remote_kernels.wire.hello import AgentHello, Ask, Hello, LoginHello
from remote_kernels.wire.messages import Message, encode
from remote_kernels.wire.session import Session

SECONDS = 10.0
HIGH_WATER = 1 << 20
SECRET = b"s" * 32


class Talker:
    """A channel of messages, and what came out of it."""

    def __init__(self, channel: Channel) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.room = asyncio.Event()
        self.channel = MessageChannel(channel, self._messages.put_nowait, self.room.set)

    async def receive(self) -> Message:
        return await asyncio.wait_for(self._messages.get(), SECONDS)

    def rest(self) -> list[Message]:
        """What has come and was not received."""
        return [self._messages.get_nowait() for _ in range(self._messages.qsize())]

    def send(self, *parts: bytes) -> None:
        self.channel.send(encode(parts))


async def until(ready: Callable[[], bool]) -> None:
    async def poll() -> None:
        while not ready():
            await asyncio.sleep(0)

    await asyncio.wait_for(poll(), SECONDS)


class Joined:
    """Both ends of a session."""

    def __init__(self, connect: Connect) -> None:
        self.login = Mux(Session("s", 1, HIGH_WATER), lambda message: None)
        self.agent = Mux(Session("s", 2, HIGH_WATER), lambda message: None, connect)

    def open(self, target: str) -> Talker:
        """A channel of the login end's."""
        return Talker(self.login.channel("k", target))


@asynccontextmanager
async def joined(connect: Connect) -> AsyncIterator[Joined]:
    """A new session; `connect` is the agent's."""
    made = Joined(connect)
    near, far = socket.socketpair()
    agent_hello = AgentHello(SECRET, "a", lambda *positions: 0)
    links = [
        await _link(LoginHello(SECRET, Ask("s")), made.login, near),
        await _link(agent_hello, made.agent, far),
    ]
    try:
        await asyncio.wait_for(asyncio.gather(*(link.ready for link in links)), SECONDS)
        yield made
    finally:
        made.login.close(Farewell.DETACHED)
        made.agent.close(Farewell.ENDING)
        await until(lambda: all(link.closed.done() for link in links))


async def _link(hello: Hello, mux: Mux, sock: socket.socket) -> Link:
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(lambda: Link(hello, lambda: mux), sock=sock)
    return link
