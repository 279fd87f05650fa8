"""The sockets that the notebook server sees, and who answers there.

ROUTER for shell, control, stdin and hb, XPUB for iopub, so that however many clients
there are, each channel crosses the tunnel once. Messages go to whoever answers: the
stand-in while the job waits, then `Clients`, and so the agent's keeper. A `Heartbeat`
takes heartbeats on as they are, and a `Passage` all of a kernel with CURVE, whose
streams only the login end can read. The DEALERs of shell, control and stdin share one identity: a
kernel asks for input by the identity that sent the request. Made by kernel/, and bound
anew at each launch: jupyter_client (8.10) unlinks the files at every restart.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import zmq

from remote_kernels.relay.channel import Channel
from remote_kernels.wire.kernel_sockets import NUMBERS, SOCKETS, path, port_fields

from .clients import Sockets
from .heartbeat import Heartbeat
from .listener import Listener, Sink

SUBSCRIBE = b"\x01"
TURN = 200  # messages forwarded before other callbacks get their turn
RECONNECT_MS = 20  # the kernel's socket was not there yet


class Respondent(Protocol):
    """Whoever answers clients."""

    def full(self, target: str) -> bool: ...

    def request(self, target: str, parts: list[bytes]) -> None: ...

    def subscribed(self, topic: bytes) -> None: ...

    def serve(self, sockets: Sockets | None) -> None: ...


class Passage:
    """From one of the front's sockets to one that is its own, and back."""

    def __init__(self, front: Listener, back: zmq.Socket[bytes]) -> None:
        self._front = front
        self._back = back
        self._loop = asyncio.get_running_loop()
        self._fd = _number(back, zmq.FD)
        self._loop.add_reader(self._fd, self._pump)
        self._loop.call_soon(self._pump)  # what came before is no news to it
        self._closed = False

    def send(self, parts: list[bytes]) -> None:
        """To the kernel. It never blocks: see SNDHWM."""
        self._back.send_multipart(parts, zmq.NOBLOCK)
        self._loop.call_soon(self._pump)  # the descriptor tells of edges, and eats them

    def _pump(self) -> None:
        """What the kernel says, to clients."""
        for _ in range(TURN):
            if self._closed or not _number(self._back, zmq.EVENTS) & zmq.POLLIN:
                return
            self._front.send(self._back.recv_multipart(zmq.NOBLOCK))
        self._loop.call_soon(self._pump)

    def close(self) -> None:
        self._closed = True
        self._loop.remove_reader(self._fd)
        self._back.close(linger=0)


def _number(sock: zmq.Socket[bytes], option: int) -> int:
    return int(sock.getsockopt(option))


def curve_keypair() -> tuple[bytes, bytes]:
    """A new CURVE public and secret key (Z85)."""
    return zmq.curve_keypair()


def connection_info(ip: str, key: bytes) -> dict[str, Any]:
    """What Jupyter must know of a front's sockets."""
    return {
        "transport": "ipc",
        "ip": ip,
        **port_fields(NUMBERS),
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
        self._listeners: dict[str, Listener] = {}
        self._passages: dict[str, Passage | Heartbeat] = {}
        self._respondent: Respondent | None = None

    def bind(self, respondent: Respondent) -> None:
        """Make the sockets that clients connect to; `respondent` answers them.

        Raises OSError.
        """
        for target in SOCKETS:
            self._listeners[target] = listener = Listener(
                Path(path(self._ip, target)),
                target == "iopub",
                functools.partial(self._take, target),
                functools.partial(self._full, target),
            )
            listener.bind()
        self._serve(respondent)

    def bind_again(self, ip: str | None = None) -> None:
        """After jupyter_client (8.10) has unlinked the files, as it does at a restart.

        Or at another place. Whoever is connected stays so, and nothing that is under
        way is lost. Raises OSError.
        """
        self._ip = ip or self._ip
        for target, listener in self._listeners.items():
            listener.move(Path(path(self._ip, target)))
            listener.bind()

    def is_there(self) -> bool:
        """Whether new clients find all of it."""
        return all(listener.is_there() for listener in self._listeners.values())

    # Called by listeners

    def _full(self, target: str) -> bool:
        if target in self._passages:
            return False
        return self._respondent is None or self._respondent.full(target)

    def _take(self, target: str, parts: list[bytes]) -> None:
        if target in self._passages:
            self._passages[target].send(parts)
        elif self._respondent is not None and target == "iopub":
            self._respondent.subscribed(parts[0])
        elif self._respondent is not None:
            self._respondent.request(target, parts)

    # Called by kernel/

    def hand_over(
        self,
        respondent: Respondent | None,
        back: Mapping[str, Path],
        curve: tuple[bytes, bytes] | None = None,
        held: Sequence[tuple[str, list[bytes]]] = (),
        heartbeat: Callable[[], Channel | None] | None = None,
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
        heartbeat:
            Makes a channel to its heartbeat, if that is not in `back`, and if it can.
        """
        self.part()  # from a process that is gone
        identity = secrets.token_bytes(8)
        for target, there in back.items():
            sock = self._back_socket(target, identity, curve)
            sock.connect(f"ipc://{there}")
            self._passages[target] = Passage(self._listeners[target], sock)
        if heartbeat is not None:
            self._passages["hb"] = Heartbeat(self._listeners["hb"], heartbeat)
        self._serve(respondent)
        for target, parts in held:
            self._take(target, parts)
        for listener in self._listeners.values():
            listener.go_on()

    def part(self) -> None:
        """From the tunnel's sockets, before they go: ZMQ would connect again."""
        for passage in self._passages.values():
            passage.close()
        self._passages.clear()

    def _back_socket(
        self, target: str, identity: bytes, curve: tuple[bytes, bytes] | None
    ) -> zmq.Socket[bytes]:
        # The context of the process: an I/O thread for all kernels.
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        sock = context.socket(zmq.XSUB if target == "iopub" else zmq.DEALER)
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
        if target == "iopub":  # our listener knows who has subscribed to what
            sock.send(SUBSCRIBE)
        return sock

    def _serve(self, respondent: Respondent | None) -> None:
        if self._respondent is not None and self._respondent is not respondent:
            self._respondent.serve(None)
        self._respondent = respondent
        if respondent is not None:
            respondent.serve(self)

    # Called by the respondent

    def send(self, target: str, parts: list[bytes]) -> None:
        self._listeners[target].send(parts)

    def begin(self, parts: list[bytes], left: int) -> Sink:
        return self._listeners["iopub"].begin(parts, left)

    def reaches(self, target: str, identity: bytes) -> bool:
        return self._listeners[target].knows(identity)

    def subscribing(self) -> bool:
        return self._listeners["iopub"].awaits_topics()

    def room(self, target: str) -> None:
        self._listeners[target].go_on()

    def close(self) -> None:
        self.part()
        for listener in self._listeners.values():
            listener.close()
        self._serve(None)
        self._listeners.clear()
