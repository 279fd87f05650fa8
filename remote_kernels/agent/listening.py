"""Who listens on this host, and who is at the other end of a Unix socket.

So that nothing of the user's is given to a stranger who has the same port. Called by
the agent, and on the login node by the command line. Linux only.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_TCP_LISTEN = "0A"
_UCRED = struct.Struct("3i")  # pid, uid, gid


class TcpListener(NamedTuple):
    """A TCP socket that listens."""

    ip: str
    port: int
    uid: int
    inode: str  # by which /proc/PID/fd names it


def listeners(directory: str = "/proc/net") -> Iterator[TcpListener]:
    """Yield all TCP sockets that listen on this host.

    Source: proc(5), and proc_net_tcp.rst of Linux. `directory` is for tests.
    """
    for name in ("tcp", "tcp6"):
        try:
            with open(os.path.join(directory, name), encoding="ascii") as file:
                rows = file.readlines()[1:]
        except OSError:  # no IPv6 here
            continue
        for fields in map(str.split, rows):
            if fields[3] == _TCP_LISTEN:
                address, _, port = fields[1].partition(":")
                yield TcpListener(
                    _ip(address), int(port, 16), int(fields[7]), fields[9]
                )


def _ip(text: str) -> str:
    """Read an address, printed as words of four bytes in this machine's order."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = b"".join(struct.pack("=I", word) for word in words)
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    ip = socket.inet_ntop(family, packed)
    return ip[len("::ffff:") :] if ip.startswith("::ffff:") and "." in ip else ip


def peer(sock: socket.socket) -> tuple[int, int]:
    """Return the process, and its user, at the other end of a connected Unix socket.

    SO_PEERCRED, unix(7). The process is 0 where it is in a PID namespace above ours.
    """
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(packed)
    return pid, uid
