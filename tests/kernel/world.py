"""One kernel without a cluster: fakes of its driver, queue, tunnel and sockets.

Small, and by hand: each does what the real one would, at once, and notes it. The
record, the status, the actions and all else are the real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from scheduler.asking import job

from remote_kernels.config import Settings, parse
from remote_kernels.errors import RemoteKernelError
from remote_kernels.kernel import actions as actions_module
from remote_kernels.kernel.actions import Actions
from remote_kernels.kernel.connection import Connection
from remote_kernels.kernel.job import Job
from remote_kernels.kernel.launch import Launch
from remote_kernels.kernel.lifecycle import Event
from remote_kernels.kernel.local_end import LocalEnd
from remote_kernels.kernel.model import KernelModel
from remote_kernels.kernel.news import News
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.kernel.status import KernelStatus
from remote_kernels.kernel.supervision import Supervision
from remote_kernels.records import Record
from remote_kernels.scheduler.job import JobStatus, Phase
from remote_kernels.tunnel.tunnel import Over, Tunnel
from remote_kernels.wire import control
from remote_kernels.wire.codes import Farewell, ProcessState

KERNEL = "k" * 8
TIMEOUT = JobStatus(job("7"), Phase.ENDED, "TIMEOUT", exit_code=0, signal=15)
AGENT = {"node": "c1", "hostname": "c1", "addresses": [], "host_keys": []}
LAUNCH = Launch(("python", "-m", "ipykernel_launcher"), key=b"key")


class FakeJob(Job):
    """A job that is submitted, reports and ends when it is told to."""

    def __init__(self, settings: Settings, record: Record) -> None:
        super().__init__(Runtime(), settings, record)
        self.did: list[str] = []
        self.reported: asyncio.Future[dict[str, Any]]
        self.reported = asyncio.get_running_loop().create_future()
        self.over: asyncio.Future[JobStatus]
        self.over = asyncio.get_running_loop().create_future()
        self.fails: RemoteKernelError | None = None

    async def submit(self, launch: Launch) -> None:
        self.did.append("submit")
        if self.fails is not None:
            raise self.fails
        self.id = job("7")

    async def agent(self, on_status: Callable[[JobStatus], None]) -> dict[str, Any]:
        on_status(JobStatus(job("7"), Phase.PENDING, "PENDING", "Priority"))
        on_status(JobStatus(job("7"), Phase.RUNNING, "RUNNING", node="c1"))
        return await asyncio.shield(self.reported)

    async def ask(self) -> JobStatus:
        self.status = JobStatus(job("7"), Phase.RUNNING, "RUNNING", node="c1")
        if self.over.done():
            self.status = self.over.result()
        return self.status

    async def ended(self, timeout: float = 1e9) -> JobStatus | None:
        done, _ = await asyncio.wait((self.over,), timeout=min(timeout, 0.01))
        if not done and timeout > 1e8:
            return await asyncio.shield(self.over)
        return self.over.result() if done else None

    def leave(self) -> None:
        self.did.append("leave")

    async def cancel(self) -> RemoteKernelError | None:
        self.did.append("cancel")
        return self.fails if self.id is not None else None


class FakeTunnel:
    """A session that breaks, resumes and ends when it is told to."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[Over] = asyncio.get_running_loop().create_future()
        self.connected = True
        self.carrier: Any = cast("Any", self)
        self.name = "direct"
        self.rejected: dict[str, str] = {}
        self.sent: list[control.Message] = []
        self._changed = asyncio.Event()

    def send(self, message: control.Message) -> None:
        self.sent.append(message)
        if isinstance(message, control.Stop) and not self.ended.done():
            self.ended.set_result(Over("stopping", Farewell.ENDING))

    def change(self, connected: bool) -> None:
        self.connected = connected
        self._changed.set()

    async def _until(self, connected: bool) -> None:
        while self.connected is not connected and not self.ended.done():
            self._changed.clear()
            change = asyncio.ensure_future(self._changed.wait())
            await asyncio.wait(
                (change, self.ended), return_when=asyncio.FIRST_COMPLETED
            )
            change.cancel()

    async def lost(self) -> None:
        await self._until(False)

    async def resumed(self) -> None:
        await self._until(True)

    async def close(self) -> None:
        self.connected = False


class FakeLocalEnd:
    """A place for the kernel, without sockets; itself the stand-in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.standin = self
        self.handed_over = False
        self.failed: list[str] = []
        self.did: list[str] = []
        self.during: Callable[[], Any] = lambda: None

    def fail(self, why: str) -> None:
        self.failed.append(why)

    async def hand_over(self, connection: Connection) -> None:
        await asyncio.sleep(0)
        self.handed_over = True
        doing = self.during()
        if doing is not None:
            await doing

    async def cancel_job(self) -> bool:
        self.did.append("cancel")
        return True

    def cancel_job_later(self) -> bool:
        self.did.append("cancel later")
        return True

    def disconnect(self) -> None:
        self.did.append("disconnect")

    async def close(self) -> None:
        self.did.append("close")


class World:
    """One kernel, and what is around it."""

    def __init__(self, directory: Path, kernel: str = KERNEL, **config: Any) -> None:
        config = {"scheduler": "local", "state_dir": str(directory), **config}
        self.news: list[News] = []
        self.models: list[KernelModel] = []
        self.status = KernelStatus(
            kernel, parse(config), "Python", "py", outlives=False, on_news=self._hear
        )
        self.actions = Actions(self.status, self._dead, self._gone)
        self.supervision = Supervision(self.status, self.actions)
        self.job = FakeJob(self.status.settings, self.status.record)
        self.local = FakeLocalEnd(directory)
        self.tunnel = FakeTunnel()
        self.dead, self.gone = asyncio.Event(), asyncio.Event()
        self.status.opened(cast("LocalEnd", self.local))

    def _hear(self, news: News, view: KernelModel, text: str) -> None:
        self.news.append(news)
        self.models.append(view)

    def _dead(self) -> None:
        self.dead.set()

    def _gone(self) -> None:
        self.gone.set()

    async def submit(self) -> None:
        """Its job waits."""
        self.status.move(Event.START)
        await asyncio.to_thread(self.status.record.create)
        self.status.begin(self.job, "")
        await self.job.submit(LAUNCH)
        await self.status.write_spec(LAUNCH.process(self.status.settings))
        await self.status.save()
        self.status.happened(Event.SUBMITTED)

    async def connect(self) -> Connection:
        """Its agent is reached; the kernel's process is starting."""
        await self.submit()
        self.status.happened(Event.JOB_RUNS)
        process = LAUNCH.process(self.status.settings)
        connection = await self.supervision.connect(AGENT, process)
        connection.tunnel = cast("Tunnel", self.tunnel)
        self.supervision.reached(self.job, cast("Tunnel", self.tunnel))
        return connection

    async def run(self) -> Connection:
        """It answers its clients."""
        connection = await self.connect()
        await self.supervision.serve()
        return connection

    def hears(self, state: ProcessState, **facts: Any) -> None:
        """The agent tells of the process."""
        connection = self.status.connection
        assert connection is not None
        incarnation = facts.pop("incarnation", 1)
        connection._heard(control.KernelState(KERNEL, incarnation, state, **facts))

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Until all that is under way has come so far."""

        async def look() -> None:
            while not is_so():
                await asyncio.sleep(0)

        await asyncio.wait_for(look(), 5)


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients have heard at once."""
    monkeypatch.setattr(actions_module, "LAST_WORDS", 0.0)
    monkeypatch.setattr(actions_module, "FAREWELL", 0.0)
