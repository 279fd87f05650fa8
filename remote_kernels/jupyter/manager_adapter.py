"""What we need of jupyter_client's KernelManager beyond what it offers a provisioner.

Rules: its private attributes, and the faults of jupyter_client (8.10) and jupyter_server
(2.21) that we work around, are known here alone. Called by provisioner.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.ioloop.restarter import AsyncIOLoopKernelRestarter
from jupyter_client.multikernelmanager import MultiKernelManager

from remote_kernels import harmless
from remote_kernels.errors import ConfigError

if TYPE_CHECKING:
    from jupyter_client.manager import KernelManager

log = harmless.logger(__name__)


class ManagerAdapter:
    """The KernelManager of one kernel, and its restarter.

    Parameters
    ----------
    manager : KernelManager
        The provisioner's parent.
    """

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self._restart_limit: int | None = None  # Jupyter's, while ours holds
        self._looking: asyncio.Future[None] | None = None
        self._looks = False  # now

    @property
    def server(self) -> Any:
        """The manager of all kernels of a server or program; None for a console."""
        return self.manager.parent

    @property
    def is_watched(self) -> bool:
        """Whether people look at it while it starts; else a program waits for it.

        A program that runs a notebook counts the seconds once we return; people at a
        server want to go on.
        """
        return isinstance(self.server, MultiKernelManager)

    @property
    def _restarter(self) -> Any:
        return getattr(self.manager, "_restarter", None)

    # Its start

    def refuse_required_encryption(self, kernel_id: str) -> None:
        """Raise ConfigError where clients must use CURVE: our sockets do not speak it.

        jupyter_client has this option since 8.9.
        """
        if getattr(self.manager, "transport_encryption", "disabled") != "required":
            return
        self.forget_pending(kernel_id)
        msg = (
            "transport_encryption is 'required', which a remote kernel cannot obey: "
            "its clients reach it over Unix sockets in a directory that only you may "
            "enter, and these speak no CurveZMQ. No job was submitted.\n"
            "Set it to 'auto' for this server or program, and encryption is used "
            "wherever it can be:\n"
            "    --KernelManager.transport_encryption=auto "
            "--MappingKernelManager.transport_encryption=auto"
        )
        raise ConfigError(msg)

    def forget_pending(self, kernel_id: str) -> None:
        """Forget a start that failed, or jupyter_server hangs at its own end.

        MultiKernelManager notes the ID of a kernel that starts among its pending ones,
        keeps it there when the start fails, and stumbles over it in shutdown_all; only
        with `use_pending_kernels` does it need it.
        """
        if not getattr(self.server, "use_pending_kernels", False):
            getattr(self.server, "_pending_kernels", {}).pop(kernel_id, None)

    def tell_dead(self) -> None:
        """Tell pages that it is dead, or they show "restarting" for ever.

        When the new process of a kernel does not start, jupyter_client raises, and
        nobody hears it: its restarter was stopped before.
        """
        if self._restarter is not None:
            self._restarter._fire_callbacks("dead")

    def when_ready(self, failed: Callable[[BaseException], None]) -> None:
        """Call `failed` if jupyter_client fails after the provisioner has done its part.

        It calls nobody else then.
        """

        def look(ready: Any) -> None:
            error = None if ready.cancelled() else ready.exception()
            if error is not None:
                failed(error)

        self.manager.ready.add_done_callback(look)

    # Its connection file

    def drop_stale_file(self) -> None:
        """Remove one that was left half-written: KernelManager would refuse ours."""
        if not getattr(self.manager, "_connection_file_written", False):
            try:
                Path(self.manager.connection_file).unlink()
            except OSError:
                log.debug("no stale connection file")

    def make_room_for_file(self, directory: Path | None) -> None:
        """See that the file has a directory: that may be gone, as ours may be."""
        from remote_kernels.kernel.socket_directory import room_for

        file = Path(self.manager.connection_file)
        if file.name and not file.parent.is_dir() and directory is not None:
            self.manager.connection_file = str(room_for(file, directory))

    def clean_up_dead(self) -> None:
        """Remove a dead kernel's file: jupyter_server forgets it without any cleanup."""
        self.manager.cleanup_connection_file()

    def moved(self, directory: Path) -> str:
        """Let new clients find the sockets in another directory.

        They go by what the manager says, and its file.

        Returns
        -------
        str
            What connection info has as `ip`.
        """
        self.manager.ip = str(directory / "k")
        self.make_room_for_file(directory)
        try:
            self.manager.cleanup_connection_file()
            self.manager.write_connection_file()
        except OSError as exc:
            log.warning("%s", exc)
        return self.manager.ip

    # Its restarter

    def on_restart(
        self, restarts: Callable[[], None], gives_up: Callable[[], None]
    ) -> None:
        """Call these when its restarter starts it again, and when it does no more."""
        for callback, event in ((restarts, "restart"), (gives_up, "dead")):
            self.manager.remove_restart_callback(callback, event)
            self.manager.add_restart_callback(callback, event)

    def restart_no_more(self) -> None:
        """Leave the kernel dead until a person restarts it: its job has ended.

        Jupyter's restarter would submit one job after the other at each time limit.
        """
        if self._restarter is not None and self._restart_limit is None:
            self._restart_limit = self._restarter.restart_limit
            self._restarter.restart_limit = 0

    def restart_again(self) -> None:
        """Restart a kernel that dies as ever: it has a new job."""
        if self._restarter is not None and self._restart_limit is not None:
            self._restarter.restart_limit = self._restart_limit
            self._restart_limit = None

    def look_now(self, poll: Callable[[], Awaitable[int | None]]) -> bool:
        """Let its restarter look at once, rather than within 3 s.

        A page that opens a websocket to a dead kernel is answered after 60 s
        (jupyter_server), and opens no other before. So for all but the restarter, which
        has the kernel forgotten, it counts as alive until then.

        Returns
        -------
        bool
            Whether the restarter is still to look.
        """
        if self._looking is None or self._looking.done():
            restarter, self._looks = self._restarter, False
            if not isinstance(restarter, AsyncIOLoopKernelRestarter):
                return False
            if not restarter._pcallback:  # it has
                return False
            self._looking = asyncio.ensure_future(self._look(restarter, poll))
        return not self._looks

    async def _look(
        self,
        restarter: AsyncIOLoopKernelRestarter,
        poll: Callable[[], Awaitable[int | None]],
    ) -> None:
        restarter.stop()  # or it looks beside us
        self._looks = True  # nothing comes between this and what it sees
        await restarter.poll()
        if await poll() is None:  # a person was faster, and restarted it
            restarter.start()
