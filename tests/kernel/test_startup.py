"""A kernel's start, restart and end, with a job that does as it is told."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from remote_kernels.config import Settings, parse
from remote_kernels.errors import (
    ChoiceError,
    CommandError,
    ConfigError,
    JobError,
    RecordError,
    ResourceError,
    TunnelError,
)
from remote_kernels.front.front import Front
from remote_kernels.kernel import actions, remote_kernel, startup
from remote_kernels.kernel.connection import Connection
from remote_kernels.kernel.lifecycle import State
from remote_kernels.kernel.local_end import LocalEnd
from remote_kernels.kernel.news import News
from remote_kernels.kernel.remote_kernel import RemoteKernel
from remote_kernels.kernel.runtime import Runtime
from remote_kernels.records import Record
from remote_kernels.tunnel.tunnel import Over, Tunnel
from remote_kernels.wire import control
from remote_kernels.wire.codes import Farewell, ProcessState

from .test_stalled import frozen
from .world import AGENT, KERNEL, LAUNCH, TIMEOUT, FakeJob, FakeTunnel

PLACE = {**AGENT, "socket": "/tmp/a", "pyz": "/tmp/a.pyz", "python": "python3"}


class Site:
    """Where jobs are submitted, and agents are reached; `kernel` is the only one."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.jobs: list[FakeJob] = []
        self.tunnels: list[FakeTunnel] = []
        self.news: list[News] = []
        self.refuses: list[Exception] = []  # each attempt to reach the agent, the next
        self.submits: list[Exception] = []  # each submission, the next
        self._directory = directory
        for module in (startup, remote_kernel):
            patch.setattr(module, "job_for", self._job_for)
        patch.setattr(Connection, "open", self._opened())
        patch.setattr(LocalEnd, "hand_over", _handed_over)
        patch.setattr(LocalEnd, "start_watchdog", _no_watchdog)
        patch.setattr(Front, "hand_over", lambda self, *args: None)
        patch.setattr(actions, "LAST_WORDS", 0.0)
        patch.setattr(actions, "FAREWELL", 0.0)
        self.kernel = self.another()

    def another(self, **options: Any) -> RemoteKernel:
        """The kernel as another process sees it, or this one with other options."""
        config = {"scheduler": "local", "state_dir": str(self._directory)}
        return RemoteKernel(
            KERNEL,
            parse(config),
            runtime=Runtime(),
            outlives=True,
            **options,
            on_news=lambda news, view, text: self.news.append(news),
        )

    def _job_for(
        self,
        runtime: Runtime,
        settings: Settings,
        record: Record,
        allocation: str | None,
    ) -> FakeJob:
        job = FakeJob(settings, record)
        job.fails = self.submits.pop(0) if self.submits else None  # type: ignore[assignment]
        self.jobs.append(job)
        return job

    def _opened(self) -> Callable[..., Any]:
        site = self

        async def opened(self: Connection, *args: Any, take: bool) -> Tunnel:
            if site.refuses:
                raise site.refuses.pop(0)
            site.tunnels.append(FakeTunnel())
            self.tunnel = cast("Tunnel", site.tunnels[-1])
            return self.tunnel

        return opened

    def reports(self) -> None:
        """The agent of the last job does, and its process listens."""
        job = self.jobs[-1]
        job.reported.set_result(PLACE)
        job._record.write("agent.json", PLACE)

    async def listens(self, incarnation: int = 1) -> None:
        """The kernel's process, once somebody waits for that."""
        await self.until(lambda: self.kernel.status.connection is not None)
        connection = self.kernel.status.connection
        assert connection is not None
        await self.until(lambda: connection._incarnation == incarnation)
        connection._heard(
            control.KernelState(KERNEL, incarnation, ProcessState.RUNNING)
        )

    async def until(self, is_so: Callable[[], bool]) -> None:
        async def look() -> None:
            while not is_so():
                await asyncio.sleep(0.001)

        await asyncio.wait_for(look(), 10)

    async def start(self) -> None:
        """Until it runs."""
        await self.kernel.start(LAUNCH, wait=False)
        self.reports()
        await self.listens()
        await self.until(lambda: self.kernel.status.state is State.RUNNING)


async def _no_watchdog(self: LocalEnd, job: FakeJob, *, keep: bool = False) -> None:
    """Nobody cancels its job at our death."""


async def _handed_over(self: LocalEnd, connection: Connection) -> None:
    self._connection = connection


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Site]:
    return lambda: Site(tmp_path, monkeypatch)


Make = Callable[[], Site]


@pytest.mark.asyncio
async def test_a_start_that_is_awaited(site: Make) -> None:
    """It returns once the kernel answers."""
    here = site()
    starting = asyncio.ensure_future(here.kernel.start(LAUNCH))
    await here.until(lambda: bool(here.jobs) and here.jobs[-1].id is not None)
    here.reports()
    await here.listens()

    info = await asyncio.wait_for(starting, 10)

    assert b"key" == info["key"]
    assert "RemoteKernel kkkkkkkk job 7 on c1" in repr(here.kernel)
    assert ("c1", "direct", None) == (
        here.kernel.status.node,
        here.kernel.status.carrier,
        None,
    )
    assert {"submitted", "running", "agent", "kernel", "ready"} <= {
        *here.kernel.status.times
    }
    assert here.kernel.status.record.is_live
    await here.kernel.release()
    assert not here.kernel.status.record.is_live


@pytest.mark.asyncio
async def test_a_start_that_is_awaited_and_fails(site: Make) -> None:
    """Nothing is left, and nothing to be submitted again."""
    here = site()
    here.submits = [JobError("no such partition")]

    with pytest.raises(JobError, match="no such partition"):
        await here.kernel.start(LAUNCH)

    assert not here.kernel.status.record.is_live
    assert State.RELEASED is here.kernel.status.state


@pytest.mark.asyncio
async def test_a_restart_in_the_job(site: Make) -> None:
    """The job stays, whatever the process does."""
    here = site()
    await here.start()

    restarting = asyncio.ensure_future(here.kernel.restart(LAUNCH))
    await here.listens(2)
    await asyncio.wait_for(restarting, 10)

    assert ["submit"] == here.jobs[-1].did
    assert isinstance(here.tunnels[-1].sent[-1], control.StartKernel)
    assert State.RUNNING is here.kernel.status.state
    await here.kernel.release()


@pytest.mark.asyncio
async def test_a_restart_while_it_waits(site: Make) -> None:
    """Its job keeps its place in the queue."""
    here = site()
    await here.kernel.start(LAUNCH, wait=False)
    here.kernel.signal(15)
    assert -15 == here.kernel.status.poll()

    await here.kernel.restart(LAUNCH)

    assert here.kernel.status.poll() is None
    assert 1 == len(here.jobs)
    await here.kernel.release()
    assert ["submit", "cancel"] == here.jobs[-1].did


@pytest.mark.asyncio
async def test_a_kernel_that_did_not_come_is_restarted(site: Make) -> None:
    """In a new job, which a person wants."""
    here = site()
    await here.kernel.start(LAUNCH, wait=False)
    here.jobs[-1].reported.set_exception(JobError("Its job was cancelled."))
    await here.until(lambda: News.ENDED in here.news)
    assert "Its job was cancelled." == here.kernel.status.end_text
    assert here.kernel.status.restartable

    await here.kernel.restart(LAUNCH)

    assert 2 == len(here.jobs)
    assert here.kernel.status.end is None
    here.reports()
    await here.listens()
    await here.until(lambda: here.kernel.status.state is State.RUNNING)
    await here.kernel.release()


@pytest.mark.asyncio
async def test_two_restarts_of_one_that_did_not_come(site: Make) -> None:
    """One new job is enough."""
    here = site()
    await here.kernel.start(LAUNCH, wait=False)
    here.jobs[-1].reported.set_exception(JobError("Its job was cancelled."))
    await here.until(lambda: News.ENDED in here.news)

    await asyncio.gather(here.kernel.restart(LAUNCH), here.kernel.restart(LAUNCH))

    assert 2 == len(here.jobs)
    await here.kernel.release()


@pytest.mark.asyncio
async def test_an_ended_kernel_is_not_restarted(site: Make) -> None:
    """Its job has ended: nothing is submitted unasked."""
    here = site()
    await here.start()
    here.jobs[-1].over.set_result(TIMEOUT)
    here.tunnels[-1].ended.set_result(Over("stopping", Farewell.ENDING))
    await here.until(lambda: here.kernel.status.end is not None)

    with pytest.raises(JobError, match="TIMEOUT"):
        await here.kernel.restart(LAUNCH)

    assert not here.kernel.status.restartable
    assert 1 == len(here.jobs)
    await here.kernel.release()


@pytest.mark.asyncio
async def test_an_agent_that_is_not_reached_because_its_job_ends(site: Make) -> None:
    """That is why, and the scheduler has a word for it."""
    here = site()
    here.refuses = [TunnelError("no answer")]
    await here.kernel.start(LAUNCH, wait=False)
    here.jobs[-1].over.set_result(TIMEOUT)
    here.reports()

    await here.until(lambda: News.ENDED in here.news)

    assert here.kernel.status.end is not None
    assert "TIMEOUT" == here.kernel.status.end.word
    await here.kernel.release()


@pytest.mark.asyncio
async def test_a_start_that_breaks(
    site: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """By a fault of ours, which is logged; people hear of it, too."""
    here = site()
    await here.kernel.start(LAUNCH, wait=False)
    here.jobs[-1].reported.set_exception(ValueError("oops"))

    await here.until(lambda: News.ENDED in here.news)

    assert "oops" in here.kernel.status.end_text
    assert "did not start" in caplog.text
    await here.kernel.release()


@pytest.mark.asyncio
async def test_a_kernel_that_is_left_and_found_again(site: Make) -> None:
    """By the next server, which has what the first one knew."""
    here = site()
    await here.start()
    here.kernel.status.note_sessions({"s": {"path": "a.ipynb"}}, "a.ipynb")
    await here.kernel.detach()
    assert ["submit"] == here.jobs[-1].did

    here.kernel = here.another()
    info = await here.kernel.attach()

    assert b"key" == info["key"]
    assert State.RUNNING is here.kernel.status.state
    assert ("a.ipynb",) == here.kernel.status.model().notebooks
    await here.kernel.give_up("Enough.")
    assert "given-up" == (here.kernel.status.end.word if here.kernel.status.end else "")
    await here.kernel.release()


@pytest.mark.asyncio
async def test_a_kernel_that_is_not_reached_yet(site: Make) -> None:
    """A patient server goes on to try; an impatient one does not."""
    here = site()
    await here.start()
    await here.kernel.detach()

    here.refuses = [TunnelError("no answer")]
    with pytest.raises(TunnelError):
        await here.another().attach(patient=False)
    here.refuses = [TunnelError("no answer")]
    here.kernel = here.another()
    await here.kernel.attach()

    assert News.LOST in here.news
    await here.until(lambda: here.kernel.status.state is State.RUNNING)
    await here.kernel.detach()


@pytest.mark.asyncio
async def test_a_kernel_that_waits_is_adopted(site: Make) -> None:
    """The next server waits for it, and cancels nothing."""
    here = site()
    await here.kernel.start(LAUNCH, wait=False)
    await here.kernel.detach()

    here.kernel = here.another()
    await here.kernel.attach()
    assert (
        State.STARTING is here.kernel.status.state
        or State.PENDING is here.kernel.status.state
    )
    here.reports()
    await here.listens()
    await here.until(lambda: here.kernel.status.state is State.RUNNING)

    assert [[], ["submit"]] == sorted(job.did for job in here.jobs)
    await here.kernel.detach()


@pytest.mark.asyncio
async def test_no_kernel_to_come_back_to(site: Make) -> None:
    here = site()
    with pytest.raises(RecordError, match="no kernel to attach to"):
        await here.kernel.attach()


@pytest.mark.asyncio
async def test_a_person_chooses_a_job(
    site: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before that there is none; what cannot be submitted then is said."""
    here = site()
    choice = ChoiceError("There are two.", "jobid", ["1", "2"])
    here.submits = [choice, ConfigError("It asks for jobid.")]
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(startup, "choose_job", lambda *args: answer)
    monkeypatch.setattr(startup, "check_room", lambda: None)

    await here.kernel.start(LAUNCH, wait=False)
    assert State.CHOOSING is here.kernel.status.state
    await here.kernel.restart(LAUNCH)
    assert State.CHOOSING is here.kernel.status.state
    answer.set_result("2")
    await here.until(lambda: here.kernel.status.state is State.FAILED)

    assert "asks for jobid" in here.kernel.status.end_text
    assert "2" == here.kernel.status.settings.options["jobid"]
    await here.kernel.release()


@pytest.mark.asyncio
async def test_signals(site: Make) -> None:
    """Before the kernel is there, the stand-in takes them."""
    here = site()
    await here.kernel.start(LAUNCH, wait=False)
    here.kernel.signal(2)
    assert here.kernel.status.poll() is None
    here.reports()
    await here.listens()
    await here.until(lambda: here.kernel.status.state is State.RUNNING)

    here.kernel.signal(2)

    assert control.Signal(KERNEL, 2) == here.tunnels[-1].sent[-1]
    assert not here.kernel.status.told_to_end
    await here.kernel.release()
    assert 0 == await here.kernel.status.wait()


@pytest.mark.asyncio
async def test_descriptors_run_out_as_it_starts(site: Make) -> None:
    """Nothing is left, and it is said what can be done."""
    here = site()
    here.submits = [OSError(errno.EMFILE, "Too many open files")]

    with pytest.raises(ResourceError, match=r"Too many open files\. The start was und"):
        await here.kernel.start(LAUNCH)

    assert not here.kernel.status.record.is_live


@pytest.mark.asyncio
async def test_another_error_of_the_system(site: Make) -> None:
    """It says what it says."""
    here = site()
    here.submits = [OSError(errno.ENOENT, "No such file")]

    with pytest.raises(OSError, match="No such file"):
        await here.kernel.start(LAUNCH)


@pytest.mark.asyncio
async def test_a_start_that_fails_and_leaves_its_job(site: Make) -> None:
    """Who asked for it must hear of that, too: nobody else would."""
    here = site()
    starting = asyncio.ensure_future(here.kernel.start(LAUNCH))
    await here.until(lambda: bool(here.jobs) and here.jobs[-1].id is not None)
    here.jobs[-1].fails = JobError("no answer")
    here.jobs[-1].reported.set_exception(JobError("It was held."))

    with pytest.raises(JobError, match=r"^It was held\.\nJob 7 could not be cancelled"):
        await asyncio.wait_for(starting, 10)


@pytest.mark.asyncio
async def test_a_restart_that_finds_no_room(site: Make) -> None:
    """Of a kernel that did not come: the person hears of it."""
    here = site()
    await here.kernel.start(LAUNCH, wait=False)
    here.jobs[-1].fails = JobError("no answer")
    here.jobs[-1].reported.set_exception(JobError("It was held."))
    await here.until(lambda: News.ENDED in here.news)

    here.submits = [RecordError("the disk is full")]
    with pytest.raises(JobError, match="the disk is full"):
        await here.kernel.restart(LAUNCH)
    await here.kernel.release()


@pytest.mark.asyncio
async def test_what_a_notebook_is_told_first(
    site: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That its variables are gone, once, and what the site said of the job."""
    here = site()
    told: list[str] = []
    monkeypatch.setattr(Connection, "notice", lambda self, text: told.append(text))
    here.kernel = here.another(instead_of="It ran out of time.")

    await here.kernel.start(LAUNCH, wait=False)
    here.jobs[-1].notice = "You have 3 hours left."
    here.reports()
    await here.listens()
    await here.until(lambda: len(told) == 2)

    assert told[0].endswith("run again the cells that make them.\nIt ran out of time.")
    assert "The site says: You have 3 hours left." == told[1]
    assert here.kernel.status.previous_kernel is None
    await here.kernel.release()


@pytest.mark.asyncio
async def test_what_is_known_of_a_kernel(site: Make, tmp_path: Path) -> None:
    """Before it is there, and then."""
    here = site()
    early = here.kernel
    early.remove_at_death(tmp_path / "file")  # of nothing that is there
    assert (None, None, None) == (
        early.status.job_id,
        early.status.directory,
        early.status.cwd,
    )
    assert not early.status.told_to_end

    await here.start()

    assert "7" == str(here.kernel.status.job_id)
    assert here.kernel.status.directory is not None
    assert here.kernel.status.directory.is_dir()
    assert "running" == here.kernel.status.model().state
    here.kernel.remove_at_death(tmp_path / "file")
    await here.kernel.release()
    assert not here.kernel.status.directory.exists()


@pytest.mark.asyncio
async def test_sockets_that_had_to_move(site: Make) -> None:
    """Whoever started the kernel is told where they are, once."""
    here, moved = site(), list[Path]()
    here.kernel = here.another(on_moved=moved.append)
    await here.start()
    local = here.kernel.status.local
    assert local is not None

    for _ in range(2):
        local._on_moved(Path("/tmp/elsewhere"))

    assert [Path("/tmp/elsewhere")] == moved
    await here.kernel.release()


CHOICE = ChoiceError("There are two.", "jobid", ["1", "2"])


@pytest.mark.asyncio
async def test_nobody_is_there_to_choose(site: Make) -> None:
    """Who waits for the kernel is a program, which hears what there is."""
    here = site()
    here.submits = [CHOICE]

    with pytest.raises(ChoiceError, match="There are two"):
        await here.kernel.start(LAUNCH)


@pytest.mark.asyncio
async def test_a_job_that_a_person_has_chosen(
    site: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel comes as any other does."""
    here = site()
    here.submits = [CHOICE]

    async def choose_job(*_: object) -> str:
        return "1"

    monkeypatch.setattr(startup, "choose_job", choose_job)
    await here.kernel.start(LAUNCH, wait=False)
    await here.until(lambda: len(here.jobs) == 2 and here.jobs[-1].id is not None)
    here.reports()
    await here.listens()

    await here.until(lambda: here.kernel.status.state is State.RUNNING)
    assert "1" == here.kernel.status.settings.options["jobid"]
    await here.kernel.release()


@pytest.mark.asyncio
@pytest.mark.parametrize("answers", [True, False])
async def test_an_agent_that_is_not_reached_though_its_job_runs(
    site: Make, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """Or nobody knows whether it does: that no carrier leads there is what is known."""
    here = site()
    here.refuses = [TunnelError("no answer")]

    async def ask(self: FakeJob) -> None:
        raise CommandError("The controller is away.", ["status"], 1)

    if not answers:
        monkeypatch.setattr(FakeJob, "ask", ask)
    await here.kernel.start(LAUNCH, wait=False)
    here.reports()

    await here.until(lambda: News.ENDED in here.news)

    assert here.kernel.status.end is not None
    assert "not-started" == here.kernel.status.end.word
    assert "no answer" in here.kernel.status.end_text
    await here.kernel.release()


@pytest.mark.asyncio
async def test_a_job_that_ends_before_its_kernel_is_reached_again(site: Make) -> None:
    """By a patient server, which then says how."""
    here = site()
    await here.start()
    await here.kernel.detach()
    here.refuses = [TunnelError("no answer")]
    here.kernel = here.another()
    await here.kernel.attach()

    here.jobs[-1].over.set_result(TIMEOUT)

    await here.until(lambda: here.kernel.status.end is not None)
    assert here.kernel.status.end_text.startswith("Job 7 (TIMEOUT): ")
    await here.kernel.release()


@pytest.mark.asyncio
async def test_a_job_with_a_secret_of_its_own(
    site: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is shared: it is on record, and by it the agent is spoken to."""
    here = site()
    monkeypatch.setattr(FakeJob, "secret", b"s" * 32)

    await here.kernel.start(LAUNCH, wait=False)

    spec = here.kernel._record.read("spec.json")
    assert spec is not None
    assert (b"s" * 32).hex() == spec["secret"]
    assert b"s" * 32 == here.kernel.status.secret
    await here.kernel.release()


@pytest.mark.asyncio
async def test_another_kernel_s_directory_stalls(site: Make, tmp_path: Path) -> None:
    """What is old is cleared away beside the start, which does not wait for it."""
    here = site()
    other = Record(here.kernel.status.record.base, "other")
    other.create()

    with frozen(other.path):
        await asyncio.wait_for(here.start(), 10)

    await here.kernel.release()
