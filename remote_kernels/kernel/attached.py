"""A running kernel for one more client, from code or the command line.

A server on this host that has the kernel lets others in by its sockets; otherwise we
attach ourselves for as long as the client is there, and leave the kernel as it was.
Called by the CLI.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote_kernels.config import Settings
from remote_kernels.errors import RecordError
from remote_kernels.front.front import connection_info

from .inventory import Recorded
from .remote_kernel import RemoteKernel


@dataclass(frozen=True)
class Attached:
    """Jupyter's connection info, and the kernel where it is we who are attached."""

    info: dict[str, Any]
    kernel: RemoteKernel | None = None


@asynccontextmanager
async def attached(
    found: Recorded, settings: Settings, *, take: bool = False
) -> AsyncIterator[Attached]:
    """Connect to a kernel; on leaving, it lives on.

    Parameters
    ----------
    found:
        The kernel.
    settings:
        The kernelspec's config.
    take:
        Whether to take it from a server elsewhere, which then counts it as dead.

    Raises
    ------
    InUseError
        Another server has it, and we are not to take it.
    RemoteKernelError
        It cannot be reached.
    """
    theirs = _sockets_here(found)
    if theirs is not None:
        yield Attached(_as_json(theirs))
        return
    kernel = RemoteKernel(
        found.kernel_id,
        settings,
        str(found.facts.get("name", "")),
        str(found.facts.get("spec_name", "")),
    )
    info = await kernel.attach(take=take, patient=False)
    try:
        yield Attached(_as_json(info), kernel)
    finally:
        await kernel.detach()


def _as_json(info: dict[str, Any]) -> dict[str, Any]:
    return {**info, "key": info["key"].decode()}


def _sockets_here(found: Recorded) -> dict[str, Any] | None:
    """The sockets of a living server on this host."""
    facts = found.facts
    if facts.get("host") != socket.gethostname():
        return None
    ip = str(Path(facts["directory"]) / "k")
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(f"{ip}-1")
        except OSError:
            return None
    spec = found.record.read("spec.json")
    if spec is None or found.kernel_id not in spec["kernels"]:
        msg = f"There is no kernel to attach to in {found.record.path}."
        raise RecordError(msg)
    connection = spec["kernels"][found.kernel_id]["connection"]
    return connection_info(ip, str(connection["key"]).encode())
