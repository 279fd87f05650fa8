"""The kernels of this user: those of this server, and others that are on record.

Rules: no client waits long for a batch system: the disk says which kernels there are. A
kernel is found by comparing IDs with those: what a client sends never becomes a path.
Lives on the server's loop; what it asks for is done on the kernels' (`run`).
Called by the API's handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jupyter_server.utils import ensure_async

from remote_kernels.errors import JobError, NotFoundError, RecordError
from remote_kernels.kernel import RemoteKernel, service
from remote_kernels.kernel.model import KernelModel
from remote_kernels.kernel.ports import Ports
from remote_kernels.kernel.service import Known

from .process import ProcessGlobals
from .provisioner import RemoteKernelProvisioner

PATIENCE = 5.0  # seconds that a client waits for a batch system
MOST_BYTES = 1024 * 1024  # of a log, looked at from its end


class Kernels:
    """What the API tells of kernels, and does to them.

    Parameters
    ----------
    process:
        What belongs to this process.
    manager:
        The server's kernel manager.
    state_dirs:
        Where this user's records may be.
    """

    def __init__(
        self,
        process: ProcessGlobals,
        manager: Any,
        state_dirs: Callable[[], Iterable[Path]],
    ) -> None:
        self.run = process.background.run
        self._runtime = process.runtime
        self.manager = manager
        self._state_dirs = state_dirs

    async def all(self, *, ended: bool = True) -> list[Known]:
        """Return this server's kernels, then the others.

        Parameters
        ----------
        ended : bool
            Whether others that have ended are among them.
        """
        ours = await self._ours()
        ids = {known.model.kernel_id for known in ours}
        dirs = list(self._state_dirs())
        others = await self.run(service.others(self._runtime, dirs, ids, PATIENCE))
        return ours + [known for known in others if ended or not known.ended]

    async def find(self, kernel_id: str) -> Known:
        """Return one of them. Raises NotFoundError."""
        for look in (self._ours, self.all):
            for known in await look():
                if known.model.kernel_id == kernel_id:
                    return known
        msg = f"No kernel of yours has the ID {kernel_id!r}."
        raise NotFoundError(msg)

    async def ports(self, kernel_id: str) -> Ports:
        """Return a kernel's forwarded ports. Raises NotFoundError, StateError."""
        known = await self.find(kernel_id)
        kernel = kernel_of(self.manager, kernel_id) if known.ours else None
        return service.ports(known, kernel)

    async def _ours(self) -> list[Known]:
        ids = self.manager.list_kernel_ids()
        kernels = [k for id in ids if (k := kernel_of(self.manager, id)) is not None]
        return await self.run(service.own(kernels)) if kernels else []

    async def stop(self, known: Known) -> None:
        """End the kernel and its job. Raises RemoteKernelError; its record then stays."""
        if not known.ours:
            await self.run(service.end(self._runtime, known))
            return
        provisioner = self.manager.get_kernel(known.model.kernel_id).provisioner
        await ensure_async(self.manager.shutdown_kernel(known.model.kernel_id))
        if provisioner.left:
            raise JobError(provisioner.left)

    async def extend(self, known: Known, minutes: int) -> KernelModel:
        """Move its job's time limit by so many minutes; return it with its new end.

        Raises RemoteKernelError.
        """
        return await self.run(service.extend(self._runtime, known, minutes))


def kernel_of(manager: Any, kernel_id: str) -> RemoteKernel | None:
    """Return a kernel of this server that is in a job; None if it is no such one."""
    if kernel_id not in manager:
        return None
    provisioner = manager.get_kernel(kernel_id).provisioner
    remote = isinstance(provisioner, RemoteKernelProvisioner)
    return provisioner.remote_kernel if remote else None


def log_end(path: Path, lines: int) -> str:
    """Return the last lines of a log; "" if nothing was written. Raises RecordError."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MOST_BYTES))
            text = file.read(MOST_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as exc:
        msg = f"Cannot read {path}: {exc}"
        raise RecordError(msg) from exc
    return "".join(text.splitlines(keepends=True)[-lines:])
