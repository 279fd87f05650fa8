"""One job handed to the scheduler: its id, or no job at all.

Where the answer has no id (a site may wrap the command), the job is looked for by its
name. Where it is not known whether the scheduler took the job (no answer, a failure
after a job's number, or a cancellation half way), whatever there may be of it is ended.
A user's own script has a name that other jobs of theirs may have, too: of such a job
nothing is ended but by its ID, and the error says that it may be there. Called by
`jobs.py`.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from remote_kernels import harmless
from remote_kernels.errors import CommandError, SubmitError

from . import command
from .job import Completed, JobId, JobRequest, Phase, Submission

if TYPE_CHECKING:
    from .jobs import Jobs

log = harmless.logger(__name__)

_TIMEOUT = 120.0
_UNDO_TIMEOUT = 30.0
_NOTICE = 2000  # characters of a notice; what is more is no notice
_UNKNOWN = "a job may be there all the same: look at your jobs before you try again"
_LOOKS = (0.0, 0.5, 1.0, 2.0, 4.0)  # seconds before each look for a job by its name


@dataclass(frozen=True)
class Submitting:
    """What is submitted: see `Jobs.submit` for the other parameters.

    Parameters
    ----------
    way
        The driver's.
    has_own_name
        Whether no other job has its name.
    """

    jobs: Jobs
    way: Submission
    request: JobRequest
    environ: Mapping[str, str] | None
    on_notice: Callable[[str], None]
    has_own_name: bool = True

    async def job_id(self) -> JobId:
        """Submit; return the ID of the new job. SubmitError if there is none.

        Cancelled half way, it learns the id, cancels the job, then lets the
        cancellation pass.
        """
        return await command.or_undo(self._submit(), self._undo)

    async def _submit(self) -> JobId:
        way, argv = self.way, self.way.argv
        try:
            done = await self.jobs.run(
                argv,
                input=way.stdin,
                timeout=_TIMEOUT,
                environ=self.environ,
                cwd=way.cwd,
            )
        except CommandError as error:
            await self._end_unknown()
            raise self._not_taken(error) from error
        if done.returncode == 0:
            return await self._taken(done, way.parse)
        is_no_answer = self.jobs.driver.is_no_answer(done)
        is_unsure = is_no_answer or _names_a_job(done, way.parse)
        if is_unsure:
            await self._end_unknown()
        refused = self._refused(done, is_unsure=is_unsure)
        refused.transient = is_no_answer
        raise refused

    async def _taken(
        self, done: Completed, parse: Callable[[Completed], JobId]
    ) -> JobId:
        """Return the ID of a job that is there, as the exit code says."""
        try:
            job_id: JobId | None = parse(done)
        except ValueError:
            job_id = await self._found()
        if job_id is None:
            await self._end_unknown()
            raise self._nameless(done)
        notice = self.jobs.driver.notice(done)[:_NOTICE]
        if notice:
            self.on_notice(notice)
        return job_id

    async def _found(self) -> JobId | None:
        """Return the ID of the newest job of our name, if there is one."""
        if not self.has_own_name:
            return None
        for pause in _LOOKS:
            await asyncio.sleep(pause)
            try:
                listed = await self.jobs.own()
            except CommandError as error:
                log.info("job %s is looked for again: %s", self.request.name, error)
                continue
            ids = [
                status.job_id
                for status in listed  # one that ends is of an earlier start
                if status.name == self.request.name and status.phase is not Phase.ENDING
            ]
            if ids:
                return max(ids, key=lambda job_id: (len(str(job_id)), str(job_id)))
        return None

    def _nameless(self, done: Completed) -> SubmitError:
        command = done.argv[0]
        there = f"no job called {self.request.name} is in the queue"
        if not self.has_own_name:
            there = _UNKNOWN
        return done.error(
            SubmitError,
            f"{command} ended without an error, but told no job's number, and {there}.",
            self.jobs.driver.submit_advice(done)
            or f"Is the {command} that comes first on PATH a wrapper of this site? "
            f"`type -a {command}` lists all; put the directory of the scheduler's own "
            "before it in the PATH of the notebook server, or ask the administrators "
            "to let its output through.",
        )

    def _not_taken(self, error: CommandError) -> SubmitError:
        summary, _, _ = str(error).partition("\n")
        advice = self._with_doubt(str(error).rpartition("\n")[2])
        said = error.returncode, error.stdout, error.stderr
        return SubmitError(summary, self.way.argv, *said, advice)

    def _refused(self, done: Completed, *, is_unsure: bool) -> SubmitError:
        driver = self.jobs.driver
        summary = f"The scheduler ({driver.name}) did not take the job."
        advice = driver.submit_advice(done)
        if is_unsure:
            advice = self._with_doubt(advice)
        return done.error(SubmitError, summary, advice)

    def _with_doubt(self, advice: str) -> str:
        """Return what to do, where it is not known whether there is a job now."""
        if self.has_own_name:  # it was ended
            return advice
        return "\n".join(filter(None, [advice, f"For all we know {_UNKNOWN}."]))

    async def _undo(self, task: asyncio.Future[JobId]) -> None:
        """End the job that a cancelled submission may have made."""
        await asyncio.wait([task], timeout=_UNDO_TIMEOUT)
        if task.done() and not task.cancelled() and task.exception() is None:
            await _quietly(self.jobs.cancel(task.result()))
        elif not task.done():
            task.cancel()
            await asyncio.wait([task])
            await self._end_unknown()

    async def _end_unknown(self) -> None:
        """End the job that may have been taken although we never learned its ID."""
        if not self.has_own_name:
            log.warning("of %s a job may be there", shlex.join(self.way.argv))
            return
        argv = self.jobs.driver.cancel_by_name(self.request)
        await _quietly(self.jobs.run(argv, timeout=_UNDO_TIMEOUT))


def _names_a_job(done: Completed, parse: Callable[[Completed], JobId]) -> bool:
    """Return whether a command that failed had submitted: a site may wrap it."""
    try:
        parse(done)
    except ValueError:
        return False
    return True


async def _quietly(work: Awaitable[object]) -> None:
    try:
        await work
    except CommandError as error:
        log.warning("a job may be left over: %s", error)
