"""A socket that clients of a kernel connect to: a ROUTER or an XPUB, in ZMTP.

Ours and not libzmq's, because what a client says then reaches us in one step, and what
we say reaches the client's own I/O thread: libzmq's here would be one more thread that
has to wake up, twice for each round trip. Driven by an asyncio loop. Made by proxy.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from remote_kernels import harmless
from remote_kernels.wire import zmtp
from remote_kernels.wire.frames import ProtocolError

log = harmless.logger(__name__)

# Bytes queued for one client that does not read; what comes then is dropped for it,
# because one stopped client must not hold up the others. libzmq would count messages.
CLIENT_BYTES = 256 * 1024 * 1024
BACKLOG = 100  # connections not yet accepted; libzmq's own
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE = 1.0  # seconds, when nothing is left to accept a connection with


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, listener: Listener, kind: str) -> None:
        self._listener = listener
        self.peer = zmtp.Peer(kind)
        self.topics: list[bytes] = []
        self.identity = b""
        self.transport: asyncio.Transport | None = None
        # What the socket does not take yet. The transport's own buffer would be copied
        # as a whole whenever it grows (before Python 3.12), so at most one is in that.
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # of those
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)
        self.write(self.peer.greeting)
        self._listener.joined(self)

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            return
        try:
            answer, messages = self.peer.feed(data)
        except ProtocolError as exc:
            log.debug("= a client's connection: %s", exc)
            self.transport.abort()
            return
        if answer:
            self.write(answer)
        if self.peer.ready and not self.identity:
            # One of five bytes with a zero first is what libzmq makes up.
            self.identity = self.peer.identity or b"\0" + os.urandom(4)
            self._listener.greeted(self)
        for piece in messages:
            self._listener.came(self, piece.parts)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        while self._waiting and not self._full and self.transport is not None:
            data = self._waiting.popleft()
            self._bytes -= len(data)
            self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._waiting.clear()
        self._full = False
        self._listener.left(self)

    @property
    def is_behind(self) -> bool:
        return self._bytes >= CLIENT_BYTES

    def write(self, data: bytes) -> None:
        if self._full:
            self._waiting.append(data)
            self._bytes += len(data)
        elif self.transport is not None:
            self.transport.write(data)

    def send(self, data: bytes) -> None:
        if not self.is_behind:
            self.write(data)

    def close(self) -> None:
        """After what waits."""
        if self.transport is not None:
            self.transport.writelines(self._waiting)
            self._waiting.clear()
            self.transport.close()


class Sink:
    """A large message on its way to those who had subscribed when it began.

    `left` is how many bytes of it are to come; then `done` is called.
    """

    def __init__(
        self, clients: list[_Client], left: int, done: Callable[[], None]
    ) -> None:
        self._clients = clients
        self._done = done
        self.left = left

    def write(self, data: bytes) -> None:
        """The next bytes."""
        for client in self._clients:
            client.write(data)
        self.left -= len(data)
        if not self.left:
            self._done()

    def cut(self) -> None:
        """The rest will never come: libzmq forgets what it has of it, and comes back."""
        for client in self._clients:
            client.close()
        self._done()


class Listener:
    """Many clients, one socket.

    Parameters
    ----------
    path:
        Where it listens, in a directory that only the user may enter.
    publishes:
        Whether it is an XPUB; else a ROUTER.
    take:
        Called with each message; of an XPUB, with each subscription. As libzmq's, a
        ROUTER's begin with the client's identity.
    full:
        Whether to call `take` no more for now; `go_on` ends that.
    """

    def __init__(
        self,
        path: Path,
        publishes: bool,
        take: Callable[[list[bytes]], None],
        full: Callable[[], bool],
    ) -> None:
        self._path = path
        self._publishes = publishes
        self._take = take
        self._full = full
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._bound = 0  # the inode of its path
        self._accepting: set[asyncio.Task[object]] = set()
        self._clients: dict[_Client, None] = {}
        self._by_identity: dict[bytes, _Client] = {}
        self._waiting: deque[list[bytes]] = deque()  # came while it was full
        self._paused = False
        self._sink: Sink | None = None
        self._behind: list[list[bytes]] = []  # to be published when the sink is done

    def bind(self) -> None:
        """Also anew, when somebody has unlinked it. Raises OSError."""
        self._leave()
        self._path.unlink(missing_ok=True)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.bind(str(self._path))
            made.listen(BACKLOG)
            made.setblocking(False)
        except OSError:
            made.close()
            raise
        self._socket = made
        self._bound = self._path.stat().st_ino
        self._listen(made)

    def _listen(self, made: socket.socket) -> None:
        if made is self._socket:
            self._loop.add_reader(made, self._accept)

    def move(self, path: Path) -> None:
        """Where it listens from the next `bind` on."""
        self._path = path

    def is_there(self) -> bool:
        """Whether new clients find it."""
        try:
            return self._path.stat().st_ino == self._bound
        except OSError:
            return False

    def _accept(self) -> None:
        try:
            self._accept_all()
        except OSError as exc:
            if exc.errno not in EXHAUSTED or self._socket is None:
                raise
            # Clients wait in the queue meanwhile; asking at once would ask for ever.
            log.warning("clients of a kernel must wait: %s", exc)
            self._loop.remove_reader(self._socket)
            self._loop.call_later(PAUSE, self._listen, self._socket)

    def _accept_all(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                accepted, _ = self._socket.accept()
                client = _Client(self, "XPUB" if self._publishes else "ROUTER")
                task = self._loop.create_task(
                    self._loop.connect_accepted_socket(lambda c=client: c, accepted)  # type: ignore[misc]
                )
                self._accepting.add(task)
                task.add_done_callback(functools.partial(self._accepted, accepted))

    def _accepted(self, accepted: socket.socket, task: asyncio.Task[object]) -> None:
        self._accepting.discard(task)
        if task.cancelled():  # asyncio may not have begun with it
            accepted.close()

    # Called by clients

    def joined(self, client: _Client) -> None:
        self._clients[client] = None

    def greeted(self, client: _Client) -> None:
        """What is for its identity is for it, and not for one that had it before."""
        self._by_identity[client.identity] = client
        if self._paused and client.transport is not None:
            # Not before: asyncio of Python 3.11 would forget it.
            client.transport.pause_reading()

    def left(self, client: _Client) -> None:
        del self._clients[client]
        if self._by_identity.get(client.identity) is client:
            del self._by_identity[client.identity]

    def came(self, client: _Client, parts: list[bytes]) -> None:
        if not self._publishes:
            parts = [client.identity, *parts]
        elif parts[0][:1] == b"\1":
            client.topics.append(parts[0][1:])
        else:
            if parts[0][:1] == b"\0" and parts[0][1:] in client.topics:
                client.topics.remove(parts[0][1:])
            return
        self._waiting.append(parts)
        self.go_on()

    # Called by the front

    def go_on(self) -> None:
        """Take what clients say, while there is room."""
        while self._waiting and not self._full():
            self._take(self._waiting.popleft())
        if bool(self._waiting) is self._paused:
            return
        self._paused = not self._paused
        for client in self._clients:
            if client.transport is not None and self._paused:
                client.transport.pause_reading()
            elif client.transport is not None:
                client.transport.resume_reading()

    def awaits_topics(self) -> bool:
        """Whether somebody connected who has not yet said what to send to it."""
        if self._socket is not None:  # else it could not be bound anew
            self._accept()
        return bool(self._accepting) or not all(c.topics for c in self._clients)

    def knows(self, identity: bytes) -> bool:
        """Whether a client of that name is connected."""
        return identity in self._by_identity

    def send(self, parts: list[bytes]) -> None:
        """To clients; a client that has gone is no error."""
        if self._sink is not None:
            self._behind.append(parts)
        elif self._publishes:
            data = zmtp.message(parts)
            for client in self._subscribers(parts[0]):
                client.send(data)
        elif parts[0] in self._by_identity:
            self._by_identity[parts[0]].send(zmtp.message(parts[1:]))

    def _subscribers(self, topic: bytes) -> list[_Client]:
        return [
            client
            for client in self._clients
            if any(topic.startswith(begin) for begin in client.topics)
        ]

    def begin(self, parts: list[bytes], left: int) -> Sink:
        """Publish a message of whose last frame `left` bytes follow.

        What else is published meanwhile waits for its end.
        """
        assert self._publishes
        data = zmtp.begin(parts, left)
        everybody = self._subscribers(parts[0])
        clients = [client for client in everybody if not client.is_behind]
        self._sink = Sink(clients, len(data) + left, self._end)
        self._sink.write(data)
        return self._sink

    def _end(self) -> None:
        self._sink = None
        behind, self._behind = self._behind, []
        for parts in behind:
            self.send(parts)

    def close(self) -> None:
        self._leave()
        for task in self._accepting:
            task.cancel()
        for client in self._clients:
            if client.transport is not None:
                client.transport.abort()
        self._path.unlink(missing_ok=True)

    def _leave(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
