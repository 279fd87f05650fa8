"""Which carriers may reach an agent, in which order. Called by story.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from remote_kernels.config import Settings
from remote_kernels.scheduler.base import Driver
from remote_kernels.tunnel.carriers.base import Carrier
from remote_kernels.tunnel.carriers.ssh import Destination, SshCarrier
from remote_kernels.tunnel.carriers.stdio import StdioCarrier


def carriers(
    agent: Mapping[str, Any],
    job_id: str,
    driver: Driver,
    settings: Settings,
    remembered: str | None,
) -> list[Carrier]:
    """Those that the kernelspec allows, the remembered one first.

    Parameters
    ----------
    agent:
        What the agent wrote of its node (agent.json).
    remembered:
        The name of the carrier that worked last on this cluster.
    """
    names = [settings.carrier]
    if settings.carrier == "auto":
        names = sorted(driver.carriers, key=lambda name: name != remembered)
    return [_carrier(name, agent, job_id, driver, settings) for name in names]


def _carrier(
    name: str,
    agent: Mapping[str, Any],
    job_id: str,
    driver: Driver,
    settings: Settings,
) -> Carrier:
    node, path = str(agent["node"]), str(agent["socket"])
    argv = [str(agent["python"]), "-I", "-S", str(agent["pyz"]), "connect", path]
    if name == "ssh":
        hosts = [node, str(agent["hostname"]), *agent["addresses"]]
        if settings.address:
            hosts = [settings.address.format(node=node)]
        keys = tuple(agent["host_keys"])
        return SshCarrier(
            Destination(tuple(dict.fromkeys(hosts)), keys, path, tuple(argv))
        )
    env = driver.environment(os.environ, settings.env_keep)
    return StdioCarrier(name, driver.attach_argv(job_id, node, argv), env)
