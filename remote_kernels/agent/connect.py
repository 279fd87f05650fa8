"""`agent.pyz connect SOCKET`: standard input and output to the agent's socket.

What runs on the node where a carrier cannot reach the socket itself.
Ends when either side ends.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

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
    while True:
        data = sock.recv(CHUNK)
        if not data or not _write_all(data):
            return 0


def _upstream(sock: socket.socket) -> None:
    while True:
        try:
            data = os.read(0, CHUNK)
        except OSError:  # a socket that was closed with something unread in it
            data = b""
        try:
            if not data:
                sock.shutdown(socket.SHUT_WR)
                return
            sock.sendall(data)
        except OSError:
            return  # the agent has closed; the main thread sees it, too


def _write_all(data: bytes) -> bool:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except ConnectionError:
            return False
    return True
