"""agent.message_buffer: a kernel that takes nothing fills a channel, not the node's memory."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from relay.joined import Joined, joined, until
from wire.pair import idle

from agent.zmq_kernel import zmq_kernels
from remote_kernels.agent.message_buffer import MessageBuffer
from remote_kernels.relay.channel import Channel
from remote_kernels.wire.zmtp import COMMAND, Peer, frame

READY = frame(b"\x05READY", COMMAND)
MIB = bytes(1024 * 1024)


async def is_held_up(login: Joined) -> bool:
    """Whether a new channel to the shell is full before it has sent everything."""
    shell = login.open("shell")
    for _ in range(40):
        shell.send(MIB)
    await until(lambda: idle(login.login.session))
    return shell.channel.full


@pytest.mark.asyncio
async def test_a_busy_kernel_holds_up_each_session(tmp_path: Path) -> None:
    """The second one as well as the first."""
    buffer = MessageBuffer(str(tmp_path), disk=0)

    async def attach(kernel: str, target: str, channel: Channel) -> None:
        buffer.attach(target, channel)

    async with zmq_kernels() as kernels:
        kernel = kernels.start()
        with socket.create_server(("127.0.0.1", 0)) as busy:
            shell: tuple[str, int] = busy.getsockname()
            connecting = asyncio.create_task(
                buffer.connect(lambda t: shell if t == "shell" else kernel.address(t))
            )
            loop = asyncio.get_running_loop()
            busy.setblocking(False)
            connection, _ = await asyncio.wait_for(loop.sock_accept(busy), 10)
            with connection:
                await loop.sock_sendall(connection, Peer.greeting + READY)
                await asyncio.wait_for(connecting, 10)

                for _ in range(2):
                    async with joined(attach) as login:
                        assert await is_held_up(login)
                buffer.close()
                await asyncio.sleep(0)  # asyncio closes the sockets in its next turn
