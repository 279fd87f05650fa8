"""One kernel: its processes, one after the other, and how it is. It never outlives its agent.

`spawn()` needs no event loop (see __main__); `watch()` does the rest on one.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from remote_kernels.wire.codes import Cause, ProcessState
from remote_kernels.wire.kernel_sockets import SOCKETS

from .connection_file import Sockets
from .environment import NoGpuError
from .kernel_process import HiddenError, KernelProcess
from .node_dir import PYZ, ensure
from .processes import kill, session
from .spec import wrong_with

if TYPE_CHECKING:
    from remote_kernels.wire.control import KernelState
    from remote_kernels.wire.exec import Request

    from .message_buffer import MessageBuffer

PORT_TRIES = 5
DISK = 512 * 1024 * 1024  # bytes of each spool, unless the spec says otherwise
# What execve(2) says of a program that is not there, or is none.
_NO_PROGRAM = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC)


def _cause(exc: Exception) -> Cause:
    """Why a process was not started."""
    if isinstance(exc, NoGpuError):
        return Cause.NO_GPU
    code = exc.errno if isinstance(exc, OSError) else None
    if code == errno.EADDRNOTAVAIL:
        return Cause.NO_LOOPBACK
    return Cause.NO_PROGRAM if code in _NO_PROGRAM else Cause.NONE


class Kernel:
    """One kernel of this job.

    Parameters
    ----------
    id : str
        The kernel's ID.
    spec : dict
        argv (with `{connection_file}`), env, env_lines (see environment.py), cwd,
        connection (see connection_file.Sockets), gpus (see visible_gpus; None: as the job has
        them).
    node_dir : str
        A private directory on the node.
    record : str
        The kernel's record, for kernel.log.
    """

    def __init__(
        self, id: str, spec: dict[str, Any], node_dir: str, record: str
    ) -> None:
        self.id = id
        self.node_dir = node_dir
        self.buffer: MessageBuffer | None = None
        self._incarnation = 1
        self._spec = spec
        self.record = record
        self._process: KernelProcess | None = None
        self._state = ProcessState.STARTING
        self._cause = Cause.NONE
        self._detail = ""
        self._lacks = ""
        self._watcher: Any = None
        self._restarting: Any = None  # a lock, once it is needed
        self._tell: Callable[[KernelState], None] = lambda state: None

    def spawn(self) -> None:
        """Start the process. What goes wrong is a state, not an exception."""
        spec, self._process = self._spec, None
        try:
            self._process = KernelProcess(
                self.id, self._incarnation, spec, self.node_dir, self.record
            )
            self._lacks = self._process.lacks
        except (OSError, ValueError) as exc:  # ValueError: of a NUL, or a name with =
            self._fail(f"cannot start {' '.join(spec['argv'])}: {exc}", _cause(exc))

    def _fail(self, detail: str, cause: Cause = Cause.NONE, lacks: str = "") -> None:
        self._state, self._cause = ProcessState.FAILED, cause
        self._detail, self._lacks = detail, lacks

    # How it is

    def state(self) -> KernelState:
        """Return how the process is, as the login end is told."""
        from remote_kernels.wire.control import KernelState

        process = self._process
        code, output = None, ""
        if process is not None and self._state is ProcessState.EXITED:
            code, output = process.returncode, process.output
        return KernelState(
            kernel=self.id,
            incarnation=self._incarnation,
            state=self._state,
            pid=process.pid if process is not None else 0,
            exit_code=code if code is not None and code >= 0 else None,
            signum=-code if code is not None and code < 0 else None,
            output=output,
            cause=self._cause,
            detail=self._detail,
            lacks=self._lacks,
        )

    @property
    def alive(self) -> bool:
        """Whether the process has not ended, as far as is known."""
        return not self._state.is_over

    @property
    def _living(self) -> KernelProcess | None:
        return self._process if self.alive else None

    @property
    def sockets(self) -> Sockets | None:
        """Where its process listens; None without one."""
        return self._living.sockets if self._living is not None else None

    @property
    def sessions(self) -> list[int]:
        """Those in which its processes are; none, if it has ended."""
        return self._living.sessions if self._living is not None else []

    # On the event loop

    def watch(self, tell: Callable[[KernelState], None]) -> None:
        """Follow the spawned process; `tell` each change of its state."""
        import asyncio

        from .message_buffer import MessageBuffer

        # For all processes of this kernel, unless its sockets speak CURVE.
        if self.buffer is None and "curve_publickey" not in self._spec["connection"]:
            disk = int(self._spec.get("spool", DISK))
            self.buffer = MessageBuffer(self.node_dir, disk)
        self._tell = tell
        tell(self.state())
        if self.alive:
            self._watcher = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        """Follow a process to its end; if another program took a port, start it again."""
        for attempt in range(1, PORT_TRIES + 1):
            process = self._process
            if process is None:
                break
            if await self._is_up(process):
                self._state, self._lacks = ProcessState.RUNNING, process.lacks
                self._tell(self.state())
                await process.exit()
                if self.buffer is not None:
                    await self.buffer.drained()
            elif attempt < PORT_TRIES and self.alive and process.sockets.taken():
                sys.stderr.write(f"agent: a port was taken, attempt {attempt + 1}\n")
                await process.end()
                process.remove()
                self.spawn()
                continue
            process.signal(signal.SIGKILL)  # what the kernel started and left behind
            await process.drained()
            process.remove()  # last: until then, mend() may put it back
            if self.alive:
                self._state = ProcessState.EXITED
                if process.lacked_memory:
                    self._cause = Cause.OUT_OF_MEMORY
            break
        self._tell(self.state())

    async def _is_up(self, process: KernelProcess) -> bool:
        """Wait until it listens, and the buffer has reached it (or none is wanted)."""
        try:
            if not await process.listens():
                return False
            if self.buffer is not None:
                await self.buffer.connect(process.sockets.address)
        except HiddenError as exc:
            self._fail(str(exc), Cause.HIDDEN, self.node_dir)
        except OSError as exc:
            self._fail(str(exc))
            process.signal(signal.SIGKILL)
        else:
            for target in SOCKETS:  # to which the login end may connect again
                if self.buffer is None or target not in self.buffer:
                    process.sockets.hold(target)
            return True
        await process.exit()
        return False

    def mend(self) -> None:
        """Put back what a cleaner took from the node directory. Raises OSError."""
        if self._living is not None:
            self._living.mend()

    def signal(self, signum: int) -> None:
        """Signal the kernel's process group; without effect on a dead kernel."""
        if self._living is not None:
            self._living.signal(signum)

    def inside(self, request: Request) -> list[str]:
        """Return what starts a program beside the kernel; see inside.py. Raises OSError."""
        ensure(self.node_dir)
        options = {
            **request.options,
            "cwd": self._spec.get("cwd") or os.getcwd(),
            "env": dict(request.env),
            "terminal": request.terminal is not None,
        }
        pyz = os.path.join(self.node_dir, PYZ)
        words = [request.program, self.node_dir, self.id, json.dumps(options)]
        argv = [sys.executable, "-I", "-S", pyz, "inside", *words]
        return [*argv, *request.command]

    # The end

    def kill(self) -> None:
        """Kill all that there is of the kernel, at the agent's end."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.remove()
        if self.buffer is not None:
            self.buffer.close()

    async def end(self) -> None:
        """End the process and its session, also what has left its process group."""
        family = session(self._living.pid) if self._living is not None else {}
        await self._end()
        kill(family)

    async def _end(self) -> None:
        import asyncio

        process = self._process
        if process is not None and not process.has_ended:
            self._cause = Cause.ENDED
            await process.end()
        if self._watcher is not None:
            await asyncio.wait([self._watcher])
        if process is not None:
            process.remove()

    async def restart(self, spec: dict[str, Any]) -> None:
        """Start a new process in this job, as `spec` says; one after the other."""
        import asyncio

        if self._restarting is None:
            self._restarting = asyncio.Lock()
        async with self._restarting:
            await self._end()
            self._incarnation += 1
            self._process = None
            self._state, self._cause = ProcessState.STARTING, Cause.NONE
            self._detail = self._lacks = ""
            wrong = wrong_with(spec)
            if wrong:
                self._fail(wrong)
                self._tell(self.state())
                return
            self._spec = spec
            self.spawn()
            self.watch(self._tell)
