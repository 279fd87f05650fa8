"""The story of one kernel: submit, wait, attach, signal, restart in the job, release.

The order in which things happen; what they are is in the parts: account.py (what is
known and recorded), arrival.py (until the kernel answers), reach.py (the way to its
agent), predecessor.py (who had it before us) and life.py (whether it lives, and its
end). Runs on one event loop, which must keep turning for as long as the kernel is
there (a tunnel and a front live on it): see jupyter/background.py. Called by
jupyter.provisioner and the CLI.
"""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remote_kernels import harmless, registry
from remote_kernels.config import Settings
from remote_kernels.errors import (
    ChoiceError,
    JobError,
    RecordError,
    ResourceError,
    TunnelError,
)
from remote_kernels.front.standin import StandIn
from remote_kernels.registry import GIVEN_UP, NOT_STARTED, JobEnd
from remote_kernels.scheduler.command import ROOM
from remote_kernels.scheduler.job import JobId
from remote_kernels.wire import control

from .account import Account, OnNews
from .arrival import Arrival, introduction
from .before import Before, before
from .choosing import chosen
from .connection import Connection
from .descriptors import check_room, is_exhaustion
from .informing import OnProgress
from .job import Job, id_in
from .launch import Launch
from .life import Life
from .login_end import LoginEnd
from .predecessor import Predecessor, predecessor
from .reach import Reach
from .shared_job import allocations, job_for
from .view import View

log = harmless.logger(__name__)

RESTART_TIMEOUT = 60.0  # seconds for a new process to listen, or start_timeout


class RemoteKernel:
    """One kernel and its job.

    Parameters
    ----------
    kernel_id:
        The kernel's ID, as Jupyter has it.
    settings:
        The kernelspec's config.
    name:
        The kernelspec's name, for people.
    spec_name:
        The kernelspec's name, for Jupyter.
    outlives:
        Whether it is to outlive this process.
    instead_of:
        How the kernel ended whose place it takes, in plain words, if there was one.
    on_progress:
        Called with how the job stands while it waits, by line.
    on_news:
        Called with what happens to it.
    on_dead:
        Called when it is dead, unasked, and with its job.
    on_end:
        Called when its job has ended unasked and nothing of it is left here.
    on_moved:
        Called with the directory of its sockets when that had to be another one.
    """

    def __init__(
        self,
        kernel_id: str,
        settings: Settings,
        name: str = "",
        spec_name: str = "",
        *,
        outlives: bool = False,
        instead_of: str = "",
        on_progress: OnProgress = lambda lines: None,
        on_news: OnNews = lambda action, view, text: None,
        on_dead: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
        on_moved: Callable[[Path], None] = lambda directory: None,
    ) -> None:
        self.kernel_id = kernel_id
        self.settings = settings
        self.name = name
        self.spec_name = spec_name
        self._on_progress = on_progress
        self._on_moved = on_moved
        self._account = Account(
            kernel_id, settings, name, spec_name, outlives=outlives, on_news=on_news
        )
        if instead_of:
            self._account.before = Before(instead_of)
        self._record = self._account.record
        self._life = Life(self._account, on_dead, on_end)
        self._launch: Launch | None = None  # while somebody must choose a job
        self._restarting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<RemoteKernel {self.kernel_id[:8]} job {self.job_id} on {self.node}>"

    @property
    def job_id(self) -> JobId | None:
        return self._account.job_id

    @property
    def told_to_end(self) -> bool:
        """Whether somebody has told its process to end."""
        connection = self._account.connection
        return connection is not None and connection.told_to_end

    @property
    def node(self) -> str | None:
        return self._account.node

    @property
    def carrier(self) -> str | None:
        """The name of the carrier in use."""
        return self._account.carrier

    @property
    def times(self) -> dict[str, float]:
        """By stage: seconds since the epoch."""
        return self._account.times

    @property
    def end(self) -> JobEnd | None:
        """How the job ended; None while it has not."""
        return self._account.end

    @property
    def end_text(self) -> str:
        """How the job ended, in plain words; "" while it has not."""
        return self.end.text if self.end is not None else ""

    @property
    def cwd(self) -> str | None:
        """Where the kernel's process starts, if the node has that directory."""
        return self._account.cwd

    @property
    def is_recorded(self) -> bool:
        """Whether this kernel has been started before, and its record is there."""
        return self._record.is_live

    @property
    def connection(self) -> Connection | None:
        """To its agent; None while it has no node."""
        return self._account.connection

    def view(self) -> View:
        """It as data."""
        return self._account.view()

    def note_sessions(self, sessions: dict[str, Any], notebook: str) -> None:
        """The notebooks that use this kernel, for the server that comes next.

        `notebook` is the file of one of them.
        """
        self._account.note_sessions(sessions, notebook)

    # Start

    async def start(self, launch: Launch, *, wait: bool = True) -> dict[str, Any]:
        """Submit, wait, attach. Returns Jupyter's connection info.

        Parameters
        ----------
        launch:
            What to start.
        wait:
            Whether to return when the kernel is ready, not when its job is submitted;
            in that case a stand-in answers until then.

        Leaves nothing behind when it fails or is cancelled. Raises RemoteKernelError.
        """
        try:
            base = self._record.base
            for old in (*registry.records(base), *allocations(base)):
                old.purge_if_old()
            here = self._move_in(self._stand_in(launch.key, launch.language))
            try:
                job = await self._submit(here, launch)
            except ChoiceError as exc:
                if wait:
                    raise
                return self._ask_first(here, launch, exc)
            spec = launch.spec(self.settings)
            return await self._open_front(here, job, spec, wait=wait)
        except BaseException as exc:
            try:
                await asyncio.shield(self._abandon())
            except JobError as left:  # and nobody would ever hear of that job
                text = f"{exc!s}\n{left}".lstrip()
                raise JobError(text) from exc
            if isinstance(exc, OSError) and is_exhaustion(exc):
                text = f"{exc}. The start was undone.\n{ROOM}"
                raise ResourceError(text) from exc
            raise

    def _ask_first(
        self, here: LoginEnd, launch: Launch, choice: ChoiceError
    ) -> dict[str, Any]:
        """There is no job before a person has chosen one."""
        self._record.remove()
        self._launch = launch
        self._life.begin()
        self._life.arrival = asyncio.create_task(self._choose(here, choice))
        return here.open(launch.key)

    async def _choose(self, here: LoginEnd, choice: ChoiceError) -> None:
        assert self._launch is not None
        account, spec = self._account, self._launch.spec(self.settings)
        about = introduction(account, spec, probe=True)
        try:
            jobid = await chosen(here.standin, choice, about, here.directory)
            settings = self.settings.with_option(choice.option, jobid)
            self.settings = account.settings = settings
            job = await self._submit(here, self._launch)
        except Exception as exc:  # noqa: BLE001 - nobody awaits it
            account.end = JobEnd(NOT_STARTED, text=str(exc) or repr(exc))
            log.warning("kernel=%s %s", self.kernel_id, account.end.text)
            here.standin.fail(account.end.text)
            if account.job is not None:
                await account.job.cancel()
            self._record.remove()
            return
        spec = self._launch.spec(settings)
        await self._arrival(here, job, spec, take=True, probe=True).run_and_tell()

    def _stand_in(self, key: bytes, language: str) -> StandIn:
        life = self._life
        return StandIn(
            key,
            lambda: life.set_exited(0),
            life.failure_told,
            self._account.note_held,
            language=language,
        )

    def _move_in(self, standin: StandIn) -> LoginEnd:
        here = self._life.here = LoginEnd(self.settings, standin, self._moved)
        self._account.directory = here.directory
        return here

    async def _submit(self, here: LoginEnd, launch: Launch) -> Job:
        """All that can be found wrong before a job is submitted is found first."""
        account = self._account
        check_room()
        job = account.job = job_for(
            self.settings, self._record, self.settings.allocation
        )
        self._record.create()
        here.draw_up_will(job)
        account.begin()
        account.notebook = launch.env.get("JPY_SESSION_NAME", "")
        if account.before is None:
            account.before = before(self._record.base, account.notebook)
        account.mark("submitting")
        account.write_spec(launch.spec(self.settings))
        await job.submit(launch)
        if job.secret is not None:
            account.secret = job.secret
            account.write_spec(launch.spec(self.settings))
        account.mark("submitted")
        account.save()
        account.save_sessions()
        if account.outlives:
            here.outlive_server()
        account.tell("submitted")
        return job

    def _moved(self, directory: Path) -> None:
        if self._account.directory != directory:
            self._account.directory = directory
            self._account.save_news()
            self._on_moved(directory)

    @property
    def directory(self) -> Path | None:
        """A private one on this host, for as long as the kernel is there."""
        return self._account.directory

    def remove_at_death(self, path: Path) -> None:
        """A file that goes with this server, also if its process is killed."""
        if self._life.here is not None:
            self._life.here.remove_at_death(path)

    async def _open_front(
        self,
        here: LoginEnd,
        job: Job,
        spec: dict[str, Any],
        *,
        wait: bool,
        take: bool = True,
    ) -> dict[str, Any]:
        """Sockets for clients; the stand-in answers until the kernel is there."""
        life = self._life
        info = here.open(_key(spec))
        life.begin()
        # Who waits asks nothing before it is there.
        arrival = self._arrival(here, job, spec, take=take, probe=not wait)
        if wait:
            life.arrival = asyncio.create_task(arrival.run())
            await life.arrival
        else:
            life.arrival = asyncio.create_task(arrival.run_and_tell())
        return info

    def _arrival(
        self, here: LoginEnd, job: Job, spec: dict[str, Any], *, take: bool, probe: bool
    ) -> Arrival:
        return Arrival(
            self._account,
            self._life,
            job,
            here,
            spec,
            take=take,
            probe=probe,
            on_progress=self._on_progress,
        )

    # Attach

    async def attach(
        self, *, take: bool = False, patient: bool = True
    ) -> dict[str, Any]:
        """Come back to a kernel that another process left. Jupyter's connection info.

        Parameters
        ----------
        take:
            Whether to take it from a server that has it.
        patient:
            Whether to try a node that does not answer again for as long as its job is
            there, and to wait for a job that waits; the kernel counts as alive
            meanwhile. Else it is an error.

        Raises RecordError when there is no such kernel, InUseError when another server
        has it, TunnelError when it is not reached.
        """
        before = predecessor(self._record, patient=patient)
        spec, agent = before.kernel_spec, before.agent
        self._account.go_on(before.facts, before.spec)
        try:
            allocation = before.facts.get("allocation")
            job = job_for(self.settings, self._record, allocation)
            self._account.job = job
            job.id, job.cluster = id_in(before.facts), before.facts.get("cluster")
            key = _key(spec)
            language = str(spec.get("language", ""))  # not in an older version's
            here = self._move_in(
                StandIn(key) if agent else self._stand_in(key, language)
            )
            here.draw_up_will(job, keep=True)
            if agent is None:
                return await self._wait_on(here, job, before)
            return await self._attach(here, job, before, agent, take, patient)
        except BaseException:
            await asyncio.shield(self.detach())
            raise

    async def _wait_on(
        self, here: LoginEnd, job: Job, before: Predecessor
    ) -> dict[str, Any]:
        """For one that is not there yet."""
        before.refuse_if_it_waits()
        spec = before.kernel_spec
        info = await self._open_front(here, job, spec, wait=False, take=False)
        here.standin.restore(self._record.read_held())
        before.clear_away()
        self._account.save_news()
        return info

    async def _attach(
        self,
        here: LoginEnd,
        job: Job,
        before: Predecessor,
        agent: dict[str, Any],
        take: bool,
        patient: bool,
    ) -> dict[str, Any]:
        """To one whose agent has reported."""
        life = self._life
        connection = life.connect(here, agent, before.kernel_spec)
        reach = Reach(self._account, job, agent, connection)
        try:
            life.reached(job, await reach.open(take=take))
        except TunnelError as exc:
            if not patient:
                raise
            log.warning("kernel=%s not reached yet: %s", self.kernel_id, exc)
            life.come_back(job, reach)
        else:  # whoever had it is gone
            before.clear_away()
        info = here.open(connection.key)
        await life.serve()
        return info

    # Life

    @property
    def started(self) -> bool:
        """Whether `restart` can bring a new process of it."""
        return self._life.here is not None and not (
            self._life.arrived and self.end is not None
        )

    def poll(self) -> int | None:
        """None while the kernel process lives; else its exit code. Costs nothing.

        One that is waited for lives, until somebody wants it to end. Also None while it
        ends with its job, until it is known why: who restarts dead kernels would take
        it for one that died in a living job.
        """
        return self._life.poll()

    async def wait(self) -> int:
        """Until the kernel process has ended."""
        return await self._life.wait()

    def signal(self, signum: int) -> None:
        """To the kernel's process group, unchanged; without effect on a dead one."""
        life, connection = self._life, self._account.connection
        if life.arrived and connection is not None:
            connection.signal(signum)
        elif signum == signal.SIGINT and life.here is not None:
            life.here.standin.interrupt()
        elif signum in (signal.SIGTERM, signal.SIGKILL):
            life.set_exited(-signum)

    async def restart(self, launch: Launch) -> dict[str, Any]:
        """A new kernel process in the same job. Raises RemoteKernelError.

        Of a kernel that is waited for: its job keeps its place in the queue. Of one
        that did not come: in a new job.
        """
        async with self._restarting:
            return await self._restart(launch)

    async def _restart(self, launch: Launch) -> dict[str, Any]:
        here, connection = self._life.here, self._account.connection
        if here is None:  # its job ended while we waited for another restart
            raise JobError(self.end_text or "The kernel was shut down.")
        if not self._life.arrived:
            return await self._restart_waiting(here, launch)
        assert connection is not None
        connection.curve = launch.curve(self.settings)
        info = here.open(launch.key)
        await here.settled()
        spec = launch.spec(self.settings)
        self._account.note_spec(spec)
        incarnation = connection.next_incarnation
        connection.send(control.Start(self.kernel_id, spec))
        connection.expect(incarnation)
        patience = max(RESTART_TIMEOUT, self.settings.start_timeout)
        await self._life.await_running(connection, patience)
        if self.end:
            raise JobError(self.end_text)
        await self._life.serve()
        return info

    async def _restart_waiting(self, here: LoginEnd, launch: Launch) -> dict[str, Any]:
        here.standin.restart()
        if self.job_id is None and not self.end:  # nobody has chosen one yet
            self._launch = launch
            self._life.begin()
            return here.open(launch.key)
        spec = launch.spec(self.settings)
        if self.end:
            await self._life.stop_tasks()
            await self._life.disconnect()
            if self._record.is_live:  # its end was not yet dealt with
                try:
                    await self._cancel_job()
                except JobError as exc:  # it has ended, or does so without its record
                    log.warning("kernel=%s %s", self.kernel_id, exc)
                self._record.remove()
            self._account.begin()  # what fails now has no job, or one to be ended
            try:
                job = await self._submit(here, launch)
                return await self._open_front(here, job, spec, wait=False)
            except (OSError, RecordError) as exc:
                raise JobError(str(exc)) from exc
        self._account.note_spec(spec)  # read when the job starts
        self._life.begin()
        return here.open(launch.key)

    # End

    async def release(self) -> None:
        """End the kernel and its job, and remove all that belonged to it."""
        if self._life.taken:
            await self.detach()
            return
        await self._life.stop_tasks()
        told = await self._life.stop_agent()
        if self.job_id is not None and not self.end:
            self._account.tell("ended", "It was shut down.")
        dealt_with = self.end and not self._record.is_live
        await self._abandon(cancel=not (told or dealt_with))

    async def give_up(self, why: str) -> None:
        """Its process does not live, and nobody starts it again: end its job.

        The record keeps how it ended.
        """
        life, account = self._life, self._account
        if account.end:
            return
        life.stop_watching()
        account.end = JobEnd(GIVEN_UP, text=f"Job {self.job_id}: {why}")
        account.mark("ended")
        account.seal()
        log.warning("kernel=%s %s", self.kernel_id, account.end.text)
        account.tell("ended", account.end.text)
        await life.give_up()
        await self._cancel_job()

    async def _abandon(self, *, cancel: bool = True) -> None:
        """Remove every trace, of a start that failed or a kernel that ended."""
        await self._life.stop_tasks()
        if cancel:
            await self._life.leave_job()
        await self._life.disconnect()
        try:
            if cancel:
                await self._cancel_job()
            elif self._account.job is not None:
                self._account.job.leave()
        finally:
            self._record.remove()
            await self.detach()

    async def _cancel_job(self) -> None:
        """Raises JobError when it may still be there."""
        job = self._account.job
        failed = await job.cancel() if job is not None else None
        if job is None or failed is None:
            return
        here = self._life.here
        if is_exhaustion(failed) and here is not None and await here.cancel_job():
            log.info("job=%s was cancelled by another process", job.id)
            return
        assert job.id is not None
        command = shlex.join(job.driver.cancel(job.id).argv)
        msg = (
            f"Job {job.id} could not be cancelled. It ends without its kernel's record, "
            f"a minute after it has begun; to end it now:\n  {command}\n{failed}"
        )
        raise JobError(msg) from failed

    async def detach(self) -> None:
        """Let go of kernel and job: they live on, for the next server."""
        await self._life.detach()


def _key(spec: dict[str, Any]) -> bytes:
    return str(spec["connection"]["key"]).encode()
