"""The process that had a kernel before us: what it left on record and on this host.

Called by remote_kernel.py; its answer goes to startup.py and supervision.py.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote_kernels.agent import processes
from remote_kernels.errors import InUseError, RecordError
from remote_kernels.records import Record

from . import socket_directory
from .launch import ProcessSpec


@dataclass(frozen=True)
class PreviousOwner:
    """Whose kernel we come back to.

    `facts` and `spec` are its record.json and spec.json. `agent` is the agent's own
    agent.json; None: that process waited for the kernel, and so shall we.
    """

    kernel_id: str
    facts: dict[str, Any]
    spec: dict[str, Any]
    agent: dict[str, Any] | None

    @property
    def process(self) -> ProcessSpec:
        """What that process started."""
        return ProcessSpec.read(self.spec["kernels"][self.kernel_id])

    @property
    def _was_here(self) -> bool:
        return bool(self.facts.get("host") == socket.gethostname())

    def refuse_if_it_waits(self) -> None:
        """Raise InUseError if a living server on this host waits for the kernel.

        Without a session its agent would not tell of that server.
        """
        pid = self.facts["pid"]
        lives = self.facts["pid_start"] == processes.started(pid) != 0
        if self._was_here and pid != os.getpid() and lives:
            msg = (
                f"Kernel {self.kernel_id} is waited for by process {pid} on this host."
            )
            raise InUseError(msg)

    def clear_away(self) -> None:
        """Remove the sockets of a server that was killed on this host."""
        if self._was_here:
            socket_directory.remove(Path(self.facts["directory"]))


def previous_owner(record: Record, *, patient: bool) -> PreviousOwner:
    """Return who had this kernel. Raises RecordError if there is none to return to.

    Parameters
    ----------
    record:
        The kernel's record.
    patient:
        Whether we are ready to wait for a kernel that is not there yet.
    """
    facts, spec, agent = (
        record.read(f"{name}.json") for name in ("record", "spec", "agent")
    )
    waits = patient and facts is not None and "ready" not in facts["times"]
    known = spec is not None and record.kernel_id in spec["kernels"]
    if facts is None or spec is None or not known or not (agent or waits):
        msg = f"There is no kernel to attach to in {record.path}."
        raise RecordError(msg)
    return PreviousOwner(record.kernel_id, facts, spec, None if waits else agent)
