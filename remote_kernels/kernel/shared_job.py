"""A job that several kernels share, because they name the same allocation.

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
while, the agent removes the directory and ends the job. Made by remote_kernel.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from pathlib import Path
from typing import Any, TextIO

from remote_kernels import harmless, registry
from remote_kernels.bounded import spread
from remote_kernels.config import Settings
from remote_kernels.errors import (
    ConfigError,
    RecordError,
    RemoteKernelError,
    TunnelError,
)
from remote_kernels.scheduler import script
from remote_kernels.scheduler.driver import OtherNodes
from remote_kernels.scheduler.job import JobStatus, Phase
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire.codes import RefusalCode
from remote_kernels.wire.hello import Refused

from .job import Job, as_facts, id_in
from .launch import Launch
from .reach import carriers_to

log = harmless.logger(__name__)

# By loop: an asyncio.Lock that was once waited for belongs to it.
_LOCKS: weakref.WeakValueDictionary[Hashable, asyncio.Lock]
_LOCKS = weakref.WeakValueDictionary()
LOCK_TIMEOUT = 150.0  # seconds; a submission may take 120
LOOK = 2.0  # seconds between two looks whether the agent has left a last word
# A lock that another has, or what has just been removed.
HELD = (errno.EACCES, errno.EAGAIN, errno.ENOENT)


class Allocation(registry.Record):
    """The directory of one allocation."""

    def __init__(self, base: Path, name: str) -> None:
        super().__init__(base, name)
        self.path = base / "allocations" / name
        self.job_log = self.path / "job.log"
        self.members = self.path / "members"
        self._nodes = self.path / "nodes"

    @property
    def job_name(self) -> str:
        """Like a kernel's: it is found by it, too."""
        return f"jupyter-{hashlib.sha256(self.kernel_id.encode()).hexdigest()[:8]}"

    def member(self, kernel_id: str) -> Path:
        """A file that is there as long as this kernel counts."""
        return self.members / kernel_id

    def has_member(self, kernel_id: str) -> bool:
        """Whether this kernel counts, for all that can be seen."""
        with contextlib.suppress(OSError):
            return self.member(kernel_id).is_file()
        return False

    def leave(self, kernel_id: str) -> bool:
        """Whether nobody is left in a job that no agent ends."""
        with contextlib.suppress(OSError, RecordError):
            self.member(kernel_id).unlink(missing_ok=True)
            return not any(self.members.iterdir()) and self.read("agent.json") is None
        return False

    async def give_up(
        self, kernel_id: str, cancel: Callable[[], Awaitable[None]]
    ) -> bool:
        """A kernel leaves; the last one cancels a job that no agent ends.

        Whether it did so. Raises RecordError, and what `cancel` raises.
        """
        if not self.leave(kernel_id):
            return False
        async with self.entered(kernel_id):  # who comes now is not to find the job
            if not self.leave(kernel_id):
                return False
            await cancel()
            self.remove()
        return True

    def begin(self, kernel_id: str) -> None:
        """Without what belonged to a job that ended, but for this kernel."""
        for name in ("record.json", "agent.json", script.BEGAN):
            (self.path / name).unlink(missing_ok=True)
        for member in self.members.iterdir():
            if member.name != kernel_id:
                member.unlink(missing_ok=True)
        shutil.rmtree(self._nodes, ignore_errors=True)
        self.make("nodes")

    def agent(self, node: str | None) -> dict[str, Any] | None:
        """Where it is that has the kernels of this node, if it is there already."""
        found = self.read(f"nodes/{node}.json") if node else self.read("agent.json")
        return found if found is not None and "error" not in found else None

    def purge_if_old(self) -> None:
        """Remove what nobody has been in for a day, nor for as long as it is kept."""
        try:
            left = time.time() - self.members.stat().st_mtime
            keep = float((self.read("spec.json") or {}).get("keep", 0))
            known = any(
                registry.Record(self.base, member.name).is_live
                for member in self.members.iterdir()
            )
            if left > registry.MEMORY + keep and not known:
                self.remove()
        except (OSError, RecordError) as exc:
            log.info("%s", exc)

    @contextlib.asynccontextmanager
    async def entered(self, kernel_id: str) -> AsyncIterator[None]:
        """By one kernel of this user at a time, on whichever host. Raises RecordError."""
        # A lock of POSIX, which also NFS knows, is a process's, not a file's.
        key = (asyncio.get_running_loop(), self.path)
        ours = _LOCKS.setdefault(key, asyncio.Lock())
        async with ours:
            with await self._locked():
                self.member(kernel_id).touch(0o600)
                yield

    async def _locked(self) -> TextIO:
        end = asyncio.get_running_loop().time() + LOCK_TIMEOUT
        while True:
            try:
                self.make("members")
                return self._lock()
            except OSError as exc:
                passes = exc.errno in HELD
                if not passes or asyncio.get_running_loop().time() > end:
                    what = f"share an allocation in {self.path}"
                    raise registry.cannot(what, self.base, exc) from exc
            await asyncio.sleep(0.1)

    def _lock(self) -> TextIO:
        """Raises OSError where another process has it, or has just removed it."""
        path = self.path / "lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = open(os.open(path, flags, 0o600), "w")  # noqa: PTH123, SIM115
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(path.stat(), os.fstat(file.fileno())):
                raise FileNotFoundError(errno.ENOENT, "It was removed", str(path))
        except BaseException:
            file.close()
            raise
        return file


def allocations(base: Path) -> list[Allocation]:
    """Every one in a state directory."""
    return [Allocation(base, name) for name in registry.names(base, "allocations")]


def allocation_of(record: registry.Record) -> Allocation | None:
    """The one that this kernel is in. Raises RecordError."""
    name = (record.read("record.json") or {}).get("allocation")
    return Allocation(record.base, name) if name else None


class SharedJob(Job):
    """The job of one of the kernels that share it.

    Parameters
    ----------
    settings, record:
        See `Job`.
    place:
        The allocation's directory.
    """

    def __init__(
        self, settings: Settings, record: registry.Record, place: Allocation
    ) -> None:
        super().__init__(settings, record)
        self._place = place

    @property
    def allocation(self) -> str:
        return self._place.kernel_id

    @property
    def place(self) -> Allocation:
        return self._place

    @property
    def name(self) -> str:
        return self._place.job_name

    @property
    def cancel_argv(self) -> list[str]:
        """Nothing: others may be in it, and an agent without members ends."""
        return []

    @property
    def traces(self) -> list[Path]:
        return [*super().traces, self._place.member(self._record.kernel_id)]

    async def submit(self, launch: Launch) -> None:
        """Or find it. Raises SubmitError, ControllerError, RecordError."""
        async with self._place.entered(self._record.kernel_id):
            self._record.job_log.unlink(missing_ok=True)
            self._record.job_log.symlink_to(self._place.job_log)
            if await self._found():
                return
            self._place.begin(self._record.kernel_id)
            self._place.write("spec.json", self._spec())
            registry.write_private(
                self._place.path / "node.sh", self._script(launch, self._node_head())
            )
            await super().submit(launch)
            self._place.write(
                "record.json", {**as_facts(self.id), "cluster": self.cluster}
            )

    async def _found(self) -> bool:
        """Whether there is a job that can take one kernel more."""
        known = self._place.read("record.json")
        if known is None or known["job_id"] is None:
            return False
        here = await self.jobs.cluster()
        if None not in (here, known["cluster"]) and here != known["cluster"]:
            msg = (
                f"Allocation '{self.allocation}' is job {known['job_id']} of cluster "
                f"{known['cluster']}, but this is cluster {here}, with the same home "
                "directory. Choose another name for 'allocation' here."
            )
            raise ConfigError(msg)
        job_id = id_in(known)
        status = await self.jobs.status(job_id)
        if status.phase in (Phase.ENDED, Phase.ENDING):
            return False
        self.id, self.cluster = job_id, known["cluster"]
        return True

    def _node_head(self) -> str:
        driver = self.driver
        return driver.node_head() if isinstance(driver, OtherNodes) else ""

    def _spec(self) -> dict[str, Any]:
        settings, driver, nodes = self._settings, self.driver, None
        if isinstance(driver, OtherNodes):
            nodes = {"by_name": driver.by_name, "by_number": driver.by_number}
        return {
            "agent": self.allocation,
            "secret": secrets.token_bytes(32).hex(),
            "keep": settings.keep,
            "shell": ["bash", *(["-l"] if settings.prologue else [])],
            "other_nodes": nodes,
            "kernels": {},
            "dead_after": settings.dead_after,
        }

    @property
    def secret(self) -> bytes | None:
        """Raises RecordError."""
        spec = self._place.read("spec.json")
        if spec is None:
            msg = f"There is no allocation in {self._place.path}."
            raise RecordError(msg)
        return bytes.fromhex(spec["secret"])

    async def agent(self, on_status: Callable[[JobStatus], None]) -> dict[str, Any]:
        """Also one on another node of the job. Raises TunnelError, too."""
        node = self._settings.node
        agent = self._place.agent(node)
        if agent is None:
            agent = await super().agent(on_status)
            if node is not None and await self._sends_us_elsewhere(agent):
                agent = await self._reported(self._record, on_status)
        return agent

    async def _sends_us_elsewhere(self, agent: dict[str, Any]) -> bool:
        """The job's first agent starts one on the kernel's node when it is asked to."""
        assert self.secret is not None
        tunnel = Tunnel(
            carriers_to(agent, self, self._settings, self._record.base),
            self.secret,
            lambda message: None,
            kernel=self._record.kernel_id,
            record=str(self._record.path),
        )
        try:
            await tunnel.open()
        except Refused as exc:
            if exc.code is not RefusalCode.ELSEWHERE:
                raise TunnelError(str(exc)) from exc
            return True
        await tunnel.close()
        return False

    async def ended(self, timeout: float = 1e9) -> JobStatus | None:
        """Or the agent on the kernel's node has, and the job goes on."""
        job = asyncio.ensure_future(super().ended(timeout))
        lost = asyncio.ensure_future(self._lost())
        try:
            await asyncio.wait((job, lost), return_when=asyncio.FIRST_COMPLETED)
            return job.result() if job.done() else lost.result()
        finally:
            for task in (job, lost):
                task.cancel()
            await asyncio.wait((job, lost))

    async def _lost(self) -> JobStatus:
        assert self.id is not None
        worker = self._record.worker
        while await worker.run(self._record.last_word) is None:  # noqa: ASYNC110 - a file
            await asyncio.sleep(spread(LOOK))
        return JobStatus(self.id, Phase.ENDED, registry.KERNEL_ENDED)

    def why_ended(self, reason: str, status: JobStatus | None) -> str:
        own = self._record.last_word()
        if own is not None:
            return f"The kernel ended: {own}. The job goes on."
        return super().why_ended(reason, status)

    def leave(self) -> None:
        self._place.leave(self._record.kernel_id)

    async def cancel(self) -> RemoteKernelError | None:
        """Leave it; who leaves last takes a job along that has not begun."""
        failed: list[RemoteKernelError] = []

        async def cancel() -> None:
            failed.extend(filter(None, [await super(SharedJob, self).cancel()]))

        try:
            await self._place.give_up(self._record.kernel_id, cancel)
        except RecordError as exc:  # without members the job ends as soon as it begins
            log.warning("job=%s not cancelled: %s", self.id, exc)
        return failed[0] if failed else None


def job_for(settings: Settings, record: registry.Record, allocation: str | None) -> Job:
    """Raises ConfigError. `allocation`: the one that the kernel is, or will be, in."""
    if allocation is None:
        return Job(settings, record)
    return SharedJob(settings, record, Allocation(record.base, allocation))
