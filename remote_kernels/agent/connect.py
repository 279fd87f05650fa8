"""`agent.pyz connect SOCKET`: standard input and output to the agent's socket.

What runs on the node where a carrier cannot reach the socket itself.
Ends when either side ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable

CHUNK = 256 * 1024


def connect(path: str) -> int:
    """Join standard input and output to the agent's socket; return the exit code."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError as exc:
        sys.stderr.write(f"agent: cannot connect to {path}: {exc}\n")
        return 1
    threading.Thread(target=_upstream, args=(sock,), daemon=True).start()
    _copy(sock.recv, _write)
    return 0


def _upstream(sock: socket.socket) -> None:
    _copy(lambda size: os.read(0, size), sock.sendall)
    with contextlib.suppress(OSError):  # the agent has closed; the main thread sees it
        sock.shutdown(socket.SHUT_WR)


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], None]) -> None:
    """Copy until there is no more, or nobody takes it.

    A socket that was closed with something unread in it ends with an error, too.
    """
    with contextlib.suppress(OSError):
        while data := read(CHUNK):
            write(data)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
