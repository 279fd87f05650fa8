"""A job that several kernels share, because they name the same allocation.

Made by remote_kernel.py and startup.py. See allocation.py for its directory.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from remote_kernels import harmless
from remote_kernels.bounded import first_of, spread
from remote_kernels.config import Settings
from remote_kernels.errors import (
    ConfigError,
    RecordError,
    RemoteKernelError,
    TunnelError,
)
from remote_kernels.records import KERNEL_ENDED, Record, write_private
from remote_kernels.scheduler.driver import OtherNodes
from remote_kernels.scheduler.job import JobStatus, Phase
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire.codes import RefusalCode
from remote_kernels.wire.hello import Refused

from .allocation import SharedAllocation
from .connector import carriers_to
from .job import Job, as_facts, id_in
from .launch import Launch
from .runtime import Runtime

log = harmless.logger(__name__)

LOOK = 2.0  # seconds between two looks whether the agent has left a last word


class SharedJob(Job):
    """The job of one of the kernels that share it.

    Parameters
    ----------
    runtime, settings, record:
        See `Job`.
    place:
        The allocation's directory.
    """

    place: SharedAllocation
    ended_itself = "The kernel ended: {}. The job goes on."

    def __init__(
        self,
        runtime: Runtime,
        settings: Settings,
        record: Record,
        place: SharedAllocation,
    ) -> None:
        super().__init__(runtime, settings, record)
        self.place = place
        self.name = place.job_name
        self.allocation = place.name
        self.traces.append(place.member(record.kernel_id))

    @property
    def cancel_argv(self) -> list[str]:
        """No command: others may be in the job, and an agent without members ends."""
        return []

    async def submit(self, launch: Launch) -> None:
        """Find the job, or submit it. Raises RecordError, too."""
        place, run = self.place, self.place.worker.run
        async with place.entered(self._record.kernel_id, self.runtime):
            await run(self._link_log)
            if await self._found():
                return
            await run(partial(self._prepare, self._script(launch, self._node_head())))
            await super().submit(launch)
            facts = {**as_facts(self.id), "cluster": self.cluster}
            await run(partial(place.write, "record.json", facts))

    def _link_log(self) -> None:
        self._record.job_log.unlink(missing_ok=True)
        self._record.job_log.symlink_to(self.place.job_log)

    def _prepare(self, node_script: str) -> None:
        """Write what the job's agents need. Raises RecordError."""
        self.place.begin(self._record.kernel_id)
        self.place.write("spec.json", self._spec())
        write_private(self.place.path / "node.sh", node_script)

    async def _found(self) -> bool:
        """Return whether there is a job that can take one more kernel."""
        place = self.place
        known = await place.worker.run(partial(place.read, "record.json"))
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
        """The job's secret. Raises RecordError."""
        spec = self.place.read("spec.json")
        if spec is None:
            msg = f"There is no allocation in {self.place.path}."
            raise RecordError(msg)
        return bytes.fromhex(spec["secret"])

    async def agent(self, on_status: Callable[[JobStatus], None]) -> dict[str, Any]:
        """Return what the agent on the kernel's node writes. Raises TunnelError, too."""
        node, place = self._settings.node, self.place
        agent = await place.worker.run(partial(place.agent, node))
        if agent is None:
            agent = await super().agent(on_status)
            if node is not None and await self._sends_us_elsewhere(agent):
                agent = await self._reported(self._record, on_status)
        return agent

    async def _sends_us_elsewhere(self, agent: dict[str, Any]) -> bool:
        """Ask the first agent to start one on the kernel's node; whether it does so."""
        secret = await self.place.worker.run(lambda: self.secret)
        assert secret is not None
        tunnel = Tunnel(
            await carriers_to(agent, self, self._settings, self._record.base),
            secret,
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
        """Return the end of the job, or of the agent on the kernel's node."""
        return await first_of(super().ended(timeout), self._lost())

    async def _lost(self) -> JobStatus:
        assert self.id is not None
        worker = self._record.worker
        while await worker.run(self._record.last_word) is None:  # noqa: ASYNC110 - a file
            await asyncio.sleep(spread(LOOK))
        return JobStatus(self.id, Phase.ENDED, KERNEL_ENDED)

    def leave(self) -> None:
        """Leave the job: this kernel has ended."""
        self.place.leave(self._record.kernel_id)

    async def cancel(self) -> RemoteKernelError | None:
        """Leave it; who leaves last takes a job along that has not begun."""
        failed: list[RemoteKernelError] = []

        async def cancel() -> None:
            failed.extend(filter(None, [await super(SharedJob, self).cancel()]))

        try:
            await self.place.give_up(self._record.kernel_id, self.runtime, cancel)
        except RecordError as exc:  # without members the job ends as soon as it begins
            log.warning("job=%s not cancelled: %s", self.id, exc)
        return failed[0] if failed else None


def job_for(
    runtime: Runtime, settings: Settings, record: Record, allocation: str | None
) -> Job:
    """Return a kernel's job, shared if `allocation` names one. Raises ConfigError."""
    if allocation is None:
        return Job(runtime, settings, record)
    place = SharedAllocation(record.base, allocation)
    return SharedJob(runtime, settings, record, place)
