"""What pages must still show of a kernel's cells, wherever it is: see front/transcripts.py.

The doors ask for it when a page opens a notebook, and tell when the page has shown and
saved it. Both on the event loop of the kernels.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from remote_kernels.errors import StateError
from remote_kernels.front.transcript import Transcribed
from remote_kernels.front.transcripts import Transcripts

from .remote_kernel import RemoteKernel
from .runtime import Runtime
from .service import Known


@dataclass(frozen=True)
class Unshown:
    """What there is at one moment.

    Parameters
    ----------
    cells:
        Of each request, in order.
    dropped:
        How many messages there were besides, of requests that are not among them.
    """

    cells: tuple[Transcribed, ...]
    dropped: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as the REST API does. May take a while: not on an event loop."""
        cells = [cell.as_json() for cell in self.cells]
        return {"cells": cells, "dropped": self.dropped}


async def cells(runtime: Runtime, known: Known, kernel: RemoteKernel | None) -> Unshown:
    """Return what is kept for pages, and keep from now on what cells print.

    What comes of these cells from this moment on is published, whoever ran them.

    Parameters
    ----------
    runtime:
        What the kernels of this process share.
    known:
        The kernel; its job may have ended.
    kernel:
        The same, if this process has it.

    Raises
    ------
    StateError
        Another process has it.
    """
    status = kernel.status if kernel is not None else None
    if status is not None and status.connection is not None:
        waiting = status.here.standin.cells() if status.local is not None else []
        held = await status.connection.cells()
        return Unshown((*held, *waiting), status.connection.dropped)
    if status is not None and status.local is not None:
        return Unshown((*status.local.standin.cells(),))
    left = _left(runtime, known, kernel)
    return Unshown(()) if left is None else Unshown((*left.now(),), left.dropped)


async def shown(
    runtime: Runtime,
    known: Known,
    kernel: RemoteKernel | None,
    requests: Collection[str],
) -> None:
    """Forget what a page has shown and saved, by requests. Raises StateError."""
    if kernel is not None and kernel.status.connection is not None:
        kernel.status.connection.shown(requests)
        return
    left = _left(runtime, known, kernel)
    if left is not None:
        left.shown(requests)


def _left(
    runtime: Runtime, known: Known, kernel: RemoteKernel | None
) -> Transcripts | None:
    """Return what is left of a kernel whose job has ended here, if anything."""
    model = known.model
    left = runtime.left.get(model.kernel_id)
    if left is None and kernel is None and not known.ended:
        msg = (
            f"The output of kernel {model.kernel_id} is not with this server, but last "
            f"was with process {model.pid} on {model.host}. Ask there."
        )
        raise StateError(msg)
    return left
