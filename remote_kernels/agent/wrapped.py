"""Which process is the kernel, where something stands around it; and whom a signal is for.

What we start need not be the kernel: bubblewrap, a script without exec, `conda run`
wait for it, and die of an interrupt that is meant for it. The kernel is who listens on
its sockets. It and its process group are signalled, and what stands around it is not;
a SIGKILL is for all. Without a wrapper none of this is used. Called by kernel_process.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from .processes import Process, argv, below, every

_TICK = os.sysconf("SC_CLK_TCK")

Life = tuple[int, int]  # a pid and when it began: no other process is meant


class Wrapped:
    """A kernel that listens, and is not the process that we started.

    Parameters
    ----------
    kernel : int
        Its pid.
    outer : int
        The process that we started.

    Raises OSError where /proc does not show the kernel.
    """

    def __init__(self, kernel: int, outer: int) -> None:
        there = every()
        if kernel not in there:
            msg = f"no process {kernel}"
            raise ProcessLookupError(msg)
        self._kernel = there[kernel]
        self._outer = outer
        started = below([outer], there)
        # Else some server has started it, whose group may be many others', too.
        self._has_group = kernel in started or self._kernel.group in (kernel, outer)
        self._has_session = self._kernel.session in started
        self._ready = time.clock_gettime(time.CLOCK_BOOTTIME) * _TICK

    @property
    def session(self) -> int:
        """In which the kernel is, which may be another than that of what we started."""
        return self._kernel.session

    @property
    def own_session(self) -> int:
        """That one, if it was begun by what we started; else 0."""
        return self._kernel.session if self._has_session else 0

    def signal(self, signum: int) -> bool:
        """Signal the kernel and its group, as a local one gets it; False: it is not there."""
        there = every()
        if not self._is_in(there):
            return False
        chosen = [self._kernel.pid, *self._group(there)]
        try:
            os.kill(chosen[0], signum)
        except OSError:  # another user's: its launcher may pass a signal on
            return False
        _kill(chosen[1:], signum)
        return True

    def kill(self) -> None:
        """Kill all that there is: the wrapper, too, and what is in a group of its own."""
        there = every()
        chosen = [p.pid for p in self._members(there)]
        if self._is_in(there):
            above = _above(self._kernel.pid, there)
            chosen += [pid for pid in above if self._outer in _above(pid, there)]
        _kill(chosen, signal.SIGKILL)

    def _is_in(self, there: dict[int, Process]) -> bool:
        now = there.get(self._kernel.pid)
        return now is not None and now.started == self._kernel.started

    def _is_of_group(self, process: Process) -> bool:
        mine = self._kernel
        return mine.group != 0 and (process.group, process.session) == (
            mine.group,
            mine.session,
        )

    def _members(self, there: dict[int, Process]) -> list[Process]:
        """Of its group; where that is not its own, only what it has started."""
        found = [p for p in there.values() if self._is_of_group(p)]
        if self._has_group:
            return found
        own = below([self._kernel.pid], there) if self._is_in(there) else ()
        return [p for p in found if p.pid in own]

    def _group(self, there: dict[int, Process]) -> list[int]:
        """Return its group's others, less what stood around the kernel before it listened."""
        own = below([self._kernel.pid], there)
        around = {*below([self._outer], there)} - {*own}
        above = _above(self._kernel.pid, there)
        return [
            p.pid
            for p in self._members(there)
            if p.pid not in (self._kernel.pid, *above)
            and not (p.pid in around and p.started < self._ready)
        ]


def kill_below(outer: int) -> None:
    """Kill a wrapper with all that it has started, before a kernel is known."""
    _kill(below([outer], every()), signal.SIGKILL)


def blind(outer: int, file: str) -> set[Life]:
    """Return those of what we started that were told of this file and cannot see it.

    Of a chain in which each has started the next only the innermost counts: a
    container's program stands outside of it. Who hides himself from us is not counted.
    """
    there = every()
    word = os.fsencode(file)
    told = {
        pid
        for pid in below([outer], there)
        if any(word in os.fsencode(arg) for arg in argv(pid))
    }
    outside = {above for pid in told for above in _above(pid, there)}
    return {(pid, there[pid].started) for pid in told - outside if not _sees(pid, file)}


def _sees(pid: int, file: str) -> bool:
    """Return whether it sees that very file: ipykernel (7.4) makes one in its place."""
    try:
        ours = os.stat(file)
        os.stat(f"/proc/{pid}/root/")
    except OSError:  # it has ended, or hides itself
        return True
    try:
        return os.path.samestat(ours, os.stat(f"/proc/{pid}/root{file}"))
    except OSError:
        return False


def _above(pid: int, there: dict[int, Process]) -> list[int]:
    found: list[int] = []
    while pid in there and there[pid].parent not in (0, *found):
        pid = there[pid].parent
        found.append(pid)
    return found


def _kill(pids: list[int], signum: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)
