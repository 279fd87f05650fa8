"""Jupyter's door: a kernel provisioner, each call handed to a RemoteKernel.

Entry point `remote-kernels` in the group `jupyter_client.kernel_provisioners`. The
order in which jupyter_client calls these methods, and which of its flags can be relied
on, was traced on 8.10: only `shutdown_requested` and `cleanup` know whether a restart
follows, so the job is given back in `cleanup(restart=False)` and nowhere else. What
else is to be known of jupyter_client is in manager_adapter.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import zmq
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from remote_kernels import forked, harmless
from remote_kernels.bounded import within
from remote_kernels.errors import AgentError, JobError, RecordError, RemoteKernelError

from .manager_adapter import ManagerAdapter
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
        self._adapter = ManagerAdapter(cast("KernelManager", self.parent))
        self.remote_kernel: RemoteKernel | None = None  # for whoever wants its times
        self._curve: tuple[bytes, bytes] | None = None
        self._has_process = False
        self._unasked = False  # the next launch is the restarter's, not a person's
        self._loop: asyncio.AbstractEventLoop | None = None  # the manager's
        self._options: dict[str, Any] = {}  # of this start, over the kernelspec's
        self.left = ""  # what could not be ended, in plain words
        self._given: dict[str, str] = {}  # variables that the caller gives the kernel

    @property
    def _is_lasting(self) -> bool:
        """Whether its kernel outlives this process."""
        server = self._adapter.server
        return server is not None and server in process().lasting

    def _changed(self, measured: bool = False) -> None:
        """Tell listeners that its model may be another one, or that it has none."""
        process().changes.tell(self.kernel_id, measured)

    def _let_go(self) -> None:
        """Do not release it at this process's exit: it is, or is another's."""
        process().background.let_go(self.kernel_id)

    # Start

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Note what the kernel is to be given.

        Called before each launch_kernel, also of a restart. Raises ConfigError.
        """
        self._options = kwargs.pop("remote_kernels", None) or self._options
        self._adapter.refuse_required_encryption(self.kernel_id)
        env = kwargs.get("env") or {}
        self._given = {name: env[name] for name in given(env, os.environ)}
        kwargs = await super().pre_launch(**kwargs)
        extra = kwargs.pop("extra_arguments", None) or []
        return {**kwargs, "cmd": [*self.kernel_spec.argv, *extra]}

    async def launch_kernel(
        self, cmd: list[str], **kwargs: Any
    ) -> KernelConnectionInfo:
        """Start the kernel: in its living job if there is one, else in a new job.

        Parameters
        ----------
        cmd : list of str
            The kernel's command.
        **kwargs
            Of these, `env` and `cwd` are the kernel's.

        Returns
        -------
        KernelConnectionInfo
            By which clients connect; constant over the kernel's life.

        Raises
        ------
        RemoteKernelError
            It could not be started; nothing of it is left.
        """
        launch = self._launch(cmd, **kwargs)
        self._loop = asyncio.get_running_loop()
        before, unasked = self.remote_kernel, self._unasked
        try:
            started = await process().background.run(self._start(launch))
        except BaseException:  # of ours or not: what Jupyter had of it is dead
            self._adapter.forget_pending(self.kernel_id)
            self._adapter.clean_up_dead()
            kernel = self.remote_kernel
            if unasked or kernel is None or kernel.status.end:  # nobody asks again
                self._adapter.tell_dead()
            raise
        info = self.connection_info = cast("KernelConnectionInfo", started)
        self._has_process = True
        self._adapter.drop_stale_file()
        kernel = self.remote_kernel
        if kernel is not None:
            self._adapter.make_room_for_file(kernel.status.directory)
            if kernel is not before:  # a restart can be asked for again
                self._adapter.when_ready(partial(self._undo, kernel))
        return info

    def _undo(self, kernel: RemoteKernel, error: BaseException) -> None:
        if self.remote_kernel is kernel:
            log.warning("kernel=%s its start is undone: %r", self.kernel_id, error)
            self.remote_kernel, self._has_process = None, False
            self._let_go()
            process().background.begin(kernel.release())

    def _on_its_loop(self, call: Callable[..., object], *args: Any) -> None:
        """Call something of the manager's, from the background loop."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:  # of a synchronous caller, which has gone on
            log.debug("kernel=%s nobody is told", self.kernel_id)

    def _follow(self, directory: Path) -> None:
        """Its sockets are at another place."""
        ip = self._adapter.moved(directory)
        self.connection_info = {**self.connection_info, "ip": ip}

    async def post_launch(self, **kwargs: Any) -> None:
        """Let the connection file go with the kernel, now that it is written."""
        await super().post_launch(**kwargs)
        if self.remote_kernel is not None:
            path = Path(self._adapter.manager.connection_file).absolute()  # noqa: ASYNC240
            self.remote_kernel.remove_at_death(path)
        self._adapter.on_restart(self._note_unasked, self._given_up)

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
            self._let_go()
            self._adapter.clean_up_dead()
            process().background.begin(kernel.give_up(why))

    def _note_unasked(self) -> None:
        self._unasked = True

    def _launch(self, cmd: list[str], **kwargs: Any) -> Launch:
        from remote_kernels.kernel import Launch

        env: dict[str, str] = kwargs.get("env") or {}
        session = {name: env[name] for name in ("JPY_SESSION_NAME",) if name in env}
        offered = self.kernel_spec.metadata.get("supported_encryption") or ()
        if "curve" in offered and self._curve is None:
            self._curve = zmq.curve_keypair()
        return Launch(
            argv=tuple(cmd),
            env={**session, **self._given},
            cwd=str(kwargs.get("cwd") or os.getcwd()),  # noqa: PTH109
            key=self._adapter.manager.session.key,
            curve=self._curve,
            env_lines=dict(self.kernel_spec.env),
            language=self.kernel_spec.language,
        )

    async def _start(self, launch: Launch) -> dict[str, Any]:
        from remote_kernels.config import over, parse
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
            self._adapter.restart_again()
        blocks = not self._adapter.is_watched
        line = ProgressLine(sys.stderr if blocks else None)
        process().provisioners.add(self)
        kernel = self.remote_kernel = RemoteKernel(
            self.kernel_id,
            parse(over(self._config, self._options)),
            self.kernel_spec.display_name,
            self._adapter.manager.kernel_name,
            runtime=process().runtime,
            outlives=self._is_lasting,
            instead_of=ended,
            on_progress=line.show,
            on_news=process().news.tell,
            on_changed=self._changed,
            on_dead=partial(self._on_its_loop, self._adapter.look_now, self.poll),
            on_end=self._let_go,
            on_moved=partial(self._on_its_loop, self._follow),
        )
        try:
            with line:
                if kernel.status.record.is_live:  # another server left it
                    info = await kernel.attach()
                else:
                    info = await kernel.start(launch, wait=blocks)
        except BaseException:
            self.remote_kernel = None
            self._changed()
            raise
        process().background.hold(self.kernel_id, self._let_go_at_exit)
        return info

    async def _restart(self, kernel: RemoteKernel, launch: Launch) -> dict[str, Any]:
        """Start a new process in the living job; without one, nothing is left of it."""
        try:
            return await kernel.restart(launch)
        except AgentError as exc:
            # If it was told to end, another restart, or the end, follows.
            if not kernel.status.told_to_end:
                await kernel.give_up(str(exc))  # unless its job ended already
            raise
        except BaseException as exc:
            # If its job ended it closes itself, and says why; with what this host lacks
            # one can try again.
            if kernel.status.end or isinstance(exc, (OSError, RecordError)):
                raise
            self.remote_kernel = None
            self._let_go()
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
        self._adapter.clean_up_dead()

    def note_sessions(self, sessions: dict[str, Any], notebook: str) -> None:
        """Keep the notebooks that use this kernel, for the server that comes next.

        Parameters
        ----------
        sessions : dict
            Jupyter's sessions, by ID.
        notebook : str
            The file of one of them, as JPY_SESSION_NAME has it.
        """
        if self.remote_kernel is not None:
            self.remote_kernel.status.note_sessions(sessions, notebook)

    async def detach(self) -> None:
        """Leave kernel and job to the next server. Called by the server extension."""
        kernel, self.remote_kernel = self.remote_kernel, None
        self._let_go()
        if kernel is not None:
            await process().background.finish(kernel.detach())
        self._adapter.clean_up_dead()
        self._changed()

    def resolve_path(self, path: str) -> str | None:
        """Return a path as the kernel sees it: from where its process started.

        None if nothing is there. It is looked for on this host, which shares the user's
        directories with the node.
        """
        whole = Path(path).expanduser()
        if not whole.is_absolute() and self.remote_kernel is not None:
            whole = Path(self.remote_kernel.status.cwd or Path.home(), whole).resolve()
        return whole.as_posix() if whole.exists() else None

    # Life

    @property
    def has_process(self) -> bool:
        """Whether there is a process, for all that Jupyter has to know."""
        return self._has_process

    @property
    def has_ended(self) -> bool:
        """Whether there is no kernel, or its job has ended."""
        return self.remote_kernel is None or self.remote_kernel.status.end is not None

    async def poll(self) -> int | None:
        """Return None while the kernel lives, else its exit code.

        Called every 3 s for each kernel; asks nobody.
        """
        if self.remote_kernel is None:
            return 0
        code = self.remote_kernel.status.poll()
        if code is not None and self.remote_kernel.status.end:
            if self._adapter.look_now(self.poll):
                return None
            self._adapter.restart_no_more()
            self._adapter.clean_up_dead()
        return code

    async def wait(self) -> int | None:
        """Wait for its end, at most WAIT_TIMEOUT seconds; return its exit code.

        Called without a limit once poll() is not None, or after kill().
        """
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
        """Send a signal to the kernel's process group, unchanged.

        Raises nothing: jupyter_client calls it first in each shutdown.
        """
        if self.remote_kernel is not None and signum:
            process().background.loop.call_soon_threadsafe(
                self.remote_kernel.signal, signum
            )

    async def kill(self, restart: bool = False) -> None:
        """Send SIGKILL to the kernel's process; not to its job, see `cleanup`."""
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        """Send SIGTERM to the kernel's process."""
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Give the job back, unless a restart follows.

        This is the one call that says so reliably. What could not be ended is in `left`.
        """
        if not restart and self.remote_kernel is not None:
            kernel, self.remote_kernel = self.remote_kernel, None
            self._let_go()
            try:
                await process().background.finish(kernel.release())
            except RemoteKernelError as exc:
                self.left = str(exc)
                log.error("kernel=%s was not released: %s", self.kernel_id, exc)
            self._changed()

    def forked(self) -> None:
        """Let go of the kernel in a forked child: it is the parent's."""
        forked.keep(self.remote_kernel)
        self.remote_kernel, self._has_process = None, False


def given(env: Mapping[str, str], server: Mapping[str, str]) -> list[str]:
    """Return the variables of an environment that its caller wants a kernel to have.

    Callers pass a copy of their own environment with changes. What they left as it was
    is the login node's, and the job has its own. Without a PATH it is no copy: all of
    it was given on purpose.
    """
    copied = "PATH" in env
    return [n for n, value in env.items() if not copied or server.get(n) != value]


_TRAITS = frozenset(KernelProvisionerBase.class_trait_names()) | {"parent", "config"}
