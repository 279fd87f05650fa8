"""A Unix socket at a path, at which clients are accepted."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import socket
from collections.abc import Callable
from pathlib import Path

from remote_kernels import harmless

log = harmless.logger(__name__)

BACKLOG = 100  # connections not yet accepted; libzmq's own
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE = 1.0  # seconds, when nothing is left to accept a connection with


class Acceptor:
    """Accepts connections.

    Parameters
    ----------
    make:
        Makes the protocol of a connection.
    """

    def __init__(self, make: Callable[[], asyncio.Protocol]) -> None:
        self._path = Path()
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._bound = 0  # the inode of its path
        self._accepting: set[asyncio.Task[object]] = set()

    def bind(self, path: Path) -> None:
        """Listen; also anew, elsewhere or where somebody has unlinked the path.

        Parameters
        ----------
        path:
            Where, in a directory that only the user may enter.

        Raises
        ------
        OSError
            It cannot be made there.
        """
        self._leave()
        self._path = path
        path.unlink(missing_ok=True)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.bind(str(path))
            made.listen(BACKLOG)
            made.setblocking(False)
        except OSError:
            made.close()
            raise
        self._socket = made
        self._bound = path.stat().st_ino
        self._watch(made)

    def is_reachable(self) -> bool:
        """Whether new clients find it."""
        try:
            return self._path.stat().st_ino == self._bound
        except OSError:
            return False

    def is_accepting(self) -> bool:
        """Whether a client has connected of which `make` does not know yet."""
        if self._socket is not None:  # else it could not be bound anew
            self._accept()
        return bool(self._accepting)

    def _watch(self, made: socket.socket) -> None:
        if made is self._socket:
            self._loop.add_reader(made, self._accept)

    def _accept(self) -> None:
        try:
            self._accept_all()
        except OSError as exc:
            if exc.errno not in EXHAUSTED or self._socket is None:
                raise
            # Clients wait in the queue meanwhile; asking at once would ask for ever.
            log.warning("clients of a kernel must wait: %s", exc)
            self._loop.remove_reader(self._socket)
            self._loop.call_later(PAUSE, self._watch, self._socket)

    def _accept_all(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                accepted, _ = self._socket.accept()
                task = self._loop.create_task(
                    self._loop.connect_accepted_socket(self._make, accepted)
                )
                self._accepting.add(task)
                task.add_done_callback(functools.partial(self._accepted, accepted))

    def _accepted(self, accepted: socket.socket, task: asyncio.Task[object]) -> None:
        self._accepting.discard(task)
        if task.cancelled():  # asyncio may not have begun with it
            accepted.close()

    def close(self) -> None:
        """Accept nobody any more, and remove the path."""
        self._leave()
        for task in self._accepting:
            task.cancel()
        self._path.unlink(missing_ok=True)

    def _leave(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
