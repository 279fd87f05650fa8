"""The ZMQ sockets that the notebook server sees.

ROUTER for shell, control, stdin and hb, XPUB for iopub, so that however many clients
there are, each channel crosses the tunnel once. A `Door` hands messages to whoever
answers: the stand-in while the job waits, then `Clients`, and so the agent's keeper. A
`Pair` passes them on as they are, for heartbeats and for kernels with CURVE, whose
streams only the login end can read. The DEALERs of shell, control and stdin share one
identity: a kernel asks for input by the identity that sent the request. Driven by the
sockets' file descriptors on an asyncio loop. Made by kernel/, and bound anew at each
launch: jupyter_client (8.10) unlinks the files at every restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import zmq

from .clients import Sockets

TARGETS = ("shell", "iopub", "stdin", "control", "hb")
PORTS = {target: number for number, target in enumerate(TARGETS, 1)}

# Messages queued for one client that does not read. libzmq's 1000 loses output of a
# running cell as soon as the server is busy for a moment; beyond ours, it drops, too,
# because one stopped client must not hold up the others.
CLIENT_HWM = 100_000
SUBSCRIBE = b"\x01"
TURN = 200  # messages forwarded before other callbacks get their turn
RECONNECT_MS = 20  # the kernel's socket was not there yet
LARGE = 64 * 1024  # bytes of a frame that is better not copied
# As numbers: pyzmq (27) takes longer to join its enumerations than to send a frame.
_LAST, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)


class Respondent(Protocol):
    """Whoever answers clients."""

    def full(self, target: str) -> bool: ...

    def request(self, target: str, parts: list[bytes]) -> None: ...

    def subscribed(self, topic: bytes) -> None: ...

    def serve(self, sockets: Sockets | None) -> None: ...


class Pair:
    """Two sockets, messages passed both ways as they are. The back one is its own."""

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
        self._back.close(linger=0)


def _number(sock: zmq.Socket[bytes], option: int) -> int:
    return int(sock.getsockopt(option))


class Door:
    """One socket whose messages somebody here answers."""

    def __init__(
        self, target: str, sock: zmq.Socket[bytes], respondent: Respondent
    ) -> None:
        self._target = target
        self._sock = sock
        self.respondent = respondent
        self._loop = asyncio.get_running_loop()
        self._fd = _number(sock, zmq.FD)
        self._loop.add_reader(self._fd, self.pump)
        self._closed = self._pumping = False

    def pump(self) -> None:
        """Take what clients say, while the channel has room."""
        self._pumping = False
        for _ in range(TURN):
            if self._closed or self.respondent.full(self._target):
                return
            if not _number(self._sock, zmq.EVENTS) & zmq.POLLIN:
                return
            self._take(self._sock.recv_multipart(zmq.NOBLOCK))
        self._pump_soon()

    def _take(self, parts: list[bytes]) -> None:
        if self._target != "iopub":
            self.respondent.request(self._target, parts)
        elif parts[0][:1] == SUBSCRIBE:  # the agent subscribes once and for good
            self.respondent.subscribed(parts[0])

    def send(self, parts: list[bytes]) -> None:
        """To clients; a client that has gone is no error."""
        with contextlib.suppress(zmq.Again):
            for part in parts[:-1]:
                self._sock.send(part, _MORE, copy=len(part) < LARGE)
            self._sock.send(parts[-1], _LAST, copy=len(parts[-1]) < LARGE)
        # The send may have eaten the descriptor's edge.
        if _number(self._sock, zmq.EVENTS) & zmq.POLLIN:
            self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self.pump)

    def close(self) -> None:
        """What is in the socket would be lost."""
        self.pump()
        self.leave()

    def leave(self) -> None:
        """The socket gets another door."""
        self._closed = True
        self._loop.remove_reader(self._fd)


def curve_keypair() -> tuple[bytes, bytes]:
    """A new CURVE public and secret key (Z85)."""
    return zmq.curve_keypair()


def connection_info(ip: str, key: bytes) -> dict[str, Any]:
    """What Jupyter must know of a front's sockets."""
    return {
        "transport": "ipc",
        "ip": ip,
        **{f"{target}_port": port for target, port in PORTS.items()},
        "key": key,
        "signature_scheme": "hmac-sha256",
    }


class Front:
    """One kernel's five sockets at the login end.

    Parameters
    ----------
    ip:
        The `ip` of a connection of transport ipc: the sockets are `ip-1` to `ip-5`,
        in a directory that only the user may enter.
    """

    def __init__(self, ip: str) -> None:
        self._ip = ip
        self._context = zmq.Context(1)
        self._pairs: list[Pair] = []
        self._doors: dict[str, Door] = {}
        self._fronts: dict[str, zmq.Socket[bytes]] = {}
        self._respondent: Respondent | None = None

    def bind(self, respondent: Respondent) -> None:
        """Make the sockets that clients connect to; `respondent` answers them.

        Raises zmq.ZMQError.
        """
        for target in TARGETS:
            front = self._fronts[target] = self._front_socket(target)
            self._doors[target] = Door(target, front, respondent)
            front.bind(f"ipc://{self._ip}-{PORTS[target]}")
        self._serve(respondent)

    def bind_again(self) -> None:
        """After jupyter_client (8.10) has unlinked the files, as it does at a restart.

        Whoever is connected stays so, and nothing that is under way is lost. Raises
        zmq.ZMQError.
        """
        for target, front in self._fronts.items():
            front.bind(f"ipc://{self._ip}-{PORTS[target]}")

    def _front_socket(self, target: str) -> zmq.Socket[bytes]:
        if target == "iopub":
            sock = self._context.socket(zmq.XPUB)
            # Each new subscriber's message reaches the kernel, which answers the
            # subscription with iopub_welcome (JEP 65).
            sock.setsockopt(zmq.XPUB_VERBOSE, 1)
        else:
            sock = self._context.socket(zmq.ROUTER)
            sock.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a client that reconnected
        sock.setsockopt(zmq.SNDHWM, CLIENT_HWM)
        sock.setsockopt(zmq.LINGER, 0)
        return sock

    def hand_over(
        self,
        respondent: Respondent | None,
        back: Mapping[str, Path],
        curve: tuple[bytes, bytes] | None = None,
        held: Sequence[tuple[str, list[bytes]]] = (),
    ) -> None:
        """From now on the kernel answers. Also for a new process of it.

        Parameters
        ----------
        respondent:
            For the targets that are not in `back`.
        back:
            For each target whose bytes pass as they are, the path of the tunnel's
            socket.
        curve:
            The kernel's CURVE public and secret key (Z85), where it uses CURVE. Both
            ends share one pair (jupyter_client 8.9).
        held:
            Requests for the kernel that come before all others.
        """
        self.part()  # from a process that is gone
        identity = secrets.token_bytes(8)
        backs = {}
        for target, path in back.items():
            backs[target] = self._back_socket(target, identity, curve)
            backs[target].connect(f"ipc://{path}")
            if target in self._doors:
                self._doors.pop(target).leave()
        self._serve(respondent)
        for target, parts in held:
            if target in backs:
                backs[target].send_multipart(parts, zmq.NOBLOCK)
            elif respondent is not None:
                respondent.request(target, parts)
        for target, sock in backs.items():
            self._pairs.append(Pair(self._fronts[target], sock))
        for pair in self._pairs:
            pair.pump()
        for door in self._doors.values():
            door.pump()

    def part(self) -> None:
        """From the tunnel's sockets, before they go: ZMQ would connect again."""
        for pair in self._pairs:
            pair.close()
        self._pairs.clear()

    def _back_socket(
        self, target: str, identity: bytes, curve: tuple[bytes, bytes] | None
    ) -> zmq.Socket[bytes]:
        sock = self._context.socket(zmq.XSUB if target == "iopub" else zmq.DEALER)
        if target in ("shell", "control", "stdin"):
            sock.setsockopt(zmq.IDENTITY, identity)
        sock.setsockopt(zmq.SNDHWM, 0)  # what is held comes before it is connected
        sock.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        sock.setsockopt(zmq.LINGER, 0)
        if curve is not None:
            public, secret = curve
            sock.setsockopt(zmq.CURVE_SERVERKEY, public)
            sock.setsockopt(zmq.CURVE_PUBLICKEY, public)
            sock.setsockopt(zmq.CURVE_SECRETKEY, secret)
        if target == "iopub":  # who subscribed before is served by the XPUB
            sock.send(SUBSCRIBE)
        return sock

    def _serve(self, respondent: Respondent | None) -> None:
        if self._respondent is not None and self._respondent is not respondent:
            self._respondent.serve(None)
        self._respondent = respondent
        for door in self._doors.values():
            if respondent is not None:
                door.respondent = respondent
        if respondent is not None:
            respondent.serve(self)

    # Called by the respondent

    def send(self, target: str, parts: list[bytes]) -> None:
        self._doors[target].send(parts)

    def room(self, target: str) -> None:
        self._doors[target].pump()

    def close(self) -> None:
        self.part()
        for door in self._doors.values():
            door.close()
        self._serve(None)
        self._doors.clear()
        for sock in self._fronts.values():
            sock.close(linger=0)
        self._fronts.clear()
        self._context.term()
        for port in PORTS.values():
            Path(f"{self._ip}-{port}").unlink(missing_ok=True)
