"""What one kernel has on the server's host: a directory, sockets, and a watchdog.

There from the job's submission until the kernel is given up; its paths stay the same
through restarts, because clients keep to them. Made by remote_kernel.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remote_kernels import harmless
from remote_kernels.config import Settings
from remote_kernels.errors import RecordError
from remote_kernels.front.front import Front, connection_info
from remote_kernels.front.standin import StandIn
from remote_kernels.relay import private

from . import socket_directory
from .connection import Connection
from .job import Job
from .watchdog import Watchdog

log = harmless.logger(__name__)

LOOK = 2.0  # seconds between two looks whether the sockets are there


class LocalEnd:
    """The sockets for clients, and who answers there.

    Parameters
    ----------
    settings:
        The kernelspec's config.
    standin:
        Who answers until the kernel does.
    on_moved:
        Called when the sockets are at another place, as theirs was removed.

    Raises
    ------
    ConfigError, RecordError
        There is no place for the sockets.
    """

    def __init__(
        self,
        settings: Settings,
        standin: StandIn,
        on_moved: Callable[[Path], None] = lambda directory: None,
    ) -> None:
        self._settings = settings
        self.directory = socket_directory.new(self._settings.runtime_dir)
        self.standin = standin
        self._on_moved = on_moved
        self._look: asyncio.TimerHandle | None = None
        self._moving: asyncio.Task[None] | None = None
        self._trouble = ""
        self._watchdog = Watchdog((), {})  # not started: it does nothing
        self._front: Front | None = None
        self._connection: Connection | None = None  # the one that clients talk to

    # The watchdog

    async def start_watchdog(self, job: Job, *, keep: bool = False) -> None:
        """Have the job cancelled and all files removed if this process is killed.

        `keep`: only ours.
        """
        await self._watchdog.stop()
        self._watchdog = Watchdog(job.cancel_argv, job.env)
        job.runtime.watchdogs.add(self._watchdog)
        self._watchdog.start(keep=keep)
        for path in () if keep else job.traces:
            self.remove_at_death(path)
        self.remove_at_death(self.directory)

    async def cancel_job(self) -> bool:
        """Cancel the job by the watchdog's own process; return whether that worked."""
        return await self._watchdog.cancel_job()

    def cancel_job_later(self) -> bool:
        """Have the job cancelled once the batch system answers; whether that is tried."""
        return self._watchdog.cancel_later()

    def remove_at_death(self, path: Path) -> None:
        """Remove a file with this server, also if its process is killed."""
        self._watchdog.remove(path)

    def outlive_server(self) -> None:
        """Let the death of this process end neither job nor kernel from now on."""
        self._watchdog.keep()
        self.remove_at_death(self.directory)

    # The sockets

    def open(self, key: bytes) -> dict[str, Any]:
        """Bind the sockets for clients, anew at each launch; return how to connect.

        Raises RecordError.
        """
        try:
            if self._front is None:
                self._front = Front(self._ip)
                self._front.bind(self.standin)
            else:
                self._bind_again(self._front)
        except OSError as exc:
            msg = (
                f"Cannot listen for the kernel's clients in {self.directory}: {exc}\n"
                "The kernel's job goes on. Set runtime_dir in the kernelspec's config to "
                "a short path that you can write, or make room there, and restart the "
                "kernel."
            )
            raise RecordError(msg) from exc
        self._look_later()
        return connection_info(self._ip, key)

    @property
    def _ip(self) -> str:
        return str(self.directory / "k")

    # Their directory may be removed: logind does so with /run/user/UID at the user's
    # last logout, though a server in tmux lives on.

    def _look_later(self) -> None:
        if self._look is not None:
            self._look.cancel()
        loop = asyncio.get_running_loop()
        self._look = loop.call_later(LOOK, self._look_now)

    def _look_now(self) -> None:
        """Check that new clients find the sockets, and make anew what was removed."""
        if self._front is None:
            return
        try:
            if not self._front.is_reachable() or not self._is_ours():
                self._bind_again(self._front)
        except (OSError, RecordError) as exc:  # tried again; the kernel lives on
            if self._trouble != str(exc):
                self._trouble = str(exc)
                log.warning("new clients do not find the kernel: %s", exc)
        self._look_later()

    def _bind_again(self, front: Front) -> None:
        """Make anew what was removed. Raises OSError, RecordError."""
        if not self._is_ours():
            self._make_directory()
        front.rebind(self._ip)
        self._trouble = ""

    def _is_ours(self) -> bool:
        """Return whether the directory is ours; another user may have made it anew."""
        return private.is_ours(str(self.directory))

    def _make_directory(self) -> None:
        """Make the directory anew, at the same place if that can be."""
        before = self.directory
        try:
            private.make_missing(str(before))
            private.check(str(before))
        except OSError:
            try:
                self.directory = socket_directory.new(self._settings.runtime_dir)
            except RecordError:
                self.directory = socket_directory.make(socket_directory.TMP)
            self.remove_at_death(self.directory)
        log.warning(
            "%s was removed, so the kernel's sockets are made anew in %s",
            *(before, self.directory),
        )
        self._on_moved(self.directory)
        if self._connection is not None:
            self._moving = asyncio.create_task(self._move(self._connection))

    async def _move(self, connection: Connection) -> None:
        try:
            await connection.move(self.directory)
        except OSError as exc:
            log.warning("the kernel's other sockets were not made anew: %s", exc)

    async def settled(self) -> None:
        """Return once all that was removed is there again."""
        if self._moving is not None:
            await self._moving

    async def hand_over(self, connection: Connection) -> None:
        """Let the kernel, which listens now, answer its clients, not the stand-in."""
        assert self._front is not None
        if self._connection is connection and connection.curve is None:
            return  # a new process of it
        first, self._connection = self._connection is None, connection
        await connection.join(self._front, self.standin if first else None)

    @property
    def handed_over(self) -> bool:
        """Whether the kernel answers its clients, no stand-in."""
        return self._connection is not None

    def disconnect(self) -> None:
        """Let go of the kernel, whose connection is about to be closed."""
        if self._front is not None:
            self._front.disconnect()

    async def close(self) -> None:
        """Close the sockets, and remove their directory."""
        if self._look is not None:
            self._look.cancel()
        if self._front is not None:
            self._front.close()
            self._front = None
        socket_directory.remove(self.directory)
        await self._watchdog.stop()
