"""wire.zmtp: what a kernel's sockets (libzmq's) take for one of theirs."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from remote_kernels.wire.frames import RemoteProtocolError
from remote_kernels.wire.zmtp import (
    COMMAND,
    MORE,
    SUBSCRIBE_ALL,
    Peer,
    Piece,
    frame,
    message,
)

SECONDS = 10.0
READY = frame(b"\x05READY\x0bSocket-Type\0\0\0\x06ROUTER", COMMAND)
SIZES = [0, 1, 255, 256, 65_535, 65_536, 5_000_000]


Make = Callable[[int], zmq.Socket[bytes]]


class Connection:
    """A peer of ours on a real socket."""

    def __init__(self, sock: socket.socket, peer: Peer) -> None:
        self.sock = sock
        self._peer = peer
        self._received: list[list[bytes]] = []
        sock.settimeout(SECONDS)
        sock.sendall(peer.greeting)
        while not peer.ready:
            self._read()

    def _read(self) -> None:
        data = self.sock.recv(65536)
        assert data, "closed by the other end"
        answer, received = self._peer.feed(data)
        self.sock.sendall(answer)
        self._received += [piece.parts for piece in received]

    def send(self, *parts: bytes) -> None:
        self.sock.sendall(message(parts))

    def receive(self) -> list[bytes]:
        while not self._received:
            self._read()
        return self._received.pop(0)


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes the other end's sockets."""
    made: list[zmq.Socket[bytes]] = []
    with zmq.Context() as context:

        def make(kind: int) -> zmq.Socket[bytes]:
            sock = context.socket(kind)
            made.append(sock)
            sock.setsockopt(zmq.RCVTIMEO, int(SECONDS * 1000))
            sock.setsockopt(zmq.LINGER, 0)
            return sock

        yield make
        for sock in made:
            sock.close()


def connected(sock: zmq.Socket[bytes]) -> socket.socket:
    """A plain socket, connected to a loopback port of `sock`'s."""
    port = sock.bind_to_random_port("tcp://127.0.0.1")
    return socket.create_connection(("127.0.0.1", port), SECONDS)


def listen(sock: socket.socket, peer: Peer) -> None:
    while data := sock.recv(65536):
        peer.feed(data)


def test_a_router_over_tcp(make: Make) -> None:
    """It knows us by our identity, and answers."""
    router = make(zmq.ROUTER)
    with connected(router) as sock:
        connection = Connection(sock, Peer("DEALER", b"us"))

        connection.send(b"one", b"", b"three")
        asked = router.recv_multipart()
        router.send_multipart([b"us", b"four", b""])

        assert [b"us", b"one", b"", b"three"] == asked
        assert [b"four", b""] == connection.receive()


def test_a_router_over_a_unix_socket(make: Make, tmp_path: Path) -> None:
    """The same, where no port is open."""
    router = make(zmq.ROUTER)
    router.bind(f"ipc://{tmp_path}/kernel")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(tmp_path / "kernel"))
        connection = Connection(sock, Peer("DEALER", b"us"))

        connection.send(b"one")
        asked = router.recv_multipart()
        router.send_multipart([b"us", b"two"])

        assert [b"us", b"one"] == asked
        assert [b"two"] == connection.receive()


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_of_any_size(make: Make, size: int) -> None:
    """Short and long, there and back."""
    dealer = make(zmq.DEALER)
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    with connected(dealer) as sock:
        connection = Connection(sock, Peer("DEALER"))

        threading.Thread(target=connection.send, args=(body, body)).start()
        asked = dealer.recv_multipart()
        dealer.send_multipart(asked)

        assert [body, body] == asked
        assert [body, body] == connection.receive()


def test_an_xpub_sees_the_subscription(make: Make) -> None:
    """As a message; then we get every topic."""
    xpub = make(zmq.XPUB)
    with connected(xpub) as sock:
        connection = Connection(sock, Peer("SUB"))

        connection.send(SUBSCRIBE_ALL)
        seen = xpub.recv()
        xpub.send_multipart([b"stream", b"text"])

        assert b"\x01" == seen
        assert [b"stream", b"text"] == connection.receive()


def test_a_pub_takes_the_subscription(make: Make) -> None:
    """It does not say when: so it speaks until we hear it."""
    pub = make(zmq.PUB)
    with connected(pub) as sock:
        connection = Connection(sock, Peer("SUB"))

        connection.send(SUBSCRIBE_ALL)
        for _ in range(1000):
            pub.send_multipart([b"stream", b"text"])
            if select.select([sock], [], [], SECONDS / 1000)[0]:
                break

        assert [b"stream", b"text"] == connection.receive()


@pytest.mark.parametrize("mechanism", ["CURVE", "PLAIN"])
def test_a_socket_that_wants_another_mechanism(make: Make, mechanism: str) -> None:
    """Its greeting tells which, if it comes before ours is whole."""
    peer, router = Peer("DEALER"), make(zmq.ROUTER)
    if mechanism == "CURVE":
        router.curve_publickey, router.curve_secretkey = zmq.curve_keypair()
    router.setsockopt(getattr(zmq, f"{mechanism}_SERVER"), 1)

    with connected(router) as sock:
        sock.sendall(peer.greeting[:-1])  # libzmq 4.3.5 hangs up when it has all

        with pytest.raises(RemoteProtocolError, match=f"wants b'{mechanism}'"):
            listen(sock, peer)


def test_a_socket_that_refuses_us_says_why(make: Make) -> None:
    """ERROR's reason, and nothing else of it, is in the text."""

    def deny() -> None:
        version, request, *_ = handler.recv_multipart()
        handler.send_multipart([version, request, b"400", b"", b"", b""])

    handler = make(zmq.REP)
    handler.bind("inproc://zeromq.zap.01")
    denying = threading.Thread(target=deny)
    denying.start()
    router = make(zmq.ROUTER)
    router.setsockopt(zmq.ZAP_DOMAIN, b"kernels")

    with (
        connected(router) as sock,
        pytest.raises(RemoteProtocolError, match=r"us: 400$"),
    ):
        Connection(sock, Peer("DEALER"))
    denying.join(SECONDS)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n".ljust(64),
        b"\xff" * 64,
        b"\xff" + bytes(8) + b"\x7f\x01".ljust(55, b"\0"),
    ],
    ids=["HTTP", "ones", "ZMTP 2"],
)
def test_what_is_no_zmtp_3(said: bytes) -> None:
    """Something else listens there, or a libzmq before 4.0."""
    with pytest.raises(RemoteProtocolError, match="no ZMTP 3"):
        Peer("DEALER").feed(said)


def test_half_a_greeting_is_waited_for() -> None:
    """Nothing is answered, nothing is concluded."""
    peer = Peer("DEALER")

    assert (b"", []) == peer.feed(peer.greeting[:-1])
    assert not peer.ready


def test_commands_are_no_messages() -> None:
    """Not even between the frames of one, or of an unknown kind, or empty."""
    peer = Peer("DEALER")
    commands = frame(b"\x04PING\0\0", COMMAND) + frame(b"", COMMAND)

    _, messages = peer.feed(
        peer.greeting + READY + commands + frame(b"one", MORE) + commands + frame(b"2")
    )

    assert peer.ready
    assert [Piece([b"one", b"2"])] == messages


def test_a_message_s_end_may_come_later() -> None:
    """Frames are kept until the last one of their message."""
    peer = Peer("SUB")
    peer.feed(peer.greeting + READY)

    first = peer.feed(frame(b"one", MORE))

    assert (b"", []) == first
    assert (b"", [Piece([b"one", b"two"])]) == peer.feed(frame(b"two"))


multipart = st.lists(st.binary(max_size=600), min_size=1, max_size=4)


@given(st.lists(multipart, max_size=6), st.lists(st.integers(0, 10_000), max_size=30))
def test_messages_do_not_depend_on_how_they_are_cut(
    messages: list[list[bytes]], cuts: list[int]
) -> None:
    """Greeting, READY and frames in pieces: the same, and one answer."""
    peer = Peer("DEALER", b"us")
    data = peer.greeting + READY + b"".join(map(message, messages))
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    whole = Peer("DEALER", b"us").feed(data)

    said = [
        peer.feed(data[a:b])
        for a, b in zip([0, *places], [*places, len(data)], strict=True)
    ]

    assert [Piece(parts) for parts in messages] == whole[1]
    assert whole[1] == [piece for _, received in said for piece in received]
    assert whole[0] == b"".join(answer for answer, _ in said)


@given(
    st.lists(multipart, max_size=6),
    st.lists(st.integers(0, 10_000), max_size=30),
    st.integers(1, 500),
)
def test_a_large_last_frame_comes_in_pieces(
    messages: list[list[bytes]], cuts: list[int], size: int
) -> None:
    """Together they are the message; none is smaller than asked for but the last."""
    peer = Peer("SUB", piece=size)
    data = peer.greeting + READY + b"".join(map(message, messages))
    places = sorted({cut % (len(data) + 1) for cut in cuts})

    pieces = [
        piece
        for a, b in zip([0, *places], [*places, len(data)], strict=True)
        for piece in peer.feed(data[a:b])[1]
    ]

    found: list[list[bytes]] = []
    for parts, offset, left in pieces:
        if offset:
            assert [len(found[-1][-1])] == [offset]
            assert 1 == len(parts)
            found[-1][-1] += parts[0]
        else:
            found.append([*parts])
        assert len(parts[-1]) >= size or not left
    assert messages == found


def test_a_message_that_goes_on() -> None:
    """Its beginning says how long it will be."""
    peer = Peer("SUB")
    peer.feed(peer.greeting + READY)

    early = peer.feed(message([b"one", b"tw"], 300))
    late = peer.feed(b"o" * 300)

    assert (b"", []) == early
    assert (b"", [Piece([b"one", b"tw" + b"o" * 300])]) == late
