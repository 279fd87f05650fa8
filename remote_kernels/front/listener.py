"""A socket that clients of a kernel connect to: a ROUTER or an XPUB, in ZMTP.

Ours and not libzmq's, because what a client says then reaches us in one step, and what
we say reaches the client's own I/O thread: libzmq's here would be one more thread that
has to wake up, twice for each round trip. Driven by an asyncio loop. Made by front.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from remote_kernels.wire import zmtp

from .acceptor import Acceptor
from .client_connection import ClientConnection

SUBSCRIBE, UNSUBSCRIBE = b"\1", b"\0"


class Listener:
    """Many clients, one socket.

    Parameters
    ----------
    publishes:
        Whether it is an XPUB; else a ROUTER.
    take:
        Called with each message; of an XPUB, with each subscription. As libzmq's, a
        ROUTER's begin with the client's identity. Returns whether more may come; if
        not, `resume` tells when.
    """

    def __init__(self, publishes: bool, take: Callable[[list[bytes]], bool]) -> None:
        self._publishes = publishes
        self._take = take
        self._acceptor = acceptor = Acceptor(self._make_client)
        self.bind, self.is_reachable = acceptor.bind, acceptor.is_reachable
        self._clients: dict[ClientConnection, None] = {}
        self._by_identity: dict[bytes, ClientConnection] = {}
        self._waiting: deque[list[bytes]] = deque()  # not taken yet
        self._has_room = True
        self._is_paused = False  # nothing is read from clients
        self._broadcast: Broadcast | None = None
        self._behind: list[list[bytes]] = []  # to be published after the broadcast

    def _make_client(self) -> ClientConnection:
        return ClientConnection(self, "XPUB" if self._publishes else "ROUTER")

    def close(self) -> None:
        """Close it, and the connections of all clients."""
        self._acceptor.close()
        for client in self._clients:
            client.abort()

    # Called by connections

    def connected(self, client: ClientConnection) -> None:
        """Count a client in, which has yet to say who it is."""
        self._clients[client] = None

    def identified(self, client: ClientConnection) -> None:
        """Send to a client what is for its identity, and to no one that had it before."""
        self._by_identity[client.identity] = client
        if self._is_paused:  # not before: asyncio of Python 3.11 would forget it
            client.pause()

    def received(self, client: ClientConnection, parts: list[bytes]) -> None:
        """Take a message, or keep it until there is room."""
        if not self._publishes:
            self._waiting.append([client.identity, *parts])
        elif parts[0][:1] == SUBSCRIBE:
            client.subscribe(parts[0][1:])
            self._waiting.append(parts)
        elif parts[0][:1] == UNSUBSCRIBE:
            client.unsubscribe(parts[0][1:])
        self._take_waiting()

    def disconnected(self, client: ClientConnection) -> None:
        """Forget a client."""
        del self._clients[client]
        if self._by_identity.get(client.identity) is client:
            del self._by_identity[client.identity]

    # From clients

    def pause(self) -> None:
        """Take nothing until `resume`."""
        self._has_room = False

    def resume(self) -> None:
        """Take what clients say, while there is room."""
        self._has_room = True
        self._take_waiting()

    def _take_waiting(self) -> None:
        while self._waiting and self._has_room:
            self._has_room = self._take(self._waiting.popleft())
        if bool(self._waiting) is self._is_paused:
            return
        self._is_paused = not self._is_paused
        for client in self._clients:
            if self._is_paused:
                client.pause()
            else:
                client.resume()

    def awaits_subscriptions(self) -> bool:
        """Whether somebody connected who has not yet said what to send to it."""
        accepting = self._acceptor.is_accepting()
        return accepting or not all(client.topics for client in self._clients)

    def has_client(self, identity: bytes) -> bool:
        """Whether a client of that identity is connected."""
        return identity in self._by_identity

    # To clients

    def send(self, parts: list[bytes]) -> None:
        """Send a message; a client that has gone is no error."""
        if self._broadcast is not None:
            self._behind.append(parts)
        elif self._publishes:
            data, topic = zmtp.message(parts), parts[0]
            for client in self._clients:
                if topic.startswith(client.topics):
                    client.send(data)
        elif parts[0] in self._by_identity:
            self._by_identity[parts[0]].send(zmtp.message(parts[1:]))

    def begin(self, parts: list[bytes], left: int) -> Broadcast:
        """Publish a message of whose last frame `left` bytes follow.

        What else is published meanwhile waits for its end.
        """
        assert self._publishes
        data = zmtp.message(parts, left)
        clients = [
            client
            for client in self._clients
            if parts[0].startswith(client.topics) and not client.is_behind
        ]
        self._broadcast = Broadcast(clients, len(data) + left, self._broadcast_ended)
        self._broadcast.write(data)
        return self._broadcast

    def _broadcast_ended(self) -> None:
        self._broadcast = None
        behind, self._behind = self._behind, []
        for parts in behind:
            self.send(parts)


class Broadcast:
    """A large message on its way to those who had subscribed when it began.

    Parameters
    ----------
    clients:
        Who they are.
    left:
        Bytes to come.
    on_end:
        Called when all of them have been written, or none will come any more.
    """

    def __init__(
        self, clients: list[ClientConnection], left: int, on_end: Callable[[], None]
    ) -> None:
        self._clients = clients
        self._left = left
        self._on_end = on_end

    def write(self, data: bytes) -> None:
        """Send the next bytes."""
        for client in self._clients:
            client.write(data)
        self._left -= len(data)
        if not self._left:
            self._on_end()

    def abort(self) -> None:
        """Give it up: libzmq forgets what it has of a message, and connects again."""
        for client in self._clients:
            client.close()
        self._on_end()
