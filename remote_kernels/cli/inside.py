"""Going into a kernel's job: which kernel, whether it is possible, and by which way.

Called by the commands that run something on a kernel's node: `shell`, `exec`, `stack`
and `top`.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from remote_kernels.cli import kernelspec
from remote_kernels.kernel.finding import LIVE, find
from remote_kernels.kernel.inventory import Recorded
from remote_kernels.kernel.model import KernelModel
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.way_in import check_open, way_in


@dataclass(frozen=True)
class OpenJob:
    """The job of a kernel, into which one can go."""

    found: Recorded
    model: KernelModel
    node: str

    @property
    def number(self) -> str:
        """The job's ID, as the batch system shows it."""
        return str(self.found.job_id)

    def way(self) -> AbstractContextManager[Path]:
        """Give a Unix socket that leads into the job. Raises RemoteKernelError."""
        return way_in(self.found, kernelspec.settings(self.found))


def job(kernel: str | None) -> OpenJob:
    """Return the job of the kernel that is meant. Raises RecordError and JobError."""
    found = asyncio.run(find(Runtime(), kernelspec.state_dirs(), kernel or None, LIVE))
    view = check_open(found)
    return OpenJob(found, view, view.node or "")
