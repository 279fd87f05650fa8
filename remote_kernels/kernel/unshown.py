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

from .remote_kernel import RemoteKernel
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


async def cells(known: Known, kernel: RemoteKernel | None) -> Unshown:
    """Return what is kept for pages, and keep from now on what cells print.

    What comes of these cells from this moment on is published, whoever ran them.

    Parameters
    ----------
    known:
        The kernel.
    kernel:
        The same, if this process has it.

    Raises
    ------
    StateError
        Another process has it.
    """
    status = _own(known, kernel).status
    local, connection = status.local, status.connection
    waiting = local.standin.cells() if local is not None else []
    if connection is None:
        return Unshown((*waiting,))
    held = await connection.cells()
    return Unshown((*held, *waiting), connection.dropped)


async def shown(
    known: Known, kernel: RemoteKernel | None, requests: Collection[str]
) -> None:
    """Forget what a page has shown and saved, by requests. Raises StateError."""
    connection = _own(known, kernel).status.connection
    if connection is not None:
        connection.shown(requests)


def _own(known: Known, kernel: RemoteKernel | None) -> RemoteKernel:
    if kernel is None:
        model = known.model
        msg = (
            f"The output of kernel {model.kernel_id} is not with this server, but last "
            f"was with process {model.pid} on {model.host}. Ask there."
        )
        raise StateError(msg)
    return kernel
