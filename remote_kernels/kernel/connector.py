"""Reach one kernel's agent: by which carriers, past whom, and for how long.

Called by startup.py and supervision.py; its carriers also by way_in.py.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from remote_kernels import bundle, harmless
from remote_kernels.bounded import backoff
from remote_kernels.config import Settings
from remote_kernels.errors import InUseError, TunnelError
from remote_kernels.records import CarrierCache, JobEnd
from remote_kernels.scheduler.driver import Adopts, Driver, Enters
from remote_kernels.scheduler.drivers import environment
from remote_kernels.scheduler.job import JobId
from remote_kernels.tunnel.carriers.base import Carrier
from remote_kernels.tunnel.carriers.destination import Destination
from remote_kernels.tunnel.carriers.shared_ssh import SshPool
from remote_kernels.tunnel.carriers.stdio import StdioCarrier
from remote_kernels.tunnel.tunnel import Tunnel
from remote_kernels.wire.codes import RefusalCode
from remote_kernels.wire.hello import Refused

from .connection import Connection
from .job import Job
from .status import KernelStatus
from .unreached import no_answer

log = harmless.logger(__name__)

AGAIN = 0.3  # seconds, in which a living login end has answered its agent
# Of the time in which we ask. Each time the agent asks, too: who lives was heard at the
# last but one; who was silent when we began is so for longer than we ask.
HEARD_SINCE = 0.75
LAST_RETRY = 30.0  # seconds between attempts to reach a kernel that was left alone


@dataclass(frozen=True)
class Connector:
    """The way to one agent.

    Parameters
    ----------
    status:
        The kernel's.
    job:
        The job that the agent is.
    agent:
        What it wrote of its node (agent.json).
    connection:
        What is to be opened.
    """

    status: KernelStatus
    job: Job
    agent: Mapping[str, Any]
    connection: Connection

    async def open(self, *, take: bool) -> Tunnel:
        """Connect by the first carrier that works.

        A server that was heard since our first attempt lives; the connection of a dead
        one is not mistaken for a living server's for long.

        Parameters
        ----------
        take:
            Whether to take the kernel from a server that has it.

        Raises
        ------
        InUseError
            Another server has the kernel, and we are not to take it.
        TunnelError
            No carrier reaches the agent, or that does not give us the kernel.
        """
        if take:
            return await self._open(take=True)
        begun = _now()
        refused: float | None = None
        while True:
            try:
                return await self._open(take=False)
            except Refused as exc:
                asked = _now() - (refused or _now())  # seconds since the first time
                lives = exc.heard < HEARD_SINCE * asked
                if lives or _now() > begun + self.status.settings.dead_after:
                    kernel = self.status.kernel_id
                    msg = f"Another server has kernel {kernel}: {exc.detail}"
                    raise InUseError(msg) from exc
                refused = _now() if refused is None else refused
            await asyncio.sleep(AGAIN)

    async def _open(self, *, take: bool) -> Tunnel:
        status, agent = self.status, self.agent
        base = status.record.base
        choice = await carriers_to(agent, self.job, status.settings, base)
        try:
            tunnel = await self.connection.open(choice, status.secret, take=take)
        except TunnelError as exc:
            more = await status.record.worker.run(status.record.logs)
            if exc.silent:
                assert self.job.id is not None
                here, node = socket.gethostname(), str(agent["node"])
                more = no_answer(exc.silent, here, node, self.job.id, self.job.driver)
            raise TunnelError(f"{exc}\n{more}".rstrip(), exc.silent) from exc
        except Refused as exc:
            if exc.code is RefusalCode.IN_USE:
                raise
            msg = f"The agent on {agent['node']} does not give the kernel: {exc.detail}"
            raise TunnelError(msg) from exc
        for name, reason in tunnel.rejected.items():
            log.warning("kernel=%s carrier %s: %s", status.kernel_id, name, reason)
        carrier = self.connection.carrier
        if carrier is not None and status.settings.carrier == "auto":
            cache, kind = CarrierCache(base), kind_of_node(agent)
            status.record.worker.post(lambda: cache.remember(kind, carrier))
        return tunnel

    async def again(self) -> Tunnel | JobEnd:
        """Try until the agent answers or its job has ended; nothing is taken."""
        pauses = backoff(1.0, LAST_RETRY)
        while True:
            status = await self.job.ended(next(pauses))
            if status is not None:
                return await self.job.end("", status)
            try:
                return await self.open(take=False)
            except InUseError as exc:
                return self.job.taken(str(exc))
            except TunnelError as exc:
                log.info("kernel=%s %s", self.status.kernel_id, exc)


async def carriers_to(
    agent: Mapping[str, Any], job: Job, settings: Settings, base: Path
) -> list[Carrier]:
    """Return the carriers to this agent of the job; `base` is the state directory."""
    assert job.id is not None
    known = partial(CarrierCache(base).carrier, kind_of_node(agent))
    remembered = await job.place.worker.run(known)
    shared = job.allocation is not None
    log = job.place.job_log
    return carriers(
        *(agent, job.id, job.driver, settings, remembered, log),
        ssh=job.runtime.ssh,
        shared=shared,
    )


def kind_of_node(agent: Mapping[str, Any]) -> str:
    """Return what kind of node it is on: those of one kind share firewall and sshd.

    The cluster, and the node's name without its numbers: `gpu07` and `gpu-a` may be in
    another network than `cn0123`. A partition tells less: nodes are in several, and of
    several kinds.
    """
    cluster = agent.get("cluster") or agent["hostname"]
    return f"{cluster} {re.sub('[0-9]+', '#', str(agent['node']))}"


def carriers(
    agent: Mapping[str, Any],
    job_id: JobId,
    driver: Driver,
    settings: Settings,
    remembered: str | None,
    log: Path | None = None,
    *,
    ssh: SshPool,
    shared: bool = False,
) -> list[Carrier]:
    """Return the carriers that the kernelspec allows, the remembered one first.

    Parameters
    ----------
    agent:
        What the agent wrote of its node (agent.json).
    remembered:
        The name of the carrier that worked last on this cluster.
    log:
        The job's log, if it is on this host.
    ssh:
        Whose connections are shared.
    shared:
        Whether other kernels may be in that job.
    """
    names = [settings.carrier]
    if settings.carrier == "auto":
        names = sorted(driver.carriers, key=lambda name: name != remembered)
    node = str(agent["node"])
    argv = bundle.argv(agent, "connect", str(agent["socket"]))

    def by_ssh() -> Carrier:
        cluster, adoption = str(agent.get("cluster", "")), None
        if isinstance(driver, Adopts):
            adoption = driver.adoption(cluster, node, job_id)
        sharers = f"{cluster} {job_id}" if shared else ""
        to = _destination(agent, argv, driver, settings)
        return ssh.carrier(to, adoption=adoption, sharers=sharers)

    def stdio(name: str) -> Carrier:
        assert isinstance(driver, Enters)
        env = environment(driver, os.environ, settings.env_keep)
        few = log if driver.says_little else None
        way = driver.into(job_id, node, argv)
        return StdioCarrier(name, way, env, few, driver.slow)

    return [by_ssh() if name == "ssh" else stdio(name) for name in names]


def _destination(
    agent: Mapping[str, Any], argv: list[str], driver: Driver, settings: Settings
) -> Destination:
    """Return where ssh leads, by each name and address of the node."""
    hosts = [str(agent["node"]), str(agent["hostname"]), *agent["addresses"]]
    if settings.address:
        hosts = [settings.address.format(node=agent["node"])]
    return Destination(
        tuple(dict.fromkeys(hosts)),
        tuple(agent["host_keys"]),
        str(agent["socket"]),
        tuple(argv),
        settings.address or "",
        " or ".join(other for other in driver.carriers if other != "ssh"),
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
