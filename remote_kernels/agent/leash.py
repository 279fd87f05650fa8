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
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

from . import job_facts


class Leash:
    """A pipe: the kernel has the one end, which nobody reads, the agent the other."""

    def __init__(self) -> None:
        self._theirs = self._ours = -1
        with contextlib.suppress(OSError):  # no descriptor: a kernel is worth more
            self._theirs, self._ours = os.pipe()

    def start(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process that leads a session, and tie it. Raises OSError, ValueError.

        `options` are those of `subprocess.Popen`.
        """
        inherited = (self._theirs,) if self._theirs >= 0 else ()
        with _ignoring(job_facts.ignores()):
            process = subprocess.Popen(
                argv, start_new_session=True, pass_fds=inherited, **options
            )
        if self._theirs >= 0:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._theirs, fcntl.F_SETSIG, signal.SIGKILL)
                fcntl.fcntl(self._theirs, fcntl.F_SETOWN, -process.pid)
                fcntl.fcntl(self._theirs, fcntl.F_SETFL, fcntl.FASYNC)
            os.close(self._theirs)
            self._theirs = -1
        return process

    def let_go(self) -> None:
        """Let go, as the process has ended or never began; the rest of its group is killed."""
        for fd in (self._theirs, self._ours):
            if fd >= 0:
                os.close(fd)
        self._theirs = self._ours = -1


@contextlib.contextmanager
def _ignoring(signals: Sequence[signal.Signals]) -> Iterator[None]:
    """Let what is started begin with these ignored; in the main thread."""
    before = {signum: signal.signal(signum, signal.SIG_IGN) for signum in signals}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
            signal.siginterrupt(signum, False)  # as asyncio has it
