"""The ZMQ sockets that the notebook server sees: a proxy to the tunnel's local ends.

ROUTER/DEALER for shell, control, stdin and hb, XPUB/XSUB for iopub, so that however
many clients there are, each channel crosses the tunnel once. The DEALERs of shell,
control and stdin share one identity: a kernel asks for input by the identity that sent
the request. Driven by the sockets' file descriptors on an asyncio loop. Made by
kernel/ for each launch, because jupyter_client (8.10) unlinks the socket files at
every restart.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from pathlib import Path

import zmq

TARGETS = ("shell", "iopub", "stdin", "control", "hb")
PORTS = {target: number for number, target in enumerate(TARGETS, 1)}

# Messages queued for one client that does not read. libzmq's 1000 loses output of a
# running cell as soon as the server is busy for a moment; beyond ours, it drops, too,
# because one stopped client must not hold up the others.
CLIENT_HWM = 100_000
TURN = 200  # messages forwarded before other callbacks get their turn
RECONNECT_MS = 20  # the kernel's socket was not there yet


class Pair:
    """Two sockets, messages passed both ways as they are."""

    def __init__(self, front: zmq.Socket[bytes], back: zmq.Socket[bytes]) -> None:
        self._front = front
        self._back = back
        self._loop = asyncio.get_running_loop()
        self._fds = [_number(front, zmq.FD), _number(back, zmq.FD)]
        for fd in self._fds:
            self._loop.add_reader(fd, self.pump)
        self._closed = False

    def pump(self) -> None:
        """Forward what can be forwarded.

        ZMQ's descriptors are edge-triggered, and a send or recv may eat the edge: so
        both directions are looked at until neither moves.
        """
        if self._closed:
            return
        for _ in range(TURN):
            moved = self._move(self._front, self._back)
            moved |= self._move(self._back, self._front)
            if not moved:
                return
        self._loop.call_soon(self.pump)

    def _move(self, source: zmq.Socket[bytes], sink: zmq.Socket[bytes]) -> bool:
        if not (_number(source, zmq.EVENTS) & zmq.POLLIN):
            return False
        if not (_number(sink, zmq.EVENTS) & zmq.POLLOUT):
            return False
        parts = source.recv_multipart(zmq.NOBLOCK, copy=False)
        sink.send_multipart(parts, zmq.NOBLOCK, copy=False)
        return True

    def close(self) -> None:
        self._closed = True
        for fd in self._fds:
            self._loop.remove_reader(fd)
        self._front.close(linger=0)
        self._back.close(linger=0)


def _number(sock: zmq.Socket[bytes], option: int) -> int:
    return int(sock.getsockopt(option))


def curve_keypair() -> tuple[bytes, bytes]:
    """A new CURVE public and secret key (Z85)."""
    return zmq.curve_keypair()


class Front:
    """One kernel's five sockets at the login end.

    Parameters
    ----------
    ip:
        The `ip` of a connection of transport ipc: the sockets are `ip-1` to `ip-5`,
        in a directory that only the user may enter.
    back:
        For each target, the path of the tunnel's Unix socket.
    """

    def __init__(self, ip: str, back: Mapping[str, Path]) -> None:
        self._ip = ip
        self._back = back
        self._context = zmq.Context(1)
        self._pairs: list[Pair] = []
        self._sockets: dict[str, zmq.Socket[bytes]] = {}

    def bind(self) -> None:
        """Make the sockets that clients connect to. Raises zmq.ZMQError."""
        identity = secrets.token_bytes(8)
        for target in TARGETS:
            front, back = self._make(target, identity)
            self._sockets[target] = back
            self._pairs.append(Pair(front, back))

    def _make(
        self, target: str, identity: bytes
    ) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        if target == "iopub":
            front, back = self._context.socket(zmq.XPUB), self._context.socket(zmq.XSUB)
            # Each new subscriber's message reaches the kernel, which answers the
            # subscription with iopub_welcome (JEP 65).
            front.setsockopt(zmq.XPUB_VERBOSE, 1)
        else:
            front = self._context.socket(zmq.ROUTER)
            back = self._context.socket(zmq.DEALER)
            front.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a client that reconnected
        if target in ("shell", "control", "stdin"):
            back.setsockopt(zmq.IDENTITY, identity)
        front.setsockopt(zmq.SNDHWM, CLIENT_HWM)
        back.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        for sock in (front, back):
            sock.setsockopt(zmq.LINGER, 0)
        front.bind(f"ipc://{self._ip}-{PORTS[target]}")
        return front, back

    def connect(self, curve: tuple[bytes, bytes] | None = None) -> None:
        """Connect to the kernel through the tunnel, now that it listens.

        Parameters
        ----------
        curve:
            The kernel's CURVE public and secret key (Z85), where it uses CURVE. Both
            ends share one pair (jupyter_client 8.9).
        """
        for target, sock in self._sockets.items():
            if curve is not None:
                public, secret = curve
                sock.setsockopt(zmq.CURVE_SERVERKEY, public)
                sock.setsockopt(zmq.CURVE_PUBLICKEY, public)
                sock.setsockopt(zmq.CURVE_SECRETKEY, secret)
            sock.connect(f"ipc://{self._back[target]}")
        for pair in self._pairs:
            pair.pump()

    def close(self) -> None:
        for pair in self._pairs:
            pair.close()
        self._pairs.clear()
        self._sockets.clear()
        self._context.term()
        for port in PORTS.values():
            Path(f"{self._ip}-{port}").unlink(missing_ok=True)
