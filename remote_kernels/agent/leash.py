"""No kernel outlives its agent, not even one that is killed.

Where the scheduler does not know a job's processes by a cgroup (Slurm's
proctrack/linuxproc, many Grid Engines), a kernel would stay, as it leads a session of
its own. So Linux is asked to kill its process group when the agent's end of a pipe
closes, whatever closed it: F_SETSIG and F_SETOWN of fcntl(2), which name the group
itself and not a number that is used again. Called by kernel_process.py, and by exec.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal


class Leash:
    """A pipe: the kernel has the one end, which nobody reads, the agent the other."""

    def __init__(self) -> None:
        self._theirs = self._ours = -1
        with contextlib.suppress(OSError):  # no descriptor: a kernel is worth more
            self._theirs, self._ours = os.pipe()

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """What the kernel's process inherits."""
        return (self._theirs,) if self._theirs >= 0 else ()

    def tie(self, group: int) -> None:
        """Tie a process group, which has the other end by now."""
        if self._theirs >= 0:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._theirs, fcntl.F_SETSIG, signal.SIGKILL)
                fcntl.fcntl(self._theirs, fcntl.F_SETOWN, -group)
                fcntl.fcntl(self._theirs, fcntl.F_SETFL, fcntl.FASYNC)
            os.close(self._theirs)
            self._theirs = -1

    def let_go(self) -> None:
        """Let go, as the process has ended or never began; the rest of its group is killed."""
        for fd in (self._theirs, self._ours):
            if fd >= 0:
                os.close(fd)
        self._theirs = self._ours = -1
