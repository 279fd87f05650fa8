"""A kernel's arrival: from its job's submission until it answers its clients.

Until then its stand-in answers, and says below their cells how the job stands; if the
kernel does not come, it says why. Made by story.py.
"""

from __future__ import annotations

from typing import Any

from remote_kernels import harmless
from remote_kernels.errors import (
    CommandError,
    JobError,
    RemoteKernelError,
    TunnelError,
)
from remote_kernels.registry import NOT_STARTED, JobEnd
from remote_kernels.scheduler.job import JobStatus, Phase

from .account import Account
from .ending import End, end_of
from .informing import Introduction, OnProgress, informing
from .job import Job
from .known_info import KnownInfo
from .life import Life
from .login_end import LoginEnd
from .reach import Reach

log = harmless.logger(__name__)

ENDS = 20.0  # seconds for the scheduler to say how a job that is ending ended


def introduction(
    account: Account, spec: dict[str, Any], *, probe: bool
) -> Introduction:
    """Of a kernel that is to start so; for the parameters see Arrival."""
    settings = account.settings
    known = KnownInfo.of(account.record.base, settings, spec)
    tried = probe and not (settings.prologue or settings.prefix)
    return Introduction(known, spec if tried else None)


class Arrival:
    """Of one kernel, in one job.

    Parameters
    ----------
    account, life:
        The kernel's.
    job:
        What is waited for.
    here:
        Where its clients are.
    spec:
        What is to start (`Launch.spec`).
    take:
        Whether to take the kernel from a server that has it.
    probe:
        Whether to try on this host what kernel it is, if nobody knows.
    on_progress:
        Called with how the job stands, by line.
    """

    def __init__(
        self,
        account: Account,
        life: Life,
        job: Job,
        here: LoginEnd,
        spec: dict[str, Any],
        *,
        take: bool,
        probe: bool,
        on_progress: OnProgress,
    ) -> None:
        self._account = account
        self._life = life
        self._job = job
        self._here = here
        self._spec = spec
        self._take = take
        self._probe = probe
        self._on_progress = on_progress

    async def run(self) -> None:
        """Until the kernel answers. Raises RemoteKernelError."""
        account, life, job, here = self._account, self._life, self._job, self._here
        settings = account.settings
        async with informing(
            here.standin,
            job,
            account.times["submitted"],
            introduction(account, self._spec, probe=self._probe),
            here.directory,
            self._on_progress,
        ):
            agent = await job.agent(self._waits)
            account.mark("agent")
            connection = life.connect(here, agent, self._spec)
            reach = Reach(account, job, agent, connection)
            try:
                life.reached(job, await reach.open(take=self._take))
            except TunnelError as exc:
                account.end = await self._end_of_job()
                end = account.end
                raise (JobError(end.text) if end is not None else exc) from exc
            connection.expect(1)
            await life.await_running(connection, settings.start_timeout)
            if account.end:
                raise JobError(account.end.text)
            account.mark("kernel")
            if account.before is not None:
                connection.notice(account.before.text)
                account.before.note_told(account.kernel_id)
                account.before = None
            await life.serve()

    async def _end_of_job(self) -> JobEnd | None:
        """Of one whose agent is not reached: why, if it has ended or is about to."""
        try:
            status = await self._job.ask()
            if status.phase not in (Phase.ENDING, Phase.ENDED):
                return None
            ended = await self._job.ended(ENDS)
        except CommandError:
            return None
        text = self._life.end_text(End(self._job.why_ended("", ended), ended))
        return end_of(ended, text)

    def _waits(self, status: JobStatus) -> None:
        account = self._account
        log.info("kernel=%s job=%s %s", account.kernel_id, account.job_id, status.state)
        if status.phase is Phase.RUNNING and "running" not in account.times:
            account.mark("running")
            account.tell("running")
        elif status.phase is Phase.PENDING:
            account.tell("pending", status.reason)

    async def run_and_tell(self) -> None:
        """Nobody awaits it: those who wait for the kernel must hear what went wrong.

        And what the site said of the job: a program that awaits it has that in its log.
        """
        try:
            await self.run()
            if self._job.notice and self._account.connection is not None:
                notice = f"The site says: {self._job.notice}"
                self._account.connection.notice(notice)
        except RemoteKernelError as exc:
            await self._failed(str(exc))
        except Exception as exc:
            log.exception("kernel=%s did not start", self._account.kernel_id)
            await self._failed(repr(exc))

    async def _failed(self, why: str) -> None:
        """The stand-in stays, to say so; the person may restart the kernel."""
        account = self._account
        self._life.stop_watching()
        word = account.end.word if account.end is not None else NOT_STARTED
        account.end = JobEnd(word, text=why)
        account.mark("ended")
        account.save_news()  # or who looks hears of the job that we cancel
        log.warning("kernel=%s %s", account.kernel_id, why)
        self._here.standin.fail(why)  # people do not wait for what is to be cleared
        await self._life.leave_job()
        await self._life.disconnect()
        await self._job.cancel()
        account.seal()
        account.tell("ended", why)
