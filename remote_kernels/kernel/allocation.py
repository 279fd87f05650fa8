"""The directory of a job that several kernels share, as they name one allocation.

    STATE_DIR/allocations/NAME/   0700
        lock            held by whoever looks whether there is a job, or makes one
        record.json     which job                       written by who submitted it
        spec.json       the job's secret, and so on     written by who submitted it
        agent.json      where the agent is              written by the agent
        members/ID      a kernel that is, or will be, in it
        node.sh         runs an agent on another node; written by who submitted it
        nodes/NODE.json where that agent is             written by it
        job.log         what the scheduler and the agents wrote

The agent starts the members that it finds; a kernel that comes later is brought along
by the hello of its session (wire/SPEC.md section 1). Once nobody has been in it for a
while, the agent removes the directory and ends the job. Used by shared_job.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from remote_kernels import harmless, records
from remote_kernels.errors import RecordError
from remote_kernels.scheduler import script

from .runtime import Runtime

log = harmless.logger(__name__)

LOCK_TIMEOUT = 150.0  # seconds; a submission may take 120
# A lock that another has, or what has just been removed.
HELD = (errno.EACCES, errno.EAGAIN, errno.ENOENT)


class SharedAllocation(records.Directory):
    """The directory of one allocation.

    Parameters
    ----------
    base:
        The state directory.
    name:
        The allocation's, as kernelspecs have it.
    """

    def __init__(self, base: Path, name: str) -> None:
        super().__init__(base, "allocations", name)
        self.name = name
        self.members = self.path / "members"
        self._nodes = self.path / "nodes"
        self._lock: TextIO | None = None  # while we have it

    @property
    def job_name(self) -> str:
        """The job's name, by which it is found, like a kernel's."""
        return f"jupyter-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"

    def member(self, kernel_id: str) -> Path:
        """Return the file that is there while this kernel counts as a member."""
        return self.members / kernel_id

    def has_member(self, kernel_id: str) -> bool:
        """Return whether this kernel counts as a member, as far as can be seen."""
        with contextlib.suppress(OSError):
            return self.member(kernel_id).is_file()
        return False

    def leave(self, kernel_id: str) -> bool:
        """Remove a member; return whether nobody is left in a job without an agent."""
        with contextlib.suppress(OSError, RecordError):
            self.member(kernel_id).unlink(missing_ok=True)
            return not any(self.members.iterdir()) and self.read("agent.json") is None
        return False

    async def give_up(
        self,
        kernel_id: str,
        runtime: Runtime,
        cancel: Callable[[], Awaitable[None]],
    ) -> bool:
        """Let a kernel leave; the last one cancels a job that no agent ends.

        Whether it did so. Raises RecordError, and what `cancel` raises.
        """
        leave = partial(self.leave, kernel_id)
        if not await self.worker.run(leave):
            return False
        # Who comes now is not to find the job.
        async with self.entered(kernel_id, runtime):
            if not await self.worker.run(leave):
                return False
            await cancel()
            await self.worker.run(self.remove)
        return True

    def begin(self, kernel_id: str) -> None:
        """Remove what belonged to a job that ended; this kernel stays a member."""
        for name in ("record.json", "agent.json", script.BEGAN):
            (self.path / name).unlink(missing_ok=True)
        for member in self.members.iterdir():
            if member.name != kernel_id:
                member.unlink(missing_ok=True)
        shutil.rmtree(self._nodes, ignore_errors=True)
        self.make("nodes")

    def agent(self, node: str | None) -> dict[str, Any] | None:
        """Return where the agent of this node's kernels is, if it is there already."""
        found = self.read(f"nodes/{node}.json") if node else self.read("agent.json")
        return found if found is not None and "error" not in found else None

    def purge_if_old(self) -> None:
        """Remove it once nobody was in it for a day, and for longer than it is kept."""
        try:
            left = time.time() - self.members.stat().st_mtime
            keep = float((self.read("spec.json") or {}).get("keep", 0))
            known = any(
                records.Record(self.base, member.name).is_live
                for member in self.members.iterdir()
            )
            if left > records.MEMORY + keep and not known:
                self.remove()
        except (OSError, RecordError) as exc:
            log.info("%s", exc)

    @contextlib.asynccontextmanager
    async def entered(self, kernel_id: str, runtime: Runtime) -> AsyncIterator[None]:
        """Hold the allocation's lock, on whichever host. Raises RecordError."""
        # A lock of POSIX, which also NFS knows, is a process's, not a file's.
        async with runtime.turn(self.path):
            try:
                await self._enter(kernel_id)
                yield
            finally:  # after the attempt, if that was cancelled
                await self.worker.run(self._let_go)

    async def _enter(self, kernel_id: str) -> None:
        end = asyncio.get_running_loop().time() + LOCK_TIMEOUT
        while True:
            try:
                await self.worker.run(partial(self._take_lock, kernel_id))
            except OSError as exc:
                passes = exc.errno in HELD
                if not passes or asyncio.get_running_loop().time() > end:
                    what = f"share an allocation in {self.path}"
                    raise records.cannot(what, self.base, exc) from exc
            else:
                return
            await asyncio.sleep(0.1)

    def _take_lock(self, kernel_id: str) -> None:
        """Take the lock. Raises OSError where another process has or removed it."""
        self.make("members")
        path = self.path / "lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = open(os.open(path, flags, 0o600), "w")  # noqa: PTH123, SIM115
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(path.stat(), os.fstat(file.fileno())):
                raise FileNotFoundError(errno.ENOENT, "It was removed", str(path))
            self.member(kernel_id).touch(0o600)
        except BaseException:
            file.close()
            raise
        self._lock = file

    def _let_go(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()


def allocations(base: Path) -> list[SharedAllocation]:
    """Return every shared allocation in a state directory."""
    return [SharedAllocation(base, name) for name in records.names(base, "allocations")]


def allocation_of(record: records.Record) -> SharedAllocation | None:
    """Return the allocation that this kernel is in, if any. Raises RecordError."""
    name = (record.read("record.json") or {}).get("allocation")
    return SharedAllocation(record.base, name) if name else None
