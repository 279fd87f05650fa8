"""What one kernel has on the server's host: a directory, sockets, and a last will.

There from the job's submission until the kernel is given up; its paths stay the same
through restarts, because clients keep to them. Made by story.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from remote_kernels.config import Settings
from remote_kernels.front import sockets
from remote_kernels.front.proxy import Front, connection_info
from remote_kernels.front.standin import StandIn

from .connection import Connection
from .job import Job
from .last_will import LastWill


class LoginEnd:
    """The sockets for clients, and who answers there.

    Parameters
    ----------
    settings:
        The kernelspec's config.
    standin:
        Who answers until the kernel does.

    Raises ConfigError, RecordError: there is no place for the sockets.
    """

    def __init__(self, settings: Settings, standin: StandIn) -> None:
        base = sockets.choose_base(settings.runtime_dir, dict(os.environ))
        self.directory = sockets.make_directory(base)
        self.standin = standin
        self._will: LastWill | None = None
        self._front: Front | None = None
        self._connection: Connection | None = None  # the one that clients talk to

    # The last will

    def draw_up_will(self, job: Job | None) -> None:
        """When this process is killed: cancel the job, remove its files and ours."""
        self._revoke_will()
        self._will = LastWill(job.cancel_argv, job.env) if job else LastWill([], {})
        self._will.start()
        for path in job.traces if job is not None else ():
            self.remove_at_death(path)
        self.remove_at_death(self.directory)

    def remove_at_death(self, path: Path) -> None:
        """A file that goes with this server, also if its process is killed."""
        if self._will is not None:
            self._will.remove(path)

    def outlive_server(self) -> None:
        """From now on the death of this process ends neither job nor kernel."""
        if self._will is not None:
            self._will.keep()
            self.remove_at_death(self.directory)

    def _revoke_will(self) -> None:
        if self._will is not None:
            self._will.revoke()
            self._will = None

    # The sockets

    def open(self, key: bytes) -> dict[str, Any]:
        """Sockets for clients, bound anew at each launch. Jupyter's connection info."""
        ip = str(self.directory / "k")
        if self._front is None:
            self._front = Front(ip)
            self._front.bind(self.standin)
        else:
            self._front.bind_again()
        return connection_info(ip, key)

    async def hand_over(self, connection: Connection) -> None:
        """The kernel listens: from now on it answers, not the stand-in."""
        assert self._front is not None
        if self._connection is connection and connection.curve is None:
            return  # a new process of it
        first, self._connection = self._connection is None, connection
        await connection.join(self._front, self.standin if first else None)

    def part(self) -> None:
        """From the kernel, whose connection is about to be closed."""
        if self._front is not None:
            self._front.part()

    def close(self) -> None:
        if self._front is not None:
            self._front.close()
            self._front = None
        sockets.remove_directory(self.directory)
        self._revoke_will()
