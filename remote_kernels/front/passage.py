"""A kernel's own ZMQ socket, for messages that only Jupyter's end can read: CURVE's.

What a client says passes to it as it is, and back. The DEALERs of shell, control and
stdin share one identity: a kernel asks for input by the identity that sent the request.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import zmq

from .listener import Listener

SUBSCRIBE_ALL = b"\x01"
TURN = 200  # messages forwarded before other callbacks get their turn
RECONNECT_MS = 20  # the kernel's socket was not there yet


def connect(
    target: str, path: Path, identity: bytes, curve: tuple[bytes, bytes] | None
) -> zmq.Socket[bytes]:
    """Connect to a kernel's socket.

    Parameters
    ----------
    target:
        Which of its sockets.
    path:
        Where the tunnel has it.
    identity:
        By which the kernel knows us.
    curve:
        The kernel's CURVE public and secret key (Z85), where it uses CURVE. Both ends
        share one pair (jupyter_client 8.9).
    """
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
        sock.send(SUBSCRIBE_ALL)
    sock.connect(f"ipc://{path}")
    return sock


class Passage:
    """From one of the front's sockets to one of the kernel's, and back.

    Parameters
    ----------
    listener:
        The front's socket.
    back:
        The kernel's, which is closed with the passage.
    """

    def __init__(self, listener: Listener, back: zmq.Socket[bytes]) -> None:
        self._listener = listener
        self._back = back
        self._loop = asyncio.get_running_loop()
        self._fd = _number(back, zmq.FD)
        self._loop.add_reader(self._fd, self._pump)
        self._loop.call_soon(self._pump)  # what came before is no news to it
        self._closed = False

    def send(self, parts: list[bytes]) -> None:
        """Send a message to the kernel. It never blocks: see SNDHWM."""
        self._back.send_multipart(parts, zmq.NOBLOCK)
        self._loop.call_soon(self._pump)  # the descriptor tells of edges, and eats them

    def _pump(self) -> None:
        """Send to clients what the kernel says."""
        for _ in range(TURN):
            if self._closed or not _number(self._back, zmq.EVENTS) & zmq.POLLIN:
                return
            self._listener.send(self._back.recv_multipart(zmq.NOBLOCK))
        self._loop.call_soon(self._pump)

    def close(self) -> None:
        """Disconnect from the kernel."""
        self._closed = True
        self._loop.remove_reader(self._fd)
        self._back.close(linger=0)


def _number(sock: zmq.Socket[bytes], option: int) -> int:
    return int(sock.getsockopt(option))
