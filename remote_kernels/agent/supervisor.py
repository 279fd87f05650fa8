"""One kernel process: start, signal, watch, report. It never outlives its agent's end.

`spawn()` needs no event loop (see __main__); `watch()` does the rest on one. A kernel
is the leader of a session and process group of its own, so that signals reach what it
started, too, and never the agent. Signals pass unchanged.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from remote_kernels.wire.codes import Cause, ProcessState
from remote_kernels.wire.kernel_sockets import SOCKETS

from .connection_file import Sockets
from .environment import NoGpuError, directory, environment, is_without
from .kernel_log import KernelLog
from .leash import Leash
from .node_dir import PYZ, ensure, note_session
from .node_facts import oom_kills
from .processes import kill, session
from .spec import wrong_with

if TYPE_CHECKING:
    from remote_kernels.wire.control import KernelState
    from remote_kernels.wire.exec import Request

    from .message_buffer import MessageBuffer
    from .wrapped import Wrapped

PORT_TRIES = 5
LISTEN_POLL = 0.01  # seconds
GRACE = 2.0  # seconds from SIGTERM to SIGKILL
BLIND = 0.75  # seconds between two looks whether a container hides the sockets
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
        connection (see connection_file.Sockets), gpus (see visible.py; None: as the job has
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
        self.incarnation = 1
        self.sockets: Sockets | None = None
        self._spec = spec
        self._node_dir = node_dir
        self._record = record
        self._log_path = os.path.join(record, "kernel.log")
        self._log: KernelLog | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._state = ProcessState.STARTING
        self._cause = Cause.NONE
        self._detail = ""
        self._lacks = ""
        self._wrapped: Wrapped | None = None
        self._blind: set[tuple[int, int]] = set()
        self._ooms = 0
        self._watcher: Any = None
        self._leash: Leash | None = None
        self._restarting: Any = None  # a lock, once it is needed
        self._tell: Callable[[KernelState], None] = lambda state: None
        self.buffer: MessageBuffer | None = None

    def spawn(self) -> None:
        """Start the process. What goes wrong is a state, not an exception."""
        spec = self._spec
        self._ooms = oom_kills()
        name = f"k{self.incarnation}-{time.monotonic_ns() // 1000 % 10**8}"
        self._leash = Leash()
        try:
            ensure(self._node_dir)
            self.sockets = Sockets(self._node_dir, name, spec["connection"])
            argv = [
                arg.replace("{connection_file}", self.sockets.file)
                for arg in spec["argv"]
            ]
            wanted = spec.get("cwd") or os.getcwd()
            cwd = directory(wanted)
            if cwd != wanted:
                self._lacks = wanted
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(spec, os.environ),
                cwd=cwd,
                start_new_session=True,
                pass_fds=self._leash.pass_fds,
            )
            self._leash.tie(self._process.pid)
            note_session(self._node_dir, self.id, self._process.pid)
        except (OSError, ValueError) as exc:  # ValueError: of a NUL, or a name with =
            self._state, self._cause, self._lacks = ProcessState.FAILED, _cause(exc), ""
            self._detail = f"cannot start {' '.join(spec['argv'])}: {exc}"
            self._remove_sockets()

    def _remove_sockets(self) -> None:
        """Remove the sockets of a process that has ended, or never began."""
        if self._leash is not None:
            self._leash.let_go()
            self._leash = None
            for kernel in (self.id, f"{self.id}-inner"):
                note_session(self._node_dir, kernel, 0)
        if self.sockets is not None:
            self.sockets.remove()
            self.sockets = None

    # On the event loop

    def state(self) -> KernelState:
        """Return how the process is, as the login end is told."""
        from remote_kernels.wire.control import KernelState

        code = self._process.returncode if self._process is not None else None
        ended = self._state is ProcessState.EXITED and code is not None
        return KernelState(
            kernel=self.id,
            incarnation=self.incarnation,
            state=self._state,
            pid=self._process.pid if self._process is not None else 0,
            exit_code=code if ended and code is not None and code >= 0 else None,
            signum=-code if ended and code is not None and code < 0 else None,
            output=self._log.tail() if ended and self._log is not None else "",
            cause=self._cause,
            detail=self._detail,
            lacks=self._lacks,
        )

    @property
    def pid(self) -> int:
        """Of the process, which leads a session; 0 without one."""
        return self._process.pid if self._process is not None and self.alive else 0

    @property
    def sessions(self) -> list[int]:
        """Those in which its processes are; none, if it has ended."""
        behind = [self._wrapped.session] if self._wrapped is not None else []
        return list({self.pid, *behind}) if self.pid else []

    @property
    def alive(self) -> bool:
        """Whether the process has not ended, as far as is known."""
        return not self._state.is_over

    def watch(self, tell: Callable[[KernelState], None]) -> None:
        """Follow the spawned process; `tell` each change of its state."""
        import asyncio

        self._tell = tell
        self._make_keeper()
        tell(self.state())
        if self._state is not ProcessState.FAILED:
            self._watcher = asyncio.ensure_future(self._watch())

    def _make_keeper(self) -> None:
        """For all processes of this kernel, unless its sockets speak CURVE."""
        from .message_buffer import MessageBuffer

        if self.buffer is None and "curve_publickey" not in self._spec["connection"]:
            self.buffer = MessageBuffer(
                self._node_dir, int(self._spec.get("spool", DISK))
            )

    async def _watch(self) -> None:
        """Follow a process to its end; if another program took a port, start it again."""
        for attempt in range(1, PORT_TRIES + 1):
            started = await self._until_listening()
            if started and await self._kept():
                self._look_behind()
                self._hold_sockets()
                self._state = ProcessState.RUNNING
                self._tell(self.state())
                await self._exit()
                if self.buffer is not None:
                    await self.buffer.drained()
            elif attempt < PORT_TRIES and self._port_lost():
                sys.stderr.write(f"agent: a port was taken, attempt {attempt + 1}\n")
                await self._end_process()
                self._remove_sockets()
                self._cause = Cause.NONE
                self.spawn()
                continue
            break
        self._kill_group(signal.SIGKILL)  # what the kernel started and left behind
        self._remove_sockets()
        if self._state is not ProcessState.FAILED:
            self._state = ProcessState.EXITED
            if self._was_killed() and oom_kills() > self._ooms:
                self._cause = Cause.OUT_OF_MEMORY
        self._tell(self.state())

    def _was_killed(self) -> bool:
        """Else it was another process of the job that used too much memory."""
        killed = (-signal.SIGKILL, 128 + signal.SIGKILL)  # itself, or by its launcher
        return self._process is not None and self._process.returncode in killed

    def _look_behind(self) -> None:
        """Whether the kernel is another process than the one that we started."""
        if self._process is None or self.sockets is None:
            return
        outer = self._process.pid
        kernel = self.sockets.listener(outer) or outer
        if kernel != outer:
            from .wrapped import Wrapped  # few have one

            with contextlib.suppress(OSError):
                self._wrapped = Wrapped(kernel, outer)
                self._note_inner()
        wanted = self._spec.get("cwd")
        if wanted and not self._lacks and is_without(kernel, wanted):
            self._lacks = wanted

    def _note_inner(self) -> None:
        """Note the session that a wrapper has begun, which is not to stay either."""
        inner = self._wrapped.own_session if self._wrapped is not None else 0
        if inner not in (0, self.pid):
            note_session(self._node_dir, f"{self.id}-inner", inner)

    def _sees_no_sockets(self) -> bool:
        """Return whether a container hides our directory from the kernel: it has failed."""
        from .wrapped import blind, kill_below

        assert self._process is not None
        assert self.sockets is not None
        outer, before = self._process.pid, self._blind
        self._blind = blind(outer, self.sockets.file)
        if not self._blind & before:  # a container may be about to be made
            return False
        command = " ".join(self._spec["argv"])
        self._state, self._cause = ProcessState.FAILED, Cause.HIDDEN
        self._lacks = self._node_dir
        self._detail = f"it does not see {self._node_dir}. It was started by {command}"
        kill_below(outer)
        return True

    async def _kept(self) -> bool:
        """Whether the buffer has reached the new process (or none is wanted)."""
        if self.buffer is None or self.sockets is None:
            return True
        try:
            await self.buffer.connect(self.sockets.address)
        except OSError as exc:
            self._state, self._detail = ProcessState.FAILED, str(exc)
            self._kill_group(signal.SIGKILL)
            await self._exit()
            return False
        return True

    def _hold_sockets(self) -> None:
        """Those to which the login end may connect again."""
        if self.sockets is not None:
            for target in SOCKETS:
                if self.buffer is None or target not in self.buffer:
                    self.sockets.hold(target)

    def mend(self) -> None:
        """Put back what a cleaner took from the node directory. Raises OSError."""
        if self.sockets is not None:
            self.sockets.mend()
        if self.pid:
            note_session(self._node_dir, self.id, self.pid)
            self._note_inner()

    def _port_lost(self) -> bool:
        return self.sockets is not None and self.sockets.taken()

    async def _until_listening(self) -> bool:
        """Wait until all sockets listen; return False if the process ended before."""
        import asyncio

        # Now, while the process begins: later, agent.pyz may have been removed.
        from .wrapped import blind  # noqa: F401

        process, sockets = self._process, self.sockets
        if process is None or sockets is None:
            return False
        if process.stdout is not None:
            self._log = KernelLog(process.stdout, self._log_path)
            process.stdout = None
        delay, looked = LISTEN_POLL, time.monotonic()
        while process.poll() is None:
            if sockets.listening():
                return True
            if sockets.foreign():
                return False
            if time.monotonic() - looked > BLIND:
                looked = time.monotonic()
                if self._sees_no_sockets():
                    await self._exit()
                    return False
            await asyncio.sleep(delay)
            delay = min(delay * 1.05, 0.25)
        return False

    async def _exit(self) -> None:
        """Until the process has ended. A thread: pidfd needs Linux 5.3, RHEL 8 has 4.18."""
        from .threads import in_thread

        if self._process is not None:
            await in_thread(self._process.wait)

    def signal(self, signum: int) -> None:
        """Signal the kernel's process group; without effect on a dead kernel."""
        if self.alive:
            self._send(signum)

    def inside(self, request: Request) -> list[str]:
        """Return what starts a program beside the kernel; see inside.py. Raises OSError."""
        ensure(self._node_dir)
        options = {
            **request.options,
            "cwd": self._spec.get("cwd") or os.getcwd(),
            "env": dict(request.env),
            "terminal": request.terminal is not None,
        }
        pyz = os.path.join(self._node_dir, PYZ)
        words = [request.program, self._record, self.id, json.dumps(options)]
        argv = [sys.executable, "-I", "-S", pyz, "inside", *words]
        return [*argv, *request.command]

    def kill(self) -> None:
        """Kill all that there is of the kernel, at the agent's end."""
        if self.alive:
            self._kill_group(signal.SIGKILL)
        self._remove_sockets()
        if self.buffer is not None:
            self.buffer.close()

    def _send(self, signum: int) -> None:
        """Signal the kernel; what stands around it ends with it, and gets only SIGKILL."""
        wrapped = self._wrapped
        if signum == signal.SIGKILL or wrapped is None or not wrapped.signal(signum):
            self._kill_group(signum)

    def _kill_group(self, signum: int) -> None:
        if self._wrapped is not None and signum == signal.SIGKILL:
            self._wrapped.kill()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signum)

    async def _end_process(self) -> None:
        import asyncio

        process = self._process
        if process is None or process.poll() is not None:
            return
        self._cause = Cause.ENDED
        self._send(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._exit(), GRACE)
        except asyncio.TimeoutError:
            self._kill_group(signal.SIGKILL)
            await self._exit()

    async def end(self) -> None:
        """End the process and its session, also what has left its process group."""
        family = session(self.pid) if self.pid else {}
        await self._end()
        kill(family)

    async def _end(self) -> None:
        """SIGTERM, then SIGKILL to its whole group."""
        import asyncio

        await self._end_process()
        if self._watcher is not None:
            await asyncio.wait([self._watcher])
        self._remove_sockets()

    async def restart(self, spec: dict[str, Any]) -> None:
        """Start a new process in this job, as `spec` says; one after the other."""
        import asyncio

        if self._restarting is None:
            self._restarting = asyncio.Lock()
        async with self._restarting:
            await self._end()
            self.incarnation += 1
            self._state, self._cause = ProcessState.STARTING, Cause.NONE
            self._detail, self._lacks = wrong_with(spec), ""
            self._process, self._log, self._wrapped = None, None, None
            if self._detail:
                self._state = ProcessState.FAILED
                self._tell(self.state())
                return
            self._spec = spec
            self.spawn()
            self.watch(self._tell)
