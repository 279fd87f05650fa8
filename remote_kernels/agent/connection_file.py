"""Where a kernel's five sockets are: chosen on the node, told in a connection file.

Unix sockets in our private directory where the kernel can use them; nobody else can
take those. Else loopback TCP: ports are chosen by binding and releasing, so another
program may take one in between, which `taken()` tells.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Any, Union

from remote_kernels.wire.kernel_sockets import NUMBERS, SOCKETS, port_fields

from .listening import listeners, peer

Address = Union[str, tuple[str, int]]  # a Unix socket's path, or (ip, port)


class Sockets:
    """The addresses of one kernel process.

    Parameters
    ----------
    directory : str
        A private directory on the node.
    name : str
        Makes the paths of this process unlike those of the one before.
    connection : dict
        From the login end: key, signature_scheme, transport (`ipc` or `tcp`), and
        for CURVE curve_publickey and curve_secretkey.
    """

    def __init__(self, directory: str, name: str, connection: dict[str, Any]) -> None:
        self.transport = connection["transport"]
        if self.transport == "ipc":
            self._ip = os.path.join(directory, name)
            self._ports = dict(NUMBERS)
        else:
            self._ip = "127.0.0.1"
            self._ports = _free_ports()
        self.file = os.path.join(directory, f"{name}.json")
        self._body = {**connection, "ip": self._ip, **port_fields(self._ports)}
        self._held: dict[str, int] = {}
        self._write()

    def _write(self) -> None:
        fd = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(self._body, file)

    def mend(self) -> None:
        """Write the connection file again if somebody removed it. Raises OSError."""
        if not os.path.exists(self.file):
            self._write()

    def hold(self, target: str) -> None:
        """Keep a socket in reach when its path is gone: Linux knows the socket itself.

        A descriptor each: for what is connected to more than once.
        """
        if self.transport == "ipc":
            with contextlib.suppress(OSError):
                self._held[target] = os.open(self._path(target), os.O_PATH)

    def _path(self, target: str) -> str:
        return f"{self._ip}-{self._ports[target]}"

    def address(self, target: str) -> Address:
        """Return where `target` is. Raises ConnectionRefusedError if it is no socket."""
        if target not in self._ports:
            msg = f"a kernel has no socket {target}"
            raise ConnectionRefusedError(msg)
        if self.transport != "ipc":
            return (self._ip, self._ports[target])
        if target in self._held and not os.path.exists(self._path(target)):
            return f"/proc/self/fd/{self._held[target]}"
        return self._path(target)

    def listening(self) -> bool:
        """Return whether all five sockets accept connections, and are ours."""
        if self.transport == "ipc":
            return all(_peer(self._path(target)) is not None for target in SOCKETS)
        owners = _owners()
        return all(owners.get(port) == os.getuid() for port in self._ports.values())

    def taken(self) -> bool:
        """Return whether somebody listens on one of a dead kernel's ports."""
        return self.transport != "ipc" and not _owners().keys().isdisjoint(
            self._ports.values()
        )

    def foreign(self) -> bool:
        """Return whether another user listens on one of these ports."""
        owners = _owners() if self.transport != "ipc" else {}
        us = os.getuid()
        return any(owners.get(port, us) != us for port in self._ports.values())

    def listener(self, outer: int) -> int:
        """Return the process that listens: `outer`, or one that it started; 0: not known."""
        if self.transport == "ipc":
            return _peer(self._path("shell")) or 0
        port = self._ports["shell"]
        inode = next((found.inode for found in listeners() if found.port == port), "")
        if _holds(outer, inode):
            return outer
        from .processes import below, every  # few have a wrapper

        found = (pid for pid in below([outer], every()) if _holds(pid, inode))
        return next(found, 0)

    def remove(self) -> None:
        """Remove the connection file and the sockets."""
        while self._held:
            os.close(self._held.popitem()[1])
        paths = [self.file]
        if self.transport == "ipc":
            paths += [self._path(target) for target in SOCKETS]
        for path in paths:  # of a disk that is read-only by now, too
            with contextlib.suppress(OSError):
                os.unlink(path)


def _peer(path: str) -> int | None:
    """Return who listens there, across PID namespaces; 0: not known; None: nobody."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        return peer(sock)[0]
    return None


def _holds(pid: int, inode: str) -> bool:
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                    return True
    return False


def _free_ports() -> dict[str, int]:
    sockets = [socket.socket() for _ in SOCKETS]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return {t: s.getsockname()[1] for t, s in zip(SOCKETS, sockets)}
    finally:
        for sock in sockets:
            sock.close()


def _owners() -> dict[int, int]:
    """Port to user ID of all TCP sockets that listen."""
    return {found.port: found.uid for found in listeners()}
