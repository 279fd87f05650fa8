"""What this process knows of one kernel: the owner of its state.

The other parts tell it what they learn, by its methods, and read its attributes; only
it writes them. It tells listeners what happened, and keeps the record, by which whoever
comes later goes (the next server, the command line). Made by remote_kernel.py.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remote_kernels import harmless, shapes
from remote_kernels.agent import processes
from remote_kernels.config import Settings
from remote_kernels.front.interfaces import Request
from remote_kernels.records import JobEnd, Record, state_dir
from remote_kernels.scheduler.job import JobId, JobStatus, Phase

from .connection import Connection
from .job import Job, as_facts
from .launch import ProcessSpec
from .lifecycle import (
    ARRIVED,
    BEGUN,
    NOT_OURS,
    OVER,
    RESTARTABLE,
    Action,
    Event,
    State,
    step,
)
from .model import KernelModel, kernel_model
from .news import MARKS, NEWS, News, OnChanged, OnNews
from .previous_kernel import PreviousKernel

if TYPE_CHECKING:
    from .local_end import LocalEnd

log = harmless.logger(__name__)

USAGE = 10.0  # seconds between two samples of a kernel's use, unless told otherwise


class KernelStatus:
    """What this process knows of one kernel. For the parameters see `RemoteKernel`."""

    def __init__(
        self,
        kernel_id: str,
        settings: Settings,
        name: str,
        spec_name: str,
        *,
        outlives: bool,
        on_news: OnNews,
        on_changed: OnChanged = lambda measured: None,
    ) -> None:
        self.kernel_id = kernel_id
        self.settings = settings
        self.is_watched = False
        self.name = name
        self.spec_name = spec_name
        self.outlives = outlives
        self.record = Record(state_dir(settings.state_dir), kernel_id)
        self.secret = secrets.token_bytes(32)  # the job's
        self.state = State.NEW
        self.end: JobEnd | None = None
        self.job: Job | None = None
        self.connection: Connection | None = None
        self.local: LocalEnd | None = None  # what it has on this host
        self.directory: Path | None = None  # of the sockets on this host
        self.sessions: dict[str, Any] = {}
        self.notebook = ""  # the file for which it was started
        self.previous_kernel: PreviousKernel | None = None  # of that file
        self.node: str | None = None
        self.times: dict[str, float] = {}  # stage: seconds since the epoch
        self.cwd: str | None = None  # where the kernel's process starts
        self._on_news = on_news
        self._on_changed = on_changed
        self._exit_code: int | None = None  # where no connection tells it
        self._exited = asyncio.Event()

    @property
    def here(self) -> LocalEnd:
        """What it has on this host, where there must be something."""
        assert self.local is not None
        return self.local

    @property
    def job_id(self) -> JobId | None:
        """The scheduler's ID of its job; None before there is one."""
        return self.job.id if self.job is not None else None

    @property
    def job_status(self) -> JobStatus | None:
        """The scheduler's last word, unless more is known since: that its job runs."""
        said = (self.job.suspended or self.job.status) if self.job is not None else None
        waits = said is None or said.phase is Phase.PENDING
        if waits and self.job_id is not None and self.state in BEGUN:
            return JobStatus(self.job_id, Phase.RUNNING, "RUNNING", node=self.node)
        return said

    @property
    def carrier(self) -> str | None:
        """The name of the carrier in use."""
        return self.connection.carrier if self.connection is not None else None

    @property
    def arrived(self) -> bool:
        """Whether the kernel itself answers its clients, or does so after a restart."""
        return self.state in ARRIVED

    # What happens to it

    def move(self, event: Event, end: JobEnd | None = None) -> tuple[Action, ...]:
        """Note an event; return what has to be done, in that order.

        Parameters
        ----------
        event:
            What happened.
        end:
            How its job ended, where the event is an end. The first word counts.
        """
        before = self.state
        self.state, actions = step(before, event)
        known = self.state is not before or bool(actions)
        if end is not None and self.end is None and (known or not self.is_over):
            self.end = end
        if event in MARKS and known:
            self.times[MARKS[event]] = time.time()
        self.changed()
        if self.state is not before:
            log.debug("kernel=%s %s: %s", self.kernel_id, event.value, self.state.value)
        return actions

    def happened(self, event: Event) -> None:
        """Note an event of which at most listeners are to be told."""
        for action in self.move(event):
            assert action is Action.NEWS, (event, action)
            self.tell(NEWS[event])

    @property
    def end_text(self) -> str:
        """How its job ended, in plain words; "" while it has not."""
        return self.end.text if self.end is not None else ""

    @property
    def is_over(self) -> bool:
        """Whether its job has ended, or is another server's."""
        return self.state in OVER

    @property
    def told_to_end(self) -> bool:
        """Whether somebody has told its process to end."""
        return self.connection is not None and self.connection.told_to_end

    @property
    def restartable(self) -> bool:
        """Whether a restart can bring a new process of it."""
        return self.state in RESTARTABLE and self.local is not None

    def mark(self, stage: str) -> None:
        """Note that it is there, now."""
        self.times[stage] = time.time()

    # What it has

    def choose(self, option: str, value: str) -> None:
        """Note what a person has chosen for an option of the batch system's."""
        self.settings = self.settings.with_option(option, value)

    def watched(self) -> None:
        """Note that people look at it, as under a notebook server."""
        self.is_watched = True

    def opened(self, local: LocalEnd) -> None:
        """Note the kernel's place on this host."""
        self.local, self.directory = local, local.directory

    def moved(self, directory: Path) -> bool:
        """Note where its sockets are now; return whether that is another place."""
        if self.directory == directory:
            return False
        self.directory = directory
        self.save_news()
        return True

    def closed(self) -> None:
        """Note that nothing is left of it on this host."""
        self.local = None

    def reported(self, node: str) -> None:
        """Note that its agent has said that it is there."""
        self.node = node
        self.happened(Event.JOB_RUNS)
        self.mark("agent")

    def connected(self, connection: Connection, node: str) -> None:
        """Note the connection to its agent on that node."""
        self.connection, self.node = connection, node
        self.changed()

    def disconnected(self) -> None:
        """Note that there is no connection any more."""
        self.connection = None
        self.changed()

    def begin(self, job: Job, notebook: str) -> None:
        """Begin with a new job, of which nothing is known yet."""
        self._has(job)
        self.notebook = notebook
        self.times, self.node, self.end = {}, None, None
        self.lives()

    def _has(self, job: Job) -> None:
        self.job = job
        job.tell(self.changed)

    def follows(self, before: PreviousKernel | None) -> None:
        """Note the kernel that its notebook had before, whose variables are gone."""
        self.previous_kernel = before

    async def resume(
        self, facts: dict[str, Any], spec: dict[str, Any], job: Job
    ) -> None:
        """Take over what another process has left on record."""
        self._has(job)
        self.times = facts["times"]
        self.cwd = spec["kernels"][self.kernel_id].get("cwd")
        self.notebook = str(facts.get("notebook") or "")
        self.sessions = await self.record.worker.run(self.record.sessions)
        self.secret = bytes.fromhex(spec["secret"])

    # Whether its process lives

    def lives(self) -> None:
        """Note that it is waited for, and counts as alive."""
        self._exit_code = None
        self._exited.clear()

    def exited(self, code: int) -> None:
        """Note that it is dead though no connection says so; the first word counts."""
        if self._exit_code is None:
            self._exit_code = code
        self._exited.set()

    def poll(self) -> int | None:
        """Return None while the process lives, else its exit code.

        For those who ask it lives until they are told of the end: jupyter_server (2.21)
        opens no websocket to one that is not alive, and waits 60 s for it to be. So it
        does while it ends with its job, until it is known why: who restarts dead
        kernels would take it for one that died in a living job.
        """
        connection = self.connection
        if self.state in (State.ENDING, State.LEAVING):
            return None
        if connection is None or not (self.arrived or self.is_over):
            return self._exit_code
        if connection.agent_ends and self.arrived:
            return None
        return connection.exit_code

    async def wait(self) -> int:
        """Return its exit code once the process has ended."""
        if self.connection is not None and (self.arrived or self.is_over):
            return await self.connection.wait()
        await self._exited.wait()
        return self._exit_code or 0

    # Told

    def model(self) -> KernelModel:
        """Return it as data."""
        assert self.job is not None
        connection = self.connection
        cut = self.arrived and connection is not None and not connection.is_up
        unknown = self.state is State.PENDING and self.job.is_unanswered
        own = State.LOST if cut else self.state
        return kernel_model(
            self.kernel_id,
            self._facts(self.job),
            self.sessions,
            self.job.driver,
            None if unknown else self.job_status,
            end=self.end,
            own=None if unknown else own,
            usage=connection.usage if connection is not None else None,
        )

    def tell(self, news: News, text: str = "") -> None:
        """Tell listeners what happened."""
        self.changed()
        self._on_news(news, self.model(), text)

    def changed(self, *, measured: bool = False) -> None:
        """Tell listeners that its model may be another one; `measured`: in its use."""
        self._on_changed(measured)

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
            "cluster": job.cluster,
            "allocation": job.allocation,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "pid_start": processes.started(os.getpid()),
            "directory": str(self.directory or ""),
            "carrier": self.carrier,
            "notebook": self.notebook,
            "times": dict(self.times),
            **({"end": asdict(self.end)} if self.end is not None else {}),
        }

    async def save(self) -> None:
        """Write the record, so that the kernel is found again. Raises RecordError."""
        if self.job is not None and self.state not in NOT_OURS:
            await self._write("record.json", self._facts(self.job))

    def save_news(self) -> None:
        """Write what has changed, in a while."""
        if self.job is not None and self.state not in NOT_OURS:
            self.record.write_later("record.json", self._facts(self.job))
        self.changed()

    async def _write(self, name: str, body: dict[str, Any]) -> None:
        await self.record.worker.run(partial(self.record.write, name, body))

    def take_secret(self, secret: bytes | None) -> bool:
        """Note the job's secret, if it has one of its own; return whether it has."""
        if secret is not None:
            self.secret = secret
        return secret is not None

    async def write_spec(self, process: ProcessSpec) -> None:
        """Write what the agent starts, and what whoever attaches later must know."""
        await self._write("spec.json", self._spec(process))

    def note_spec(self, process: ProcessSpec) -> None:
        """Write what a new process was started with; its agent has been told."""
        self.record.write_later("spec.json", self._spec(process))

    def _spec(self, process: ProcessSpec) -> dict[str, Any]:
        self.cwd = process.cwd
        settings = self.settings
        patience, unsaid = settings.start_timeout, settings.usage is None
        if self.outlives:  # the job may start while no server is there
            patience = max(patience, settings.silence)
        return {
            "agent": self.kernel_id,
            "secret": self.secret.hex(),
            "attach": patience,
            "silence": settings.silence,
            "dead_after": settings.dead_after,
            "usage": USAGE if unsaid and self.is_watched else settings.usage,
            "node": settings.node,
            "kernels": {self.kernel_id: process.as_json()},
        }

    def note_sessions(self, sessions: dict[str, Any], notebook: str) -> None:
        """Keep the notebooks that use this kernel, for the server that comes next."""
        self.sessions = sessions
        self.changed()
        self.save_sessions()
        if notebook != self.notebook:
            self.notebook = notebook
            self.save_news()

    def save_sessions(self) -> None:
        """Write the notebooks in the record, of a new job, too."""
        if self.sessions and self.state not in NOT_OURS:
            self.record.write_later("sessions.json", self.sessions)

    def note_held(self, held: list[Request], known: int) -> None:
        """Keep requests for a server that comes after this one; it can do without."""
        if self.outlives:
            self.record.later(self._hold, list(held), known)

    def _hold(self, held: list[Request], known: int) -> None:
        if self.record.is_live:
            self.record.held.write(held, known)

    async def seal(self) -> None:
        """Write in the record how the job ended, and remove its secrets."""
        assert self.end is not None
        self.save_news()  # when it ended, too
        if self.job is not None:
            self.record.later(self.job.leave)
        self.record.later(self.record.seal, self.end)
        await self.record.written()
