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
    found: list[Transcribed] = []
    before = _left(runtime, known, kernel)
    dropped = sum(left.dropped for left in before)
    if status is not None and status.connection is not None:
        found += await status.connection.cells()
        dropped += status.connection.dropped
    if status is not None and status.local is not None:
        found += status.here.standin.cells()
    anew = {cell.cell for cell in found}
    old = [cell for left in before for cell in left.now() if cell.cell not in anew]
    return Unshown((*old, *found), dropped)


async def shown(
    runtime: Runtime,
    known: Known,
    kernel: RemoteKernel | None,
    requests: Collection[str],
) -> None:
    """Forget what a page has shown and saved, by requests. Raises StateError."""
    for left in _left(runtime, known, kernel):
        left.shown(requests)
    if kernel is not None and kernel.status.connection is not None:
        kernel.status.connection.shown(requests)


def _left(
    runtime: Runtime, known: Known, kernel: RemoteKernel | None
) -> list[Transcripts]:
    """Return what is left of it, and of others of its notebooks, whose jobs ended here."""
    model = known.model
    found = [
        left.transcripts
        for kernel_id, left in runtime.left.items()
        if kernel_id == model.kernel_id or left.notebooks & {*model.notebooks}
    ]
    if not found and kernel is None and not known.ended:
        msg = (
            f"The output of kernel {model.kernel_id} is not with this server, but last "
            f"was with process {model.pid} on {model.host}. Ask there."
        )
        raise StateError(msg)
    return found
