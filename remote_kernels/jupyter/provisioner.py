"""Jupyter's door: a kernel provisioner, each call handed to a RemoteKernel.

Entry point `remote-kernels` in the group `jupyter_client.kernel_provisioners`. The
order in which jupyter_client calls these methods, and which of its flags can be relied
on, was traced on 8.10: only `shutdown_requested` and `cleanup` know whether a restart
follows, so the job is given back in `cleanup(restart=False)` and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import zmq
from jupyter_client.ioloop.restarter import AsyncIOLoopKernelRestarter
from jupyter_client.multikernelmanager import MultiKernelManager
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from remote_kernels import forked, harmless
from remote_kernels.bounded import within
from remote_kernels.errors import (
    AgentError,
    ConfigError,
    JobError,
    RecordError,
    RemoteKernelError,
)

from .process import process
from .progress_line import ProgressLine

if TYPE_CHECKING:
    from jupyter_client.connect import KernelConnectionInfo
    from jupyter_client.manager import KernelManager

    from remote_kernels.kernel import Launch, RemoteKernel

log = harmless.logger(__name__)

WAIT_TIMEOUT = 10.0  # seconds; jupyter_client awaits wait() without a limit


class RemoteKernelProvisioner(KernelProvisionerBase):
    """A kernel in a batch job.

    The kernelspec's `metadata.kernel_provisioner.config` is not declared as traits:
    traitlets accepts misspelt names with no more than a warning. remote_kernels.config
    refuses them.
    """

    def __init__(self, **kwargs: Any) -> None:
        own = {name: kwargs.pop(name) for name in list(kwargs) if name not in _TRAITS}
        super().__init__(**kwargs)
        self._config = own
        self.remote_kernel: RemoteKernel | None = None  # for whoever wants its times
        self._curve: tuple[bytes, bytes] | None = None
        self._has_process = False
        self._restart_limit: int | None = None  # Jupyter's, while ours holds
        self._unasked = False  # the next launch is the restarter's, not a person's
        self._loop: asyncio.AbstractEventLoop | None = None  # the manager's
        self._looking: asyncio.Future[None] | None = None
        self._options: dict[str, Any] = {}  # of this start, over the kernelspec's
        self.left = ""  # what could not be ended, in plain words
        self._given: dict[str, str] = {}  # variables that the caller gives the kernel

    @property
    def _manager(self) -> KernelManager:
        return cast("KernelManager", self.parent)

    @property
    def _is_lasting(self) -> bool:
        """Whether its kernel outlives this process."""
        manager = self._manager.parent
        return manager is not None and manager in process().lasting

    # Start

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Called before each launch_kernel, also of a restart."""
        self._options = kwargs.pop("remote_kernels", None) or self._options
        self._refuse_required_encryption()
        env = kwargs.get("env") or {}
        self._given = {name: env[name] for name in given(env, os.environ)}
        kwargs = await super().pre_launch(**kwargs)
        extra = kwargs.pop("extra_arguments", None) or []
        return {**kwargs, "cmd": [*self.kernel_spec.argv, *extra]}

    async def launch_kernel(
        self, cmd: list[str], **kwargs: Any
    ) -> KernelConnectionInfo:
        """Start the kernel: in its living job if there is one, else in a new job."""
        launch = self._launch(cmd, **kwargs)
        self._loop = asyncio.get_running_loop()
        before, unasked = self.remote_kernel, self._unasked
        try:
            started = await process().background.run(self._start(launch))
        except BaseException:  # of ours or not: what Jupyter had of it is dead
            self._forget_pending()
            self._clean_up_dead()
            kernel = self.remote_kernel
            if unasked or kernel is None or kernel.status.end:  # nobody asks again
                self._tell_dead()
            raise
        info = cast("KernelConnectionInfo", started)
        self.connection_info = info
        self._has_process = True
        self._drop_stale_connection_file()
        self._make_room_for_connection_file()
        self._undo_unless_finished(before)
        return info

    def _make_room_for_connection_file(self) -> None:
        """Its directory may be gone, as ours (see kernel/local_end.py)."""
        from remote_kernels.kernel.socket_directory import room_for

        kernel, file = self.remote_kernel, Path(self._manager.connection_file)
        if file.name and not file.parent.is_dir() and kernel is not None:
            self._manager.connection_file = str(room_for(file, kernel.status.directory))

    def _undo_unless_finished(self, before: RemoteKernel | None) -> None:
        """What jupyter_client does after us may fail, and then it calls nobody.

        Not of a restart: that can be asked for again.
        """
        kernel = self.remote_kernel
        if kernel is None or kernel is before:
            return

        def look(ready: Any) -> None:
            failed = not ready.cancelled() and ready.exception() is not None
            if failed and self.remote_kernel is kernel:
                log.warning(
                    "kernel=%s its start is undone: %r",
                    self.kernel_id,
                    ready.exception(),
                )
                self.remote_kernel, self._has_process = None, False
                process().background.let_go(self.kernel_id)
                process().background.begin(kernel.release())

        self._manager.ready.add_done_callback(look)

    def _moved(self, directory: Path) -> None:
        """Its sockets are at another place. Called on the background's loop."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # closed: nobody asks any more
                self._loop.call_soon_threadsafe(self._follow, directory)

    def _follow(self, directory: Path) -> None:
        """New clients go by what the manager says, and its file."""
        manager = self._manager
        manager.ip = str(directory / "k")
        self.connection_info = {**self.connection_info, "ip": manager.ip}
        self._make_room_for_connection_file()
        try:
            manager.cleanup_connection_file()
            manager.write_connection_file()
        except OSError as exc:
            log.warning("kernel=%s %s", self.kernel_id, exc)

    async def post_launch(self, **kwargs: Any) -> None:
        """Called once KernelManager has written its connection file."""
        await super().post_launch(**kwargs)
        if self.remote_kernel is not None:
            path = Path(self._manager.connection_file).absolute()  # noqa: ASYNC240
            self.remote_kernel.remove_at_death(path)
        self._manager.remove_restart_callback(self._note_unasked)
        self._manager.add_restart_callback(self._note_unasked)
        self._manager.remove_restart_callback(self._given_up, "dead")
        self._manager.add_restart_callback(self._given_up, "dead")

    def _given_up(self) -> None:
        """Jupyter's restarter does not start it again, so nobody will."""
        kernel = self.remote_kernel
        if kernel is not None and not kernel.status.end:
            code = kernel.status.poll()
            how = f"signal {-code}" if code and code < 0 else f"exit code {code}"
            why = (
                f"The kernel's process ended with {how}, again and again, and is not "
                "started any more. Look at what it wrote: remote-kernels logs "
                f"{self.kernel_id[:8]}"
            )
            process().background.let_go(self.kernel_id)
            self._clean_up_dead()
            process().background.begin(kernel.give_up(why))

    def _note_unasked(self) -> None:
        self._unasked = True

    def _launch(self, cmd: list[str], **kwargs: Any) -> Launch:
        from remote_kernels.kernel import Launch

        env: dict[str, str] = kwargs.get("env") or {}
        session = {name: env[name] for name in ("JPY_SESSION_NAME",) if name in env}
        if self._offers_curve() and self._curve is None:
            self._curve = zmq.curve_keypair()
        return Launch(
            argv=tuple(cmd),
            env={**session, **self._given},
            cwd=str(kwargs.get("cwd") or os.getcwd()),  # noqa: PTH109
            key=self._manager.session.key,
            curve_pair=self._curve,
            env_lines=dict(self.kernel_spec.env),
            language=self.kernel_spec.language,
        )

    def _refuse_required_encryption(self) -> None:
        """Not obeyed in silence: sockets of ours speak no CURVE to Jupyter's clients.

        jupyter_client has this option since 8.9.
        """
        if getattr(self._manager, "transport_encryption", "disabled") != "required":
            return
        self._forget_pending()
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

    def _offers_curve(self) -> bool:
        return "curve" in (self.kernel_spec.metadata.get("supported_encryption") or ())

    async def _start(self, launch: Launch) -> dict[str, Any]:
        from remote_kernels.config import parse
        from remote_kernels.kernel import RemoteKernel

        unasked, self._unasked = self._unasked, False
        ended = ""
        if self.remote_kernel is not None and self.remote_kernel.status.restartable:
            return await self._restart(self.remote_kernel, launch)
        if self.remote_kernel is not None:  # its job ended
            if unasked:  # just now: the restarter has not seen it
                raise JobError(self.remote_kernel.status.end_text)
            if "ready" in self.remote_kernel.status.times:
                ended = self.remote_kernel.status.end_text
            await self.remote_kernel.release()
            self._restart_again()
        # A program that runs a notebook counts the seconds once we return; people at a
        # server want to go on.
        blocks = not isinstance(self._manager.parent, MultiKernelManager)
        line = ProgressLine(sys.stderr if blocks else None)
        process().provisioners.add(self)
        kernel = self.remote_kernel = RemoteKernel(
            self.kernel_id,
            parse({**self._config, **self._options}),
            self.kernel_spec.display_name,
            self._manager.kernel_name,
            runtime=process().runtime,
            outlives=self._is_lasting,
            instead_of=ended,
            on_progress=line.show,
            on_news=process().news.tell,
            on_dead=self._died,
            on_end=lambda: process().background.let_go(self.kernel_id),
            on_moved=self._moved,
        )
        try:
            with line:
                if kernel.status.record.is_live:  # another server left it
                    info = await kernel.attach()
                else:
                    info = await kernel.start(launch, wait=blocks)
        except BaseException:
            self.remote_kernel = None
            raise
        process().background.hold(self.kernel_id, self._let_go_at_exit)
        return info

    async def _restart(self, kernel: RemoteKernel, launch: Launch) -> dict[str, Any]:
        """A new process in the living job; without one, nothing is left of it."""
        try:
            return await kernel.restart(launch)
        except AgentError as exc:
            # If it was told to end, another restart, or the end, follows.
            if not kernel.status.told_to_end:
                await kernel.give_up(str(exc))  # unless its job ended already
            raise
        except BaseException as exc:
            if kernel.status.end:  # its job ended: it closes itself, and says why
                raise
            if isinstance(exc, (OSError, RecordError)):  # of this host: try again
                raise
            self.remote_kernel = None
            process().background.let_go(self.kernel_id)
            await asyncio.shield(kernel.release())
            raise

    async def _let_go_at_exit(self) -> None:
        """Nobody shut the kernel down, so nobody removed its connection file either."""
        kernel = self.remote_kernel
        if kernel is not None and self._is_lasting:
            await kernel.detach()
        elif kernel is not None:
            await kernel.release()
        # Exit hooks that come after ours may still ask for a shutdown: all is done.
        self.remote_kernel, self._has_process = None, False
        self._manager.cleanup_connection_file()

    def note_sessions(self, sessions: dict[str, Any], notebook: str) -> None:
        """The notebooks that use this kernel.

        `notebook` is the file of one of them, as JPY_SESSION_NAME has it.
        """
        if self.remote_kernel is not None:
            self.remote_kernel.status.note_sessions(sessions, notebook)

    async def detach(self) -> None:
        """Leave kernel and job to the next server. Called by the server extension."""
        kernel, self.remote_kernel = self.remote_kernel, None
        process().background.let_go(self.kernel_id)
        if kernel is not None:
            await process().background.finish(kernel.detach())
        self._manager.cleanup_connection_file()

    def _forget_pending(self) -> None:
        """Else jupyter_server (2.21) hangs at its own end.

        MultiKernelManager (jupyter_client 8.10) notes the id of a kernel that starts
        among its pending ones, keeps it there when the start fails, and stumbles over
        it in shutdown_all; only with `use_pending_kernels` does it need it.
        """
        manager = self._manager.parent
        pending = getattr(manager, "_pending_kernels", None)
        if isinstance(pending, dict) and not getattr(
            manager, "use_pending_kernels", False
        ):
            pending.pop(self.kernel_id, None)

    def _tell_dead(self) -> None:
        """Else a page shows "restarting" for ever.

        When the new process of a kernel does not start, jupyter_client (8.10) raises,
        and nobody hears: its restarter was stopped before.
        """
        restarter = getattr(self.parent, "_restarter", None)
        if restarter is not None:
            restarter._fire_callbacks("dead")

    def _drop_stale_connection_file(self) -> None:
        """One that was left half-written makes KernelManager (8.10) refuse ours."""
        if not getattr(self.parent, "_connection_file_written", False):
            try:
                os.unlink(self._manager.connection_file)  # noqa: PTH108
            except OSError:
                log.debug("no stale connection file")

    def resolve_path(self, path: str) -> str | None:
        """As a local kernel's: from where its process started, if it is there.

        Looked for on this host, which shares the user's directories with the node.
        """
        whole = Path(path).expanduser()
        if not whole.is_absolute() and self.remote_kernel is not None:
            whole = Path(self.remote_kernel.status.cwd or Path.home(), whole).resolve()
        return whole.as_posix() if whole.exists() else None

    # Life

    @property
    def has_process(self) -> bool:
        return self._has_process

    async def poll(self) -> int | None:
        """None while the kernel lives. Called every 3 s for each kernel: asks nobody."""
        if self.remote_kernel is None:
            return 0
        code = self.remote_kernel.status.poll()
        if code is not None and self.remote_kernel.status.end:
            self._do_not_resubmit()
            self._clean_up_dead()
        return code

    def _died(self) -> None:
        """Called on the background loop."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._look_now)
        except RuntimeError:  # of a synchronous caller, which has gone on
            log.debug("kernel=%s nobody is told", self.kernel_id)

    def _look_now(self) -> None:
        """Else jupyter_client (8.10) looks within 3 s.

        A page that opens a websocket meanwhile would be answered after 60 s
        (jupyter_server 2.21), and open no other before.
        """
        restarter = getattr(self.parent, "_restarter", None)
        if isinstance(restarter, AsyncIOLoopKernelRestarter) and restarter._pcallback:
            self._looking = asyncio.ensure_future(self._look(restarter))

    async def _look(self, restarter: AsyncIOLoopKernelRestarter) -> None:
        restarter.stop()  # or it looks beside us
        await restarter.poll()
        if await self.poll() is None:  # a person was faster, and restarted it
            restarter.start()

    def _clean_up_dead(self) -> None:
        """jupyter_server (2.21) forgets a dead kernel without any cleanup."""
        self._manager.cleanup_connection_file()

    def _do_not_resubmit(self) -> None:
        """The job ended: the kernel is dead until a person restarts it.

        Jupyter's restarter would submit one job after the other at each time limit.
        """
        restarter = getattr(self.parent, "_restarter", None)
        if restarter is not None and self._restart_limit is None:
            self._restart_limit = restarter.restart_limit
            restarter.restart_limit = 0

    def _restart_again(self) -> None:
        """In the new job a kernel that dies is restarted as ever."""
        restarter = getattr(self.parent, "_restarter", None)
        if restarter is not None and self._restart_limit is not None:
            restarter.restart_limit = self._restart_limit
            self._restart_limit = None

    async def wait(self) -> int | None:
        """Called without a limit once poll() is not None, or after kill()."""
        code: int | None = None
        if self.remote_kernel is not None:
            try:
                waiting = process().background.run(self.remote_kernel.status.wait())
                code = await within(waiting, WAIT_TIMEOUT)
            except asyncio.TimeoutError:
                log.warning("kernel=%s did not end; going on", self.kernel_id)
        self._has_process = False
        return code

    async def send_signal(self, signum: int) -> None:
        """Must not raise: jupyter_client calls it first in each shutdown."""
        if self.remote_kernel is not None and signum:
            process().background.loop.call_soon_threadsafe(
                self.remote_kernel.signal, signum
            )

    async def kill(self, restart: bool = False) -> None:
        """SIGKILL to the kernel process. Not to its job: see `cleanup`."""
        await self.send_signal(9)

    async def terminate(self, restart: bool = False) -> None:
        """SIGTERM to the kernel process."""
        await self.send_signal(15)

    async def cleanup(self, restart: bool = False) -> None:
        """The one call that says reliably whether a restart follows."""
        if not restart and self.remote_kernel is not None:
            kernel, self.remote_kernel = self.remote_kernel, None
            process().background.let_go(self.kernel_id)
            try:
                await process().background.finish(kernel.release())
            except RemoteKernelError as exc:
                self.left = str(exc)
                log.error("kernel=%s was not released: %s", self.kernel_id, exc)

    def forked(self) -> None:
        """In a child: the kernel is its parent's."""
        forked.keep(self.remote_kernel)
        self.remote_kernel, self._has_process = None, False


def given(env: Mapping[str, str], server: Mapping[str, str]) -> list[str]:
    """Of an environment for a kernel: what its caller wants the kernel to have.

    Callers pass a copy of their own environment with changes. What they left as it was
    is the login node's, and the job has its own. Without a PATH it is no copy: all of
    it was given on purpose.
    """
    copied = "PATH" in env
    return [n for n, value in env.items() if not copied or server.get(n) != value]


_TRAITS = frozenset(KernelProvisionerBase.class_trait_names()) | {"parent", "config"}
