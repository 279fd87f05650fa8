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

from remote_kernels import records
from remote_kernels.config import Settings
from remote_kernels.errors import RecordError
from remote_kernels.front.front import connection_info

from .inventory import Recorded
from .previous_owner import previous_owner
from .remote_kernel import RemoteKernel
from .runtime import Runtime


@dataclass(frozen=True)
class Attached:
    """Jupyter's connection info, and the kernel where it is we who are attached."""

    info: dict[str, Any]
    kernel: RemoteKernel | None = None

    def write(self, file: Path, text: str) -> None:
        """Write a connection file for this user alone. Raises RecordError.

        If it is we who are attached, it goes with this process, however that ends.
        """
        try:
            records.write_for_user(file, text)
        except OSError as exc:
            msg = f"Cannot write the connection file {file}: {exc}"
            raise RecordError(msg) from exc
        if self.kernel is not None:
            self.kernel.remove_at_death(file)


@asynccontextmanager
async def attached(
    runtime: Runtime, found: Recorded, settings: Settings, *, take: bool = False
) -> AsyncIterator[Attached]:
    """Connect to a kernel; on leaving, it lives on.

    Parameters
    ----------
    runtime:
        This process's.
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
        runtime=runtime,
    )
    info = await kernel.attach(take=take, patient=False)
    try:
        yield Attached(_as_json(info), kernel)
    finally:
        await kernel.detach()


def _as_json(info: dict[str, Any]) -> dict[str, Any]:
    return {**info, "key": info["key"].decode()}


def socket_here(found: Recorded, name: str) -> Path | None:
    """Return a socket of the process that has a kernel, if it listens on this host."""
    directory = found.facts.get("directory")
    if not directory or found.facts.get("host") != socket.gethostname():
        return None
    path = Path(directory) / name
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return None
    return path


def _sockets_here(found: Recorded) -> dict[str, Any] | None:
    """Return how to connect to a living server on this host, if it has the kernel."""
    shell = socket_here(found, "k-1")
    if shell is None:
        return None
    owner = previous_owner(found.record, patient=False)
    return connection_info(str(shell.with_name("k")), owner.process.key)
