"""A kernel's sockets as libzmq makes them, with no kernel behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import zmq
import zmq.asyncio

from remote_kernels.agent.connection_file import Address

SECONDS = 10.0
KINDS = {
    "shell": zmq.ROUTER,
    "control": zmq.ROUTER,
    "stdin": zmq.ROUTER,
    "iopub": zmq.XPUB,
}


class ZmqKernel:
    """One process of a kernel."""

    def __init__(self, context: zmq.asyncio.Context, directory: Path | None) -> None:
        self.sockets: dict[str, zmq.asyncio.Socket] = {}
        self._addresses: dict[str, Address] = {}
        for target, kind in KINDS.items():
            sock = self.sockets[target] = context.socket(kind)
            sock.setsockopt(zmq.LINGER, int(SECONDS * 1000))
            sock.setsockopt(zmq.SNDHWM, 0)
            if directory is None:
                port = sock.bind_to_random_port("tcp://127.0.0.1")
                self._addresses[target] = ("127.0.0.1", port)
            else:
                sock.bind(f"ipc://{directory}/{target}")
                self._addresses[target] = f"{directory}/{target}"

    def address(self, target: str) -> Address:
        return self._addresses[target]

    async def receive(self, target: str) -> list[bytes]:
        """With the client's identity; of iopub, a subscription."""
        return await asyncio.wait_for(self.sockets[target].recv_multipart(), SECONDS)

    async def publish(self, *bodies: bytes) -> None:
        for body in bodies:
            await self.sockets["iopub"].send_multipart([b"topic", body])

    def end(self) -> None:
        """What was said before still arrives."""
        for sock in self.sockets.values():
            sock.close()


class Kernels:
    """Makes processes of a kernel."""

    def __init__(self, context: zmq.asyncio.Context) -> None:
        self._context = context
        self._made: list[ZmqKernel] = []

    def start(self, directory: Path | None = None) -> ZmqKernel:
        """At sockets in `directory`, or else at ports."""
        self._made.append(ZmqKernel(self._context, directory))
        return self._made[-1]

    def end(self) -> None:
        for kernel in self._made:
            for sock in kernel.sockets.values():
                sock.close(linger=0)


@asynccontextmanager
async def zmq_kernels() -> AsyncIterator[Kernels]:
    with zmq.asyncio.Context() as context:
        made = Kernels(context)
        try:
            yield made
        finally:
            made.end()
