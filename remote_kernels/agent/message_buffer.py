"""The agent as its kernels' only client: nothing a kernel says needs a listener.

A kernel's PUB socket drops what nobody takes, and its ROUTER what belongs to a client
that is gone. So the agent itself speaks to shell, control, stdin and iopub, takes at
once what comes, and keeps it in spools until the login end, this one or the next, has
passed it on. Kernels with CURVE are left out: their bytes pass as they are.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
from collections.abc import Callable, Sequence

from remote_kernels.relay.channel import Channel
from remote_kernels.relay.message_channel import MessageChannel
from remote_kernels.relay.spool import Spool
from remote_kernels.wire import messages, zmtp
from remote_kernels.wire.frames import ProtocolError
from remote_kernels.wire.kernel_sockets import KEPT

from .connection_file import Address

LAST_WORDS = 1.0  # seconds for what a dead kernel left in its sockets
HANDSHAKE_TIMEOUT = 30.0  # seconds for a busy kernel's I/O thread to answer
PIECE = 256 * 1024  # bytes of a large message that cross before the rest has come
PRELUDE = 0.002  # seconds for which "busy" and the echo of a cell wait for what follows


class _Client(asyncio.Protocol):
    """One connection to one socket of a kernel."""

    def __init__(
        self,
        peer: zmtp.Peer,
        take: Callable[[zmtp.Piece], None],
        full: Callable[[bool], None],
    ) -> None:
        self._peer = peer
        self._take = take
        self._full = full
        self._transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._peer.greeting)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        try:
            answer, received = self._peer.feed(data)
        except ProtocolError as exc:
            self._fail(OSError(str(exc)))
            self._transport.abort()
            return
        if answer:
            self._transport.write(answer)
        if self._peer.ready and not self.ready.done():
            self.ready.set_result(None)
        for piece in received:
            self._take(piece)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.gone.set_result(None)
        self._full(False)
        self._fail(OSError(f"the kernel closed the connection: {exc}"))

    def _fail(self, error: OSError) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # seen: whoever awaits it gets it all the same

    def pause_writing(self) -> None:
        self._full(True)

    def resume_writing(self) -> None:
        self._full(False)

    @property
    def connected(self) -> bool:
        return self._transport is not None

    def send(self, parts: Sequence[bytes]) -> None:
        """To the kernel. Without effect once the connection is gone."""
        if self._transport is not None:
            self._transport.write(zmtp.message(parts))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def connected(make: Callable[[], asyncio.Protocol], address: Address) -> None:
    """Join a protocol from `make` to a kernel's socket. Raises OSError."""
    loop = asyncio.get_running_loop()
    if isinstance(address, str):
        await loop.create_unix_connection(make, address)
    else:
        await loop.create_connection(make, *address)


class _SocketBuffer:
    """One of the kernel's sockets: its spool, its client, and who listens now."""

    def __init__(self, target: str, spool: Spool) -> None:
        self.target = target
        self.spool = spool
        self.client: _Client | None = None
        self.delivered = 0  # the login end has passed on what is up to here
        self._channel: MessageChannel | None = None
        self._next = 1, 0  # the message, and its piece
        self._full = False  # the kernel takes no more for now
        self._open = False  # the kernel may be asked
        self._waiting: list[list[bytes]] = []  # bounded by the channel's credit
        self._prelude: asyncio.TimerHandle | None = None
        self._left = 0  # bytes to come of what the kernel is saying

    def attach(self, channel: Channel) -> None:
        """Send what is kept by this channel; its first message says where that begins."""
        if self._channel is not None:
            self._channel.close()
        self._channel = MessageChannel(channel, self._send, self._pump)
        self.full(self._full)
        self._next = 1, 0  # the spool counts what it dropped of what is not forgotten
        about = {"delivered": self.delivered, "first": self.spool.first}
        self._channel.send(messages.encode([json.dumps(about).encode()]))
        self._pump()

    def _send(self, message: messages.Message) -> None:
        if not message.parts:
            return
        if self._open and self.client is not None and self.client.connected:
            self.client.send(message.parts)
        elif self.target == "shell":
            # A cell that was run while the kernel restarts waits, as it does in a
            # socket of libzmq's. What ends or interrupts a kernel must not.
            self._waiting.append(message.parts)
            self.full(True)

    def go_on(self) -> None:
        """Go on with a new process, which listens, and whose output is subscribed to."""
        self._open = True
        waiting, self._waiting = self._waiting, []
        self.full(False)
        for parts in waiting:
            self._send(messages.Message(0, parts))

    def leave(self) -> None:
        """Leave the process, which is gone, or about to be."""
        self._open = False
        if self.client is not None:
            self.client.close()
            self.client = None
        if self._left:  # it died in the middle of a word
            self.take(zmtp.Piece([], offset=1))

    def full(self, full: bool) -> None:
        self._full = full
        if self._channel is not None and full:
            self._channel.pause()
        elif self._channel is not None:
            self._channel.resume()

    def take(self, piece: zmtp.Piece) -> None:
        self.spool.append(*piece)
        self._left = piece.left
        if self.target != "iopub" or not _is_prelude(piece.parts):
            self._pump()
        elif self._prelude is None:
            loop = asyncio.get_running_loop()
            self._prelude = loop.call_later(PRELUDE, self._pump)

    def catch_up(self) -> None:
        """Something follows on another socket."""
        if self._prelude is not None:
            self._pump()

    def _pump(self) -> None:
        if self._prelude is not None:
            self._prelude.cancel()
            self._prelude = None
        channel = self._channel
        while channel is not None and not channel.full and not channel.is_closed:
            found = self.spool.read(*self._next)
            if found is None:
                return
            number, data = found
            piece = self._next[1] + 1 if number == self._next[0] else 1
            self._next = (number, piece) if messages.goes_on(data) else (number + 1, 0)
            channel.send(data)


def _is_prelude(parts: Sequence[bytes]) -> bool:
    """Whether it says only that a request is being answered: more comes at once.

    Together they cross as one packet and wake each end once. Source of the frames:
    https://jupyter-client.readthedocs.io/en/stable/messaging.html, on the wire.
    """
    if len(parts) < 7:
        return False
    header, content = parts[3], parts[6]
    return b'"execute_input"' in header or (
        b'"busy"' in content[:40] and b'"status"' in header
    )


class MessageBuffer:
    """The four kept sockets of one kernel, through all its processes.

    Parameters
    ----------
    directory : str
        A private directory on the node, for the spools.
    disk : int
        Bytes of each spool on the disk.
    """

    def __init__(self, directory: str, disk: int) -> None:
        self._buffers = {
            target: _SocketBuffer(target, Spool(directory, disk=disk))
            for target in KEPT
        }

    @property
    def said(self) -> int:
        """How many messages the kernel has published."""
        return self._buffers["iopub"].spool.last

    def __contains__(self, target: str) -> bool:
        return target in self._buffers

    async def connect(self, address: Callable[[str], Address]) -> None:
        """Connect to a new process of the kernel. Raises OSError."""
        self.disconnect()
        identity = os.urandom(8)  # a kernel asks for input by who sent the request
        await asyncio.gather(
            *(
                self._connect(buffer, address, identity)
                for buffer in self._buffers.values()
            )
        )
        for buffer in self._buffers.values():
            buffer.go_on()

    async def _connect(
        self, buffer: _SocketBuffer, address: Callable[[str], Address], identity: bytes
    ) -> None:
        subscribes = buffer.target == "iopub"
        peer = zmtp.Peer("DEALER", identity)
        if subscribes:
            peer = zmtp.Peer("SUB", piece=PIECE)
        take = buffer.take if subscribes else functools.partial(self._take, buffer)
        client = buffer.client = _Client(peer, take, buffer.full)
        await connected(lambda: client, address(buffer.target))
        try:
            await asyncio.wait_for(asyncio.shield(client.ready), HANDSHAKE_TIMEOUT)
        except asyncio.TimeoutError:
            msg = f"the kernel's {buffer.target} socket does not answer"
            raise OSError(msg) from None
        if subscribes:
            client.send([zmtp.SUBSCRIBE_ALL])

    def _take(self, buffer: _SocketBuffer, piece: zmtp.Piece) -> None:
        self._buffers["iopub"].catch_up()
        buffer.take(piece)

    async def drained(self) -> None:
        """Wait until all that a process said before its end has been read."""
        buffers = self._buffers.values()
        gone = [buffer.client.gone for buffer in buffers if buffer.client is not None]
        if gone:  # a child of the kernel may hold the sockets open
            await asyncio.wait(gone, timeout=LAST_WORDS)
        self.disconnect()

    def disconnect(self) -> None:
        """Leave the process, which is gone, or about to be. What it said stays."""
        for buffer in self._buffers.values():
            buffer.leave()

    def attach(self, target: str, channel: Channel) -> None:
        """Let `channel` have what is kept, then what comes."""
        self._buffers[target].attach(channel)

    def delivered(self, target: str, through: int, forget: int) -> None:
        """Learn that the login end has passed on `through`, and forget up to `forget`."""
        buffer = self._buffers.get(target)
        if buffer is not None:
            buffer.delivered = max(buffer.delivered, through)
            buffer.spool.forget(forget)

    def close(self) -> None:
        """Disconnect, and drop what is kept."""
        self.disconnect()
        for buffer in self._buffers.values():
            buffer.spool.close()
