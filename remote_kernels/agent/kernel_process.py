"""One process of a kernel: started, signalled, and followed to its end.

It leads a session and a process group of its own, so that signals reach what it started,
too, and never the agent. Signals pass unchanged. Its start needs no event loop (see
__main__). Made by supervisor.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from .connection_file import Sockets
from .environment import directory, environment, is_without
from .kernel_log import KernelLog
from .leash import Leash
from .node_dir import ensure, note_session
from .node_facts import oom_kills

if TYPE_CHECKING:
    from .wrapped import Wrapped

LISTEN_POLL = 0.01  # seconds
GRACE = 2.0  # seconds from SIGTERM to SIGKILL
BLIND = 0.75  # seconds between two looks whether a container hides the sockets


class HiddenError(Exception):
    """A container hides the node directory from the kernel."""


class KernelProcess:
    """One process, from its start to its end.

    Parameters
    ----------
    kernel : str
        The kernel's ID.
    incarnation : int
        Which of the kernel's processes it is.
    spec : dict
        See `supervisor.Kernel`.
    node_dir : str
        A private directory on the node.
    record : str
        The kernel's record, for kernel.log.

    Raises OSError or ValueError where it cannot be started.
    """

    def __init__(
        self,
        kernel: str,
        incarnation: int,
        spec: dict[str, Any],
        node_dir: str,
        record: str,
    ) -> None:
        self.lacks = ""  # where it was to begin, if it has no such directory
        self._kernel = kernel
        self._spec = spec
        self._node_dir = node_dir
        self._wrapped: Wrapped | None = None
        self._blind: set[tuple[int, int]] = set()
        self._ooms = oom_kills()
        ensure(node_dir)
        name = f"k{incarnation}-{time.monotonic_ns() // 1000 % 10**8}"
        self.sockets = Sockets(node_dir, name, spec["connection"])
        self._leash = Leash()
        try:
            self._process = self._start()
        except BaseException:
            self.remove()
            raise
        self.pid = self._process.pid
        self._note()
        assert self._process.stdout is not None
        log = os.path.join(record, "kernel.log")
        self._log = KernelLog(self._process.stdout, log)
        self._process.stdout = None

    def _start(self) -> subprocess.Popen[bytes]:
        spec = self._spec
        wanted = spec.get("cwd") or os.getcwd()
        cwd = directory(wanted)
        if cwd != wanted:
            self.lacks = wanted
        file = self.sockets.file
        return self._leash.start(
            [arg.replace("{connection_file}", file) for arg in spec["argv"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(spec, os.environ),
            cwd=cwd,
        )

    def _note(self) -> None:
        """Note the session that it leads, and the one that a wrapper has begun."""
        note_session(self._node_dir, self._kernel, self.pid)
        inner = self._wrapped.own_session if self._wrapped is not None else 0
        if inner not in (0, self.pid):
            note_session(self._node_dir, f"{self._kernel}-inner", inner)

    def mend(self) -> None:
        """Put back what a cleaner took from the node directory. Raises OSError."""
        self.sockets.mend()
        self._note()

    def remove(self) -> None:
        """Remove what it had in the node directory, as it has ended, or never began."""
        self._leash.let_go()
        for kernel in (self._kernel, f"{self._kernel}-inner"):
            note_session(self._node_dir, kernel, 0)
        self.sockets.remove()

    @property
    def sessions(self) -> list[int]:
        """Those in which its processes are."""
        behind = [self._wrapped.session] if self._wrapped is not None else []
        return list({self.pid, *behind})

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, as of now."""
        return self._process.poll() is not None

    @property
    def returncode(self) -> int | None:
        """As in `subprocess`; None: it has not ended, as far as is known."""
        return self._process.returncode

    @property
    def output(self) -> str:
        """The end of what it wrote, as far as that has been read."""
        return self._log.tail()

    @property
    def lacked_memory(self) -> bool:
        """Whether it was killed at the job's limit, and not another process of the job."""
        killed = (-signal.SIGKILL, 128 + signal.SIGKILL)  # itself, or by its launcher
        return self.returncode in killed and oom_kills() > self._ooms

    # On the event loop

    async def listens(self) -> bool:
        """Wait until all its sockets listen; False: it has ended, or cannot have them.

        Raises HiddenError; then it is killed.
        """
        import asyncio

        # Now, while the process begins: later, agent.pyz may have been removed.
        from .wrapped import blind  # noqa: F401

        delay, looked = LISTEN_POLL, time.monotonic()
        while not self.has_ended:
            if self.sockets.listening():
                self._look_behind()
                return True
            if self.sockets.foreign():
                return False
            if time.monotonic() - looked > BLIND:
                looked = time.monotonic()
                self._look_whether_hidden()
            await asyncio.sleep(delay)
            delay = min(delay * 1.05, 0.25)
        return False

    def _look_behind(self) -> None:
        """See whether the kernel is another process than the one that we started."""
        kernel = self.sockets.listener(self.pid) or self.pid
        if kernel != self.pid:
            from .wrapped import Wrapped  # few have one

            with contextlib.suppress(OSError):
                self._wrapped = Wrapped(kernel, self.pid)
                self._note()
        wanted = self._spec.get("cwd")
        if wanted and not self.lacks and is_without(kernel, wanted):
            self.lacks = wanted

    def _look_whether_hidden(self) -> None:
        """Raise HiddenError if a container hides our directory from the kernel."""
        from .wrapped import blind, kill_below

        before, self._blind = self._blind, blind(self.pid, self.sockets.file)
        if self._blind & before:  # else a container may be about to be made
            kill_below(self.pid)
            command = " ".join(self._spec["argv"])
            msg = f"it does not see {self._node_dir}. It was started by {command}"
            raise HiddenError(msg)

    async def exit(self) -> None:
        """Until it has ended. A thread: pidfd needs Linux 5.3, RHEL 8 has 4.18."""
        from .threads import in_thread

        await in_thread(self._process.wait)

    async def drained(self) -> None:
        """Wait until what an ended process wrote has been read, for `output`."""
        from .threads import in_thread

        await in_thread(self._log.wait)

    def signal(self, signum: int) -> None:
        """Signal the kernel; what stands around it ends with it, and gets only SIGKILL."""
        wrapped = self._wrapped
        if signum == signal.SIGKILL and wrapped is not None:
            wrapped.kill()
        elif wrapped is not None and wrapped.signal(signum):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signum)

    async def end(self) -> None:
        """SIGTERM, then SIGKILL to its whole group."""
        import asyncio

        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.exit(), GRACE)
        except asyncio.TimeoutError:
            self.signal(signal.SIGKILL)
            await self.exit()
