"""Messages that nobody can read, through a running kernel: nothing else suffers."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
from front.test_jupyter_message import JUNK
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.session import DELIM

from login.conftest import START_TIMEOUT, run, running

DEEP = JUNK["deep"]
# In a kernel: the same said by it, at once on three of its sockets.
SAY = f"""
from jupyter_client.session import DELIM
kernel = get_ipython().kernel
deep, half = {DEEP!r}, {JUNK["half of a pair in a key"]!r}
for junk in (deep, half, b"\\xff", b"[]"):
    frames = [junk, b"{{}}", b"{{}}", b"{{}}"]
    said = [DELIM, kernel.session.sign(frames), *frames]
    kernel.iopub_socket.send_multipart([b"topic", *said])
    kernel.iopub_socket.send_multipart([b"topic", said[0], said[1], b"{{}}", *frames[:3]])
    ident = kernel._parent_ident["shell"][0]  # ipykernel 7.4
    kernel.stdin_socket.send_multipart([ident, *said])
"""


def junk(client: AsyncKernelClient, number: int) -> list[list[bytes]]:
    """With a right signature."""
    made = []
    for header in JUNK.values():
        frames = [b'{"msg_id": "%d", "msg_type": "a"}' % number, b"{}", b"{}", b"{}"]
        for at in (0, 1, 3):
            odd = [*frames]
            odd[at] = header
            made.append([DELIM, client.session.sign(odd), *odd])
    return made


def ended(parts: list[bytes], cell: str) -> bool:
    return cell.encode() in parts[-3] and b'"idle"' in parts[-1]


async def said(client: AsyncKernelClient, code: str) -> list[list[bytes]]:
    """What came on iopub until the cell's end, unread."""
    cell = client.execute(code)
    came: list[list[bytes]] = []
    socket: Any = client.iopub_channel.socket
    while not came or not ended(came[-1], cell):
        received = socket.recv_multipart()
        came.append(await asyncio.wait_for(received, START_TIMEOUT))
    await client.get_shell_msg(timeout=START_TIMEOUT)
    return came


@pytest.mark.asyncio
async def test_from_both_ends() -> None:
    """Cells run on, a cut carrier's session resumes, and a restart works."""
    async with running("t-local") as (manager, client):
        provisioner: Any = manager.provisioner
        tunnel = provisioner.remote_kernel.status.connection.tunnel
        session = repr(tunnel).partition(" sent")[0]
        await run(client, "kept = 1")
        channels: list[Any] = [
            client.shell_channel,
            client.control_channel,
            client.stdin_channel,
        ]
        for parts in junk(client, 1):
            for channel in channels:
                await channel.socket.send_multipart(parts)
        assert await run(client, "print(kept)") == "1"

        came = await said(client, SAY)
        deep = [parts for parts in came if DEEP in parts]
        assert 2 == len(deep), [parts[:1] for parts in came]
        assert await run(client, "print(kept)") == "1"

        os.kill(tunnel._pipe.process.get_pid(), signal.SIGKILL)
        assert await run(client, "print(kept)") == "1"
        assert session == repr(tunnel).partition(" sent")[0]

        await said(client, SAY)
        await manager.restart_kernel()
        await client.wait_for_ready(timeout=START_TIMEOUT)
        assert await run(client, "print('kept' in globals())") == "False"
