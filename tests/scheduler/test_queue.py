"""scheduler.jobs with Slurm's driver, answered with what Slurm 22.05 really said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from remote_kernels.errors import CommandError, SubmitError
from remote_kernels.scheduler import jobs as jobs_module
from remote_kernels.scheduler import submission
from remote_kernels.scheduler.job import Completed, JobRequest, Phase
from remote_kernels.scheduler.jobs import Jobs
from remote_kernels.scheduler.slurm.driver import Slurm
from scheduler.asking import job
from scheduler.captured import captured

REQUEST = JobRequest("jupyter-ab", "/home/alice/job.log")
UNANSWERED = captured("squeue-down")
Answer = Completed | CommandError


def about(name: str, job_id: str) -> Completed:
    """A captured answer, as if it had been about this job."""
    done = captured(name)
    own, _, rest = done.stdout.partition("|")
    return replace(done, stdout=f"{job_id}|{rest}" if own.isdigit() else done.stdout)


class Answers:
    """Stands in for the machine: each program's next answer; the last one stays."""

    def __init__(self, **answers: Sequence[Answer]) -> None:
        self.answers = {name: list(given) for name, given in answers.items()}
        self.asked: list[list[str]] = []
        self.times: list[float] = []
        self.ninth = asyncio.Event()

    async def run(self, argv: Sequence[str], **options: object) -> Completed:
        self.asked.append(list(argv))
        self.times.append(asyncio.get_running_loop().time())
        if len(self.asked) == 9:
            self.ninth.set()
        given = self.answers[argv[0]]
        answer = given.pop(0) if len(given) > 1 else given[0]
        await asyncio.sleep(0)
        if isinstance(answer, CommandError):
            raise answer
        return replace(answer, argv=tuple(argv))

    def count(self, program: str) -> int:
        return sum(argv[0] == program for argv in self.asked)


def jobs_of(answers: Answers) -> Jobs:
    return Jobs(Slurm(), run=answers.run, environ={}, poll_interval=0.01)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between attempts to cancel."""
    monkeypatch.setattr(jobs_module, "_CANCEL_PAUSES", (0.0, 0.0, 0.0))


@pytest.mark.asyncio
async def test_watch_yields_changes_only_and_ends_with_the_end() -> None:
    """The end has the exit code, which the list of jobs has not."""
    answers = Answers(
        squeue=[
            about("squeue-fresh", "43"),
            about("squeue-fresh", "43"),
            about("squeue-running", "43"),
            about("squeue-running", "43"),
            about("squeue-failed", "43"),
        ],
        scontrol=[captured("scontrol-failed")],
    )

    seen = [status async for status in jobs_of(answers).watch(job("43"))]

    expected = [("PENDING", None), ("RUNNING", None), ("FAILED", 97)]
    assert expected == [(status.state, status.exit_code) for status in seen]


@pytest.mark.asyncio
async def test_no_answer_is_told_once_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A controller that is down is never a job that is gone."""
    caplog.set_level(logging.INFO, "remote_kernels")
    slow = CommandError("squeue did not answer", ["squeue"], None)
    answers = Answers(
        squeue=[
            about("squeue-running", "43"),
            *(UNANSWERED, slow, UNANSWERED),
            about("squeue-completed", "43"),
        ],
        scontrol=[captured("scontrol-completed")],
    )

    seen = [status async for status in jobs_of(answers).watch(job("43"))]

    assert [Phase.RUNNING, Phase.ENDED] == [status.phase for status in seen]
    told = [record.levelname for record in caplog.records if "answer" in record.message]
    assert ["WARNING", "INFO"] == told


@pytest.mark.asyncio
async def test_one_query_serves_all_who_watch() -> None:
    """Both ids are in it; one that the controller forgot has ended."""
    answers = Answers(
        squeue=[captured("squeue-some-unknown")],
        scontrol=[captured("scontrol-unknown")],
        sacct=[captured("sacct-disabled")],
    )
    jobs = jobs_of(answers)
    gone = asyncio.ensure_future(jobs.wait_ended(job("999999"), 10))
    async with aclosing(jobs.watch(job("18"))) as watching:
        there = await anext(watching)
        status = await gone

    assert Phase.RUNNING is there.phase
    assert status is not None
    assert (Phase.ENDED, "UNKNOWN") == (status.phase, status.state)
    ids = {argv[argv.index("-j") + 1] for argv in answers.asked if argv[0] == "squeue"}
    assert {"18,999999", "999999,18"} & ids


@pytest.mark.asyncio
async def test_jobs_of_two_clusters_are_asked_for_apart() -> None:
    """They may have the same number."""
    answers = Answers(squeue=[captured("squeue-running")])

    await jobs_of(answers).statuses([job("18"), job("18;big")])

    expected = [["squeue", "-a", "-h"], ["squeue", "-M", "big"]]
    assert expected == [argv[:3] for argv in answers.asked[:2]]


@pytest.mark.asyncio
async def test_the_poller_ends_with_its_last_watcher() -> None:
    """No task is left that asks the scheduler."""
    jobs = jobs_of(Answers(squeue=[captured("squeue-running")]))

    async with aclosing(jobs.watch(job("18"))) as watching:
        await anext(watching)

    assert {asyncio.current_task()} == asyncio.all_tasks()


@pytest.mark.asyncio
@pytest.mark.parametrize("turns", range(5))
async def test_the_poller_ends_even_when_just_woken(turns: int) -> None:
    """In Python 3.11, wait_for then loses the cancellation at some turn of the loop."""
    jobs = jobs_of(Answers(squeue=[about("squeue-running", "43")]))
    watching = jobs.watch(job("43"))
    await anext(watching)
    while all(waiter.done() for waiter in jobs._poller._wake._waiters):
        await asyncio.sleep(0.001)

    jobs._poller._wake.set()
    for _ in range(turns):
        await asyncio.sleep(0)

    async def leave() -> None:
        await watching.aclose()

    left = asyncio.create_task(leave())
    await asyncio.wait([left], timeout=5)
    assert left.done()


@pytest.mark.asyncio
async def test_a_watcher_that_comes_later_is_told_at_once() -> None:
    """It does not wait for the next query."""
    answers = Answers(squeue=[captured("squeue-running")])
    jobs = Jobs(Slurm(), run=answers.run, environ={}, poll_interval=60)
    async with (
        aclosing(jobs.watch(job("18"))) as first,
        aclosing(jobs.watch(job("18"))) as late,
    ):
        await anext(first)
        status = await asyncio.wait_for(anext(late), 1)

    assert "RUNNING" == status.state
    assert 1 == answers.count("squeue")


@pytest.mark.asyncio
async def test_it_asks_less_and_less_often_while_nothing_changes() -> None:
    """Each pause is half as long again as the one before, give or take a tenth."""
    answers = Answers(squeue=[captured("squeue-running")])
    jobs = jobs_of(answers)
    async with (
        aclosing(jobs.watch(job("18"))) as first,
        aclosing(jobs.watch(job("18"))) as late,
    ):
        await anext(first)
        await anext(late)  # wakes the poller, which must fall asleep again
        await answers.ninth.wait()

    assert answers.times[8] - answers.times[7] > 0.1


@pytest.mark.asyncio
async def test_cancel_asks_again_while_nobody_answers(hurry: None) -> None:
    """And is content when the job has ended by itself meanwhile."""
    answers = Answers(
        scancel=[*[captured("scancel-down")] * 2, captured("scancel-unknown")]
    )

    await jobs_of(answers).cancel(job("18"))

    assert [["scancel", "18"]] * 3 == answers.asked


@pytest.mark.asyncio
async def test_cancel_gives_up_with_all_that_was_said(hurry: None) -> None:
    """After some attempts; and at once where asking again is useless."""
    with pytest.raises(CommandError, match="Unable to contact slurm controller"):
        await jobs_of(Answers(scancel=[captured("scancel-down")])).cancel(job("18"))

    answers = Answers(scancel=[captured("scancel-not-ours")])
    with pytest.raises(CommandError, match="permission denied"):
        await jobs_of(answers).cancel(job("18"))
    assert 1 == answers.count("scancel")


def refused(name: str) -> Answer:
    return captured(name)


def too_slow(name: str) -> Answer:
    return CommandError("sbatch did not answer", [name], None)


@pytest.mark.parametrize(
    ("answer", "name"), [(refused, "sbatch-down"), (too_slow, "sbatch")]
)
@pytest.mark.asyncio
async def test_a_job_that_may_exist_is_cancelled_by_its_name(
    answer: Callable[[str], Answer], name: str
) -> None:
    """sbatch without an answer may have submitted."""
    answers = Answers(sbatch=[answer(name)], scancel=[captured("scancel-unknown")])

    with pytest.raises(SubmitError, match="sbatch"):
        await jobs_of(answers).submit("#!/bin/bash\n", REQUEST)

    assert "--name=jupyter-ab" == answers.asked[-1][-1]


def listed(name: str, *rows: tuple[str, str]) -> Completed:
    """A captured squeue as `own` asks for it: these jobs, by number and state."""
    text = "".join(f"{name}|{job}|{state}|None|n/a||N/A|N/A\n" for job, state in rows)
    return replace(captured("squeue-fresh"), stdout=text)


OURS = replace(REQUEST, name="jupyter-0123abcd")
SILENT = replace(captured("sbatch-ok"), stdout="Thank you.\n")


@pytest.mark.asyncio
async def test_a_job_without_a_number_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not one of before that is ending; the list may be late, and silent once."""
    monkeypatch.setattr(submission, "_LOOKS", (0.0, 0.0, 0.0, 0.0))
    answers = Answers(
        sbatch=[SILENT],
        squeue=[
            UNANSWERED,
            listed(OURS.name, ("98", "COMPLETING")),
            listed(OURS.name, ("98", "COMPLETING"), ("101", "PENDING")),
        ],
    )
    told: list[str] = []

    job_id = await jobs_of(answers).submit("#!/bin/bash\n", OURS, on_notice=told.append)

    assert job("101") == job_id
    assert ["Thank you."] == told
    assert 0 == answers.count("scancel")


@pytest.mark.asyncio
async def test_a_job_without_a_number_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What came back, where to look, and nothing is left that may come later."""
    monkeypatch.setattr(submission, "_LOOKS", (0.0, 0.0))
    others = listed("jupyter-99999999", ("7", "RUNNING"))
    cancelled = [captured("scancel-unknown")]
    answers = Answers(sbatch=[SILENT], squeue=[others], scancel=cancelled)

    with pytest.raises(SubmitError) as caught:
        await jobs_of(answers).submit("#!/bin/bash\n", OURS)

    assert "told no job's number" in str(caught.value)
    assert "stdout: Thank you." in str(caught.value)
    assert "`type -a sbatch`" in str(caught.value)
    assert "--name=jupyter-0123abcd" == answers.asked[-1][-1]


@pytest.mark.asyncio
async def test_a_refusal_shows_what_sbatch_said_and_what_to_do() -> None:
    """Verbatim, and nothing is cancelled, as there is nothing."""
    answers = Answers(sbatch=[captured("sbatch-partition")])

    with pytest.raises(SubmitError) as caught:
        await jobs_of(answers).submit("#!/bin/bash\n", REQUEST)

    assert "invalid partition specified: nope" in str(caught.value)
    assert "sinfo -s" in str(caught.value)
    assert 1 == len(answers.asked)
