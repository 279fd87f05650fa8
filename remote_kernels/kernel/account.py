"""What is known of one kernel: told to who listens, and written in its record.

The parts note here what they learn; it acts on nothing. Who comes later (the next
server, the command line) goes by it. Made by story.py.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from remote_kernels import harmless, registry, shapes
from remote_kernels.agent import processes
from remote_kernels.config import Settings
from remote_kernels.errors import RecordError
from remote_kernels.front.interfaces import Request
from remote_kernels.registry import JobEnd
from remote_kernels.scheduler.job import JobId

from .before import Before
from .connection import Connection
from .job import Job, as_facts
from .view import View, view

log = harmless.logger(__name__)

# action (see jupyter/news.py), the kernel, and a text for people
OnNews = Callable[[str, View, str], None]


class Account:
    """Of one kernel. For the parameters see RemoteKernel."""

    def __init__(
        self,
        kernel_id: str,
        settings: Settings,
        name: str,
        spec_name: str,
        *,
        outlives: bool,
        on_news: OnNews,
    ) -> None:
        self.kernel_id = kernel_id
        self.settings = settings
        self.name = name
        self.spec_name = spec_name
        self.outlives = outlives
        self._on_news = on_news
        self._user = _user()  # once: it may ask a directory service, and need a file
        self.record = registry.Record(registry.state_dir(settings.state_dir), kernel_id)
        self.secret = secrets.token_bytes(32)  # the job's
        self.job: Job | None = None
        self.connection: Connection | None = None
        self.directory: Path | None = None  # of the sockets on this host
        self.sessions: dict[str, Any] = {}
        self.notebook = ""  # the file for which it was started
        self.before: Before | None = None  # of that file
        self.node: str | None = None
        self.times: dict[str, float] = {}  # stage: seconds since the epoch
        self.end: JobEnd | None = None  # how the job ended
        self.cwd: str | None = None  # where the kernel's process starts

    @property
    def job_id(self) -> JobId | None:
        return self.job.id if self.job is not None else None

    @property
    def carrier(self) -> str | None:
        """The name of the carrier in use."""
        return self.connection.carrier if self.connection is not None else None

    def begin(self) -> None:
        """A new job, of which nothing is known yet."""
        self.times, self.node, self.end = {}, None, None

    def go_on(self, facts: dict[str, Any], spec: dict[str, Any]) -> None:
        """What another process knew. Raises RecordError."""
        self.times = facts["times"]
        self.cwd = spec["kernels"][self.kernel_id].get("cwd")
        self.notebook = str(facts.get("notebook") or "")
        self.sessions = self.record.sessions()
        self.secret = bytes.fromhex(spec["secret"])

    def mark(self, stage: str) -> None:
        self.times[stage] = time.time()

    # Told

    def view(self) -> View:
        """It as data."""
        assert self.job is not None
        connection = self.connection
        tunnel = connection.tunnel if connection is not None else None
        return view(
            self.kernel_id,
            self._facts(self.job),
            self.sessions,
            self.job.driver,
            self.job.status,
            end=self.end,
            attached=tunnel is not None and tunnel.connected,
            usage=connection.usage if connection is not None else None,
        )

    def tell(self, action: str, text: str = "") -> None:
        self._on_news(action, self.view(), text)

    # Written

    def _facts(self, job: Job) -> dict[str, Any]:
        return {
            "format": shapes.FORMAT,
            "kernel_id": self.kernel_id,
            "name": self.name,
            "spec_name": self.spec_name,
            "scheduler": job.driver.name,
            **as_facts(job.id),
            "node": self.node,
            "user": self._user,
            "cluster": job.cluster,
            "allocation": job.allocation,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "pid_start": processes.started(os.getpid()),
            "directory": str(self.directory or ""),
            "carrier": self.carrier,
            "notebook": self.notebook,
            "times": self.times,
            **({"end": asdict(self.end)} if self.end is not None else {}),
        }

    def save(self) -> None:
        """So that the kernel is found again. Raises RecordError."""
        assert self.job is not None
        self.record.write("record.json", self._facts(self.job))

    def save_news(self) -> None:
        """What changed since; a full disk ends no kernel."""
        try:
            self.save()
        except RecordError as exc:
            if self.record.path.exists():
                log.warning("kernel=%s %s", self.kernel_id, exc)
            else:  # `stop` has done so, or a person
                log.info("kernel=%s its record was removed", self.kernel_id)

    def write_spec(self, spec: dict[str, Any]) -> None:
        """What the agent starts, and what whoever attaches later must know."""
        self.cwd = spec.get("cwd")
        settings = self.settings
        patience = settings.start_timeout
        if self.outlives:  # the job may start while no server is there
            patience = max(patience, settings.silence)
        self.record.write(
            "spec.json",
            {
                "agent": self.kernel_id,
                "secret": self.secret.hex(),
                "attach": patience,
                "silence": settings.silence,
                "dead_after": settings.dead_after,
                "usage": settings.usage,
                "node": settings.node,
                "kernels": {self.kernel_id: spec},
            },
        )

    def note_spec(self, spec: dict[str, Any]) -> None:
        """Of a new process, whose agent has been told: a full disk ends no kernel."""
        try:
            self.write_spec(spec)
        except RecordError as exc:
            log.warning("kernel=%s %s", self.kernel_id, exc)

    def note_sessions(self, sessions: dict[str, Any], notebook: str) -> None:
        """The notebooks that use this kernel, for the server that comes next."""
        self.sessions = sessions
        self.record.write("sessions.json", sessions)
        if notebook != self.notebook and self.job is not None:
            self.notebook = notebook
            self.save()

    def save_sessions(self) -> None:
        """In the record of a new job; a full disk ends no kernel."""
        try:
            if self.sessions:
                self.record.write("sessions.json", self.sessions)
        except RecordError as exc:
            log.warning("kernel=%s %s", self.kernel_id, exc)

    def note_held(self, held: list[Request], known: int) -> None:
        """For a server that comes after this one; it can do without."""
        if self.outlives and self.record.is_live:
            try:
                self.record.write_held(held, known)
            except RecordError as exc:
                log.warning("kernel=%s %s", self.kernel_id, exc)

    def seal(self) -> None:
        """The job has ended: the record says how, and keeps no secret."""
        if self.job is not None:
            self.job.leave()
        try:
            if self.job is not None:
                self.save()  # when it ended, too
            assert self.end is not None
            self.record.seal(self.end)
        except RecordError as exc:
            log.warning("kernel=%s %s", self.kernel_id, exc)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # one whom no passwd knows, as in a container
        return str(os.getuid())
